"""Rows of the event table and records: the same facts, with a checksum between them.

A row holds one event, or several that one request wrote: their positions and sequence numbers follow one another, they
share time, tags and metadata, and the first bears the event id. The row gives the position and sequence number of the
last of them, and how many they are; so "every row above a number" is every row with an event above it. The payloads
stand one after another, as in a msgpack array.

The checksum is the CRC-32 of, in this order: the stream id; type name and schema version, of each event if they
differ, else once (all UTF-8, each followed by NUL); position, sequence number, number of events and timestamp (eight
bytes each, little-endian); the attributes; the payload. The first part repeats from row to row, so its CRC is
remembered and the rest continues it.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, repeat
from zlib import crc32

import msgspec

from calliope.errors import CorruptRecordError
from calliope.stores.record import (
    NO_ATTRIBUTES,
    Attributes,
    StoredRecord,
    StoredType,
    decode_attributes,
    encode_attributes,
)
from calliope.stores.run import TypedPayloads, are_single_values, array_of, put_together, split

ROW_EVENTS_MAX = 256
"""How many events one row holds at most; a request of more becomes several rows."""

ROW_BYTES_MAX = 64 * 1024
"""How many bytes of payload several events in one row have at most."""

ROW_READERS_MAX = 4_096
"""For how many streams it is remembered how their rows are read."""

Row = tuple[int, int, int, int | bytes, int, bytes, bytes, int]
"""Last position, last sequence number, number of events, number of the type (or a msgpack array of the number of each
event's), timestamp, attributes (empty: none), payloads, checksum."""

NewRow = tuple[int, int, int, int, int | bytes, int, bytes, bytes, int]
"""The number of the stream, and a row."""

COLUMNS = "position, sequence_number, event_count, type, timestamp, attributes, payload, checksum"
ALL_COLUMNS = f"stream, {COLUMNS}"

_numbers = struct.Struct("<qqqq").pack
_encode_types = msgspec.msgpack.Encoder().encode
_decode_types = msgspec.msgpack.Decoder(list[int]).decode

KnownType = tuple[int, int]
"""The number of a type, and the checksum seed of its events in one stream."""


def checksum_seed(stream_id: str, *types: StoredType) -> int:
    """Return the CRC-32 of what the rows of one type, or of a list of types, in one stream share."""
    described = "".join([f"{type_.name}\0{type_.schema_version}\0" for type_ in types])
    return crc32(f"{stream_id}\0{described}".encode())


def row_of(record: StoredRecord, stream: int, known: KnownType) -> NewRow:
    """Return the row, in the order of `ALL_COLUMNS`, that keeps one record."""
    return _row(record, record, 1, stream, known, record.payload)


def rows_of(
    records: Sequence[StoredRecord], stream: int, known: Callable[[StoredType], KnownType]
) -> Iterator[tuple[NewRow, Sequence[str]]]:
    """Yield the rows, in the order of `ALL_COLUMNS`, that keep the records of one request, each with its tags.

    Args:
        records: at least one; places and time are as a request gives them.
        stream: the number of the stream.
        known: gives the number of a type and its checksum seed.
    """
    for together in _put_in_rows(records):
        payloads = [record.payload for record in together]
        if len(together) > 1 and are_single_values(payloads):
            yield _row_of_several(together, stream, known, b"".join(payloads)), together[0].attributes.tags
        else:
            for record in together:
                yield row_of(record, stream, known(record.type)), record.attributes.tags


def _put_in_rows(records: Sequence[StoredRecord]) -> Iterator[Sequence[StoredRecord]]:
    if not _share_attributes(records):
        yield from ([record] for record in records)
        return
    start = byte_count = 0
    for index, record in enumerate(records):
        byte_count += len(record.payload)
        if index > start and (index - start == ROW_EVENTS_MAX or byte_count > ROW_BYTES_MAX):
            yield records[start:index]
            start, byte_count = index, len(record.payload)
    yield records[start:]


def _share_attributes(records: Sequence[StoredRecord]) -> bool:
    """Tell whether only an event id sets the first record's attributes apart, and the others have the same ones."""
    if len(records) == 1:
        return True
    first, second = records[0].attributes, records[1].attributes
    return (
        all(record.attributes is second for record in records[2:])
        and second.event_id is None
        and (first is second or encode_attributes(_without_id(first)) == encode_attributes(second))
    )


def _without_id(attributes: Attributes) -> Attributes:
    return attributes if attributes.event_id is None else Attributes(None, attributes.tags, attributes.metadata)


def _row_of_several(
    records: Sequence[StoredRecord], stream: int, known: Callable[[StoredType], KnownType], payload: bytes
) -> NewRow:
    types = [record.type for record in records]
    kind: tuple[int | bytes, int] = known(types[0])
    if types.count(types[0]) != len(types):
        numbers = {type_: known(type_)[0] for type_ in set(types)}
        seed = checksum_seed(records[0].stream_id, *types)
        kind = _encode_types([numbers[type_] for type_ in types]), seed
    return _row(records[0], records[-1], len(records), stream, kind, payload)


def _row(
    first: StoredRecord,
    last: StoredRecord,
    count: int,
    stream: int,
    kind: tuple[int | bytes, int],
    payload: bytes,
) -> NewRow:
    attributes = b"" if first.attributes is NO_ATTRIBUTES else encode_attributes(first.attributes)
    position, sequence_number, timestamp = last.position, last.sequence_number, last.timestamp
    checksum = crc32(_numbers(position, sequence_number, count, timestamp), kind[1])
    if attributes:
        checksum = crc32(attributes, checksum)
    return (
        stream,
        position,
        sequence_number,
        count,
        kind[0],
        timestamp,
        attributes,
        payload,
        crc32(payload, checksum),
    )


class RowReader:
    """Turns rows of one stream into records, each checked.

    Args:
        stream_id: the stream.
        stored_type: finds a type by its number.
    """

    def __init__(self, stream_id: str, stored_type: Callable[[int], StoredType]) -> None:
        self.stream_id = stream_id
        self._stored_type = stored_type
        self._types: dict[int | bytes, tuple[tuple[StoredType, ...], int]] = {}

    def records(self, row: Row) -> list[StoredRecord]:
        """Return a row's records.

        Raises:
            CorruptRecordError: the row does not match its checksum.
        """
        self.check(row)
        return self.records_of_checked(row)

    def check(self, row: Row) -> None:
        """Check one row.

        Raises:
            CorruptRecordError: the row does not match its checksum.
        """
        position, sequence_number, count, _, timestamp, attributes, payload, checksum = row
        check = crc32(_numbers(position, sequence_number, count, timestamp), self._kind(row)[1])
        if crc32(payload, crc32(attributes, check) if attributes else check) != checksum:
            others = "" if count == 1 else f", nor do the {count - 1} before it"
            raise CorruptRecordError(position, f"does not match its checksum{others} (stream {self.stream_id!r})")

    def are_whole(self, rows: Sequence[Row]) -> bool:
        """Tell whether rows match their checksums, quickly: with no line of Python for each."""
        positions, numbers, counts, types, timestamps, attributes, payloads, checksums = zip(*rows, strict=True)
        try:
            seeds: Iterable[int] = repeat(self._kind(rows[0])[1])
            if types.count(types[0]) != len(types):
                seeds = [self._kind(row)[1] for row in rows]
        except CorruptRecordError:
            return False
        sums = map(crc32, map(_numbers, positions, numbers, counts, timestamps), seeds)
        if any(attributes):
            sums = map(crc32, attributes, sums)
        return tuple(map(crc32, payloads, sums)) == checksums

    def records_of_checked(self, row: Row) -> list[StoredRecord]:
        """Return the records of a row that was checked."""
        position, sequence_number, count, _, timestamp, encoded, payload, _ = row
        attributes = decode_attributes(encoded) if encoded else NO_ATTRIBUTES
        types, stream_id = self._kind(row)[0], self.stream_id
        if count == 1:
            return [StoredRecord(position, stream_id, sequence_number, types[0], timestamp, payload, attributes)]
        following = _without_id(attributes)
        first, number = position - count + 1, sequence_number - count + 1
        return [
            StoredRecord(
                first + index,
                stream_id,
                number + index,
                types[index] if len(types) > 1 else types[0],
                timestamp,
                value,
                following if index else attributes,
            )
            for index, value in enumerate(split(count, payload))
        ]

    def parts_of_checked(self, row: Row) -> Iterable[tuple[StoredType, int, bytes]]:
        """Return types and payloads of a row that was checked; see `put_together`."""
        count, payload = row[2], row[6]
        types = self._kind(row)[0]
        if len(types) == 1:
            return ((types[0], count, payload),)
        return zip(types, repeat(1), split(count, payload), strict=False)

    def _kind(self, row: Row) -> tuple[tuple[StoredType, ...], int]:
        """Return the type of all events of a row, or the types of each, and the seed of its checksum."""
        kind = row[3]
        known = self._types.get(kind)
        if known is None:
            types = self._stored_types(kind, row[0])
            known = types, checksum_seed(self.stream_id, *types)
            if isinstance(kind, int):
                self._types[kind] = known
        return known

    def _stored_types(self, kind: int | bytes, position: int) -> tuple[StoredType, ...]:
        try:
            numbers = [kind] if isinstance(kind, int) else _decode_types(kind)
            return tuple([self._stored_type(number) for number in numbers])
        except KeyError as missing:
            raise CorruptRecordError(position, f"its type number {missing} is not in the journal") from None
        except (msgspec.DecodeError, TypeError):
            raise CorruptRecordError(position, f"its type numbers {kind!r} cannot be read") from None


class RowReaders:
    """A `RowReader` for each stream, made when it is first asked for.

    Args:
        stored_types: returns all event types that the journal knows now, by number.
    """

    def __init__(self, stored_types: Callable[[], dict[int, StoredType]]) -> None:
        self._stored_types = stored_types
        self._known_types: dict[int, StoredType] = {}
        self._readers: dict[str, RowReader] = {}

    def of(self, stream_id: str) -> RowReader:
        """Return the reader of a stream's rows."""
        reader = self._readers.get(stream_id)
        if reader is None:
            if len(self._readers) >= ROW_READERS_MAX:
                self._readers.clear()
            reader = self._readers[stream_id] = RowReader(stream_id, self._stored_type)
        return reader

    def _stored_type(self, number: int) -> StoredType:
        if number not in self._known_types:
            self._known_types = self._stored_types()
        return self._known_types[number]


class RowRun:
    """Checked rows of one stream, as a run; at least one.

    Attributes:
        last_position: the position of the last record.
        last_sequence_number: its sequence number.
    """

    __slots__ = ("_count", "_reader", "_rows", "last_position", "last_sequence_number")

    def __init__(self, rows: Sequence[Row], reader: RowReader) -> None:
        self._rows = rows
        self._reader = reader
        self._count = sum([row[2] for row in rows])
        self.last_position, self.last_sequence_number = rows[-1][:2]

    def __len__(self) -> int:
        return self._count

    @property
    def records(self) -> list[StoredRecord]:
        """The records, one an event."""
        return [record for row in self._rows for record in self._reader.records_of_checked(row)]

    def typed_payloads(self) -> TypedPayloads:
        """Return the payloads, put together by type."""
        rows = self._rows
        kinds = {row[3] for row in rows}
        if len(kinds) == 1 and isinstance(rows[0][3], int):
            ((stored_type, _, _),) = self._reader.parts_of_checked(rows[0])
            return TypedPayloads(
                [stored_type] * self._count, {stored_type: array_of(self._count, [row[6] for row in rows])}
            )
        return put_together(part for row in rows for part in self._reader.parts_of_checked(row))


def follow_one_another(rows: Sequence[Row]) -> bool:
    """Tell whether the sequence numbers of rows have no gap between them."""
    counts = [row[2] for row in rows]
    return list(accumulate(counts[1:], initial=rows[0][1])) == [row[1] for row in rows]
