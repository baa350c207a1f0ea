"""`Staged`: what one transaction will write to PostgreSQL, gathered so that each table takes one statement."""

from collections.abc import Sequence
from dataclasses import dataclass

from calliope.stores.event_rows import NewRow
from calliope.stores.postgres_reader import Connection
from calliope.stores.protocol import StreamKind
from calliope.stores.record import StoredRecord, StoredType


def _insert(table: str, *types: str) -> bytes:
    places = ", ".join(f"%b::{each}[]" for each in types)
    return f"INSERT INTO {table} SELECT * FROM unnest({places})".encode()


_INSERT_STREAMS = _insert("stream", "bigint", "text", "text")
_INSERT_TYPES = _insert("event_type", "integer", "text", "bigint")
_INSERT_EVENTS = _insert(
    "event (stream, position, sequence_number, event_count, type, types, timestamp, attributes, payload, checksum)",
    *("bigint", "bigint", "bigint", "integer", "integer", "bytea", "bigint", "bytea", "bytea", "bigint"),
)
_INSERT_KEYS = _insert("event_key", "bigint", "text", "bigint", "integer")
_INSERT_TAGS = _insert("event_tag", "text", "bigint")


@dataclass(slots=True)
class Advance:
    """What became visible.

    Attributes:
        records: new records that follow one another, in order; the reader may know some of the first.
        jumped_to: when set, the position before `records`; what lies below it was not read.
    """

    records: list[StoredRecord]
    jumped_to: int | None = None


class Staged:
    """The rows of one transaction, gathered so that each table is written by one statement.

    Args:
        advance: what others wrote before.
        stream_count: the highest number that any stream has.
        type_count: the highest number that any type has.

    Attributes:
        head: the highest position when all of it is committed.
        keys: which event ids of the batch are in the journal already: the position and the number of their events.
    """

    def __init__(self, advance: Advance, stream_count: int, type_count: int) -> None:
        self.advance = advance
        self.head = 0
        self.stream_count = stream_count
        self.type_count = type_count
        self.keys: dict[tuple[str, str], tuple[int, int]] = {}
        self.records: list[StoredRecord] = []
        self.named: dict[tuple[str, str], tuple[int, list[StoredRecord]]] = {}
        self._rows: list[NewRow] = []
        self._tags: list[tuple[str, int]] = []
        self._new_streams: list[tuple[int, str, str]] = []
        self._new_types: list[tuple[int, str, int]] = []

    def add(self, row: NewRow, tags: Sequence[str]) -> None:
        """Add a row of the event table, and the tags that its events have."""
        self._rows.append(row)
        self._tags += [(tag, row[1]) for tag in tags]

    def new_stream(self, stream_id: str, kind: StreamKind) -> int:
        """Return the number of a new stream."""
        self.stream_count += 1
        self._new_streams.append((self.stream_count, stream_id, kind))
        return self.stream_count

    def new_type(self, stored_type: StoredType) -> int:
        """Return the number of a new type."""
        self.type_count += 1
        self._new_types.append((self.type_count, *stored_type))
        return self.type_count

    def insert(self, connection: Connection) -> None:
        """Write everything."""
        _insert_columns(connection, _INSERT_STREAMS, self._new_streams)
        _insert_columns(connection, _INSERT_TYPES, self._new_types)
        if self._rows:
            stream, position, number, count, kinds, timestamp, attributes, payload, checksum = zip(
                *self._rows, strict=True
            )
            types = [kind if isinstance(kind, int) else None for kind in kinds]
            arrays = [kind if isinstance(kind, bytes) else None for kind in kinds]
            columns = stream, position, number, count, types, arrays, timestamp, attributes, payload, checksum
            connection.execute(_INSERT_EVENTS, tuple(map(list, columns)))
        _insert_columns(
            connection,
            _INSERT_KEYS,
            [
                (stream, event_id, records[0].position, len(records))
                for (_, event_id), (stream, records) in self.named.items()
            ],
        )
        _insert_columns(connection, _INSERT_TAGS, self._tags)


def _insert_columns(connection: Connection, statement: bytes, rows: Sequence[tuple[object, ...]]) -> None:
    if rows:
        connection.execute(statement, tuple(map(list, zip(*rows, strict=True))))
