"""`Staged`: what one transaction will write to PostgreSQL, gathered so that each table takes one statement."""

from collections.abc import Sequence

from calliope.stores.event_rows import NewRow
from calliope.stores.log_batch import LogBatch
from calliope.stores.postgres_advance import Advance
from calliope.stores.postgres_arrays import Column, bigints, byte_strings, integers
from calliope.stores.postgres_log import PostgresLog
from calliope.stores.postgres_rows import Connection, insert_statement, inserted
from calliope.stores.protocol import StreamKind
from calliope.stores.record import StoredRecord, StoredType
from calliope.stores.replicated_staging import VersionRow

EVENTS = (
    "event (stream, position, sequence_number, event_count, type, types, timestamp, attributes, payload, checksum)",
    *("bigint", "bigint", "bigint", "integer", "integer", "bytea", "bigint", "bytea", "bytea", "bigint"),
)
KEYS = ("event_key", "bigint", "text", "bigint", "integer")
TAGS = ("event_tag", "text", "bigint")
"""Tables, and the types of their columns."""

_INSERT_STREAMS = insert_statement("stream", "bigint", "text", "text")
_INSERT_TYPES = insert_statement("event_type", "integer", "text", "bigint")
_INSERT_EVENTS = insert_statement(*EVENTS)
_INSERT_KEYS = insert_statement(*KEYS)
_INSERT_TAGS = insert_statement(*TAGS)
_PUT_VERSIONS = (
    insert_statement("stream_version", "bigint", "text", "bigint", "bytea", "bytea")
    + b" ON CONFLICT (stream, writer) DO UPDATE SET counter = excluded.counter, token = excluded.token,"
    b" observed = excluded.observed"
)


class Staged:
    """The rows of one transaction, gathered so that each table is written by one statement.

    Args:
        advance: what others wrote before.
        log: the log.
        stored: the log as it is stored.
        stream_count: the highest number that any stream has.
        type_count: the highest number that any type has.

    Attributes:
        head: the highest position when all of it is committed.
        keys: which event ids of the batch are in the journal already: the position and the number of their events, by
            the number of the stream and the id.
        records: the new records.
        replicated: those of each replicated stream, by its number.
        tags: the tags of new rows, with the rows' positions.
        versions: how far writers of replicated streams have come now.
        named: what event ids name now, by the stream's number and the id.
        holder: the node that will hold the journal.
    """

    def __init__(
        self, advance: Advance, log: LogBatch, stored: PostgresLog, stream_count: int, type_count: int
    ) -> None:
        self.advance = advance
        self.log = log
        self.head = 0
        self.stream_count = stream_count
        self.type_count = type_count
        self.keys: dict[tuple[int, str], tuple[int, int]] = {}
        self.records: list[StoredRecord] = []
        self.replicated: dict[int, list[StoredRecord]] = {}
        self.versions: dict[tuple[int, str], VersionRow] = {}
        self.named: dict[tuple[int, str], list[StoredRecord]] = {}
        self.holder = "" if advance.log is None else advance.log.holder
        self._stored = stored
        self._rows: list[NewRow] = []
        self.tags: list[tuple[str, int]] = []
        self._new_streams: list[tuple[int, str, str]] = []
        self._new_types: list[tuple[int, str, int]] = []

    def add(self, row: NewRow, tags: Sequence[str]) -> None:
        """Add a row of the event table, and the tags that its events have."""
        self._rows.append(row)
        if tags:
            self.tags += [(tag, row[1]) for tag in tags]

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

    @property
    def new_keys(self) -> list[tuple[int, str, int, int]]:
        """The rows of the event ids that are new."""
        return [(*key, records[0].position, len(records)) for key, records in self.named.items()]

    def event_columns(self) -> tuple[Column, ...]:
        """Return the columns of the event table's new rows; at least one was added."""
        stream, position, number, count, kinds, timestamp, attributes, payload, checksum = zip(*self._rows, strict=True)
        types: Sequence[int | None] = kinds
        arrays: Sequence[bytes | None] = (None,) * len(kinds)
        if bytes in map(type, kinds):
            types = [kind if isinstance(kind, int) else None for kind in kinds]
            arrays = [kind if isinstance(kind, bytes) else None for kind in kinds]
        return (
            *(bigints(stream), bigints(position), bigints(number), integers(count), integers(types)),
            *(byte_strings(arrays), bigints(timestamp), byte_strings(attributes), byte_strings(payload)),
            bigints(checksum),
        )

    def insert(self, connection: Connection) -> None:
        """Write the events and what belongs to them."""
        inserted(connection, _INSERT_STREAMS, self._new_streams)
        inserted(connection, _INSERT_TYPES, self._new_types)
        if self._rows:
            connection.execute(_INSERT_EVENTS, self.event_columns())
        inserted(connection, _INSERT_KEYS, self.new_keys)
        inserted(connection, _INSERT_TAGS, self.tags)
        inserted(connection, _PUT_VERSIONS, list(self.versions.values()))

    def insert_log(self, lineage: str) -> bool:
        """Write what the log gained, and say in `advance` how it stands then; tell whether it has changed."""
        before = self.advance.log
        if before is None:
            return False
        after = self.advance.log = self._stored.insert(self.log, lineage, self.holder)
        self.advance.entries += self.log.entries
        return after is not before
