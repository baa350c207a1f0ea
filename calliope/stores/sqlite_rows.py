"""Rows of the event table and records: the same facts, with a checksum between them.

The checksum is the CRC-32 of, in this order: the stream id, type name and schema version (UTF-8, each followed by NUL);
position, sequence number and timestamp (eight bytes each, little-endian); the attributes; the payload. The first part
repeats from row to row, so its CRC is remembered and the rest continues it.
"""

import struct
from collections.abc import Callable
from zlib import crc32

from calliope.errors import CorruptRecordError
from calliope.stores.record import (
    NO_ATTRIBUTES,
    StoredRecord,
    StoredType,
    decode_attributes,
    encode_attributes,
)

Row = tuple[int, int, int, int, bytes | None, bytes, int]
"""Position, sequence number, number of the type, timestamp, attributes, payload, checksum."""

COLUMNS = "position, sequence_number, type, timestamp, attributes, payload, checksum"
ALL_COLUMNS = f"stream, {COLUMNS}"

_numbers = struct.Struct("<qqq").pack


def checksum_seed(stream_id: str, type: StoredType) -> int:  # noqa: A002 - the column's name
    """Return the CRC-32 of what the rows of one type in one stream share."""
    return crc32(f"{stream_id}\0{type.name}\0{type.schema_version}\0".encode())


def row_of(record: StoredRecord, stream: int, type_number: int, seed: int) -> tuple[object, ...]:
    """Return the row, in the order of `ALL_COLUMNS`, that keeps a record."""
    attributes = None if record.attributes is NO_ATTRIBUTES else encode_attributes(record.attributes)
    checksum = crc32(_numbers(record.position, record.sequence_number, record.timestamp), seed)
    if attributes is not None:
        checksum = crc32(attributes, checksum)
    return (
        stream,
        record.position,
        record.sequence_number,
        type_number,
        record.timestamp,
        attributes,
        record.payload,
        crc32(record.payload, checksum),
    )


class RowReader:
    """Turns rows of one stream into records, each checked.

    Args:
        stream_id: the stream.
        stored_type: finds a type by its number.
    """

    def __init__(self, stream_id: str, stored_type: Callable[[int], StoredType]) -> None:
        self._stream_id = stream_id
        self._stored_type = stored_type
        self._types: dict[int, tuple[StoredType, int]] = {}

    def record(self, row: Row) -> StoredRecord:
        """Return a row's record.

        Raises:
            CorruptRecordError: the row does not match its checksum.
        """
        position, sequence_number, type_number, timestamp, attributes, payload, checksum = row
        known = self._types.get(type_number)
        if known is None:
            known = self._types[type_number] = self._type_and_seed(type_number, position)
        check = crc32(_numbers(position, sequence_number, timestamp), known[1])
        if attributes is not None:
            check = crc32(attributes, check)
        if crc32(payload, check) != checksum:
            raise CorruptRecordError(position, f"does not match its checksum (stream {self._stream_id!r})")
        return StoredRecord(
            position,
            self._stream_id,
            sequence_number,
            known[0],
            timestamp,
            payload,
            NO_ATTRIBUTES if attributes is None else decode_attributes(attributes),
        )

    def _type_and_seed(self, type_number: int, position: int) -> tuple[StoredType, int]:
        try:
            stored_type = self._stored_type(type_number)
        except KeyError:
            raise CorruptRecordError(position, f"its type number {type_number} is not in the journal") from None
        return stored_type, checksum_seed(self._stream_id, stored_type)
