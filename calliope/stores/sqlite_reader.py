"""Reading a journal file: pages of records, stream summaries and snapshots, on one connection.

Every method is one short read transaction. A longer one would keep the write-ahead log from being reset, and it would
grow with everything that is written meanwhile.

Positions and sequence numbers have no gaps in this store, so a gap is a loss and is reported like a wrong checksum.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from operator import attrgetter
from typing import TypeVar, cast
from zlib import crc32

import apsw
import msgspec

from calliope.errors import CorruptRecordError
from calliope.stores.protocol import Page, StoredSnapshot, StreamKind, StreamSummary
from calliope.stores.record import Selection, StoredRecord, StoredType
from calliope.stores.sqlite_rows import COLUMNS, Row, RowReader
from calliope.stores.sqlite_schema import transaction

PAGE_PAYLOAD_BYTES_MAX = 4 * 1024 * 1024
"""A page ends soon after its payloads exceed this, however few records it has."""

SCAN_POSITIONS_MAX = 20_000
"""How far one page looks for records that match a selection; it may come back empty and further on."""

_ROWS_AT_ONCE = 32
_STREAM_READERS_MAX = 4_096

# CROSS JOIN keeps the planner from scanning the events; both halves come in order, so the ORDER BY only merges them.
_STREAM_ROWS = " UNION ALL ".join(
    "SELECT place.position, place.sequence_number, type, timestamp, attributes, payload, checksum"
    f" FROM {index} AS place CROSS JOIN event ON event.position = place.position"
    " WHERE place.stream = ?1 AND place.sequence_number > ?2"
    for index in ("event_by_stream", "recent_event_by_stream")
)
_STREAM_ROWS += " ORDER BY 2 LIMIT ?3"

_STREAM_NUMBER = "SELECT id FROM stream WHERE stream_id = ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY kind LIMIT 1"

HEAD_OF_STREAM = """coalesce(
    (SELECT max(sequence_number) FROM recent_event_by_stream WHERE stream = stream.id),
    (SELECT max(sequence_number) FROM event_by_stream WHERE stream = stream.id),
    0)"""
"""The sequence number of a stream's last event, as an expression over the stream table."""

R = TypeVar("R")


class SqliteReader:
    """Reads from one connection; used by one thread at a time."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self._types: dict[int, StoredType] = {}
        self._row_readers: dict[str, RowReader] = {}

    def head(self) -> int:
        """Return the highest position, 0 if there are no events."""
        return cast(int, self.connection.execute("SELECT coalesce(max(position), 0) FROM event").get)

    def stream_page(self, stream_id: str, after: int, limit: int, kind: StreamKind | None = None) -> Page:
        """Return records of one stream; see `EventStore.read_stream`."""
        with transaction(self.connection, "DEFERRED"):
            return self.stream_page_now(stream_id, after, limit, kind)

    def stream_page_now(self, stream_id: str, after: int, limit: int, kind: StreamKind | None) -> Page:
        """Return records of one stream within a transaction that is open already."""
        head = self.head()
        number = self.connection.execute(_STREAM_NUMBER, (stream_id, kind)).get
        record_of = self._row_reader(stream_id).record
        with closing(self.connection.execute(_STREAM_ROWS, (number, after, limit))) as rows:
            records, exhausted = _gathered(cast(Iterator[Row], rows), record_of, _sequence_number, after, limit)
        return Page(records, head if exhausted else records[-1].position, head)

    def all_page(self, selection: Selection, after: int, limit: int) -> Page:
        """Return records of all streams; see `EventStore.read_all`."""
        with transaction(self.connection, "DEFERRED"):
            head = self.head()
            end = min(head, after + SCAN_POSITIONS_MAX)
            records, exhausted = self._scan(selection, after, end, limit)
        return Page(records, max(end, after) if exhausted else records[-1].position, head)

    def log(self, after: int, limit: int) -> list[StoredRecord]:
        """Return records after a position, within a transaction that is open already: at least one.

        There are fewer than asked for if they are large, or if one is damaged.

        Raises:
            CorruptRecordError: the first of them is damaged or missing.
        """
        return self._scan(Selection(), after, after + limit, limit)[0]

    def stream(self, stream_id: str, kind: StreamKind | None = None) -> StreamSummary | None:
        """Return one stream's summary, or None if it has no events."""
        row = self.connection.execute(
            f"SELECT stream_id, kind, {HEAD_OF_STREAM} FROM stream WHERE id = ({_STREAM_NUMBER})",
            (stream_id, kind),
        ).fetchone()
        return None if row is None else StreamSummary(*row)

    def streams(self, prefix: str, after: str, limit: int) -> list[StreamSummary]:
        """Return summaries of streams in the order of their ids."""
        rows = self.connection.execute(
            f"SELECT stream_id, kind, {HEAD_OF_STREAM} FROM stream"
            " WHERE stream_id IN (SELECT DISTINCT stream_id FROM stream"
            " WHERE stream_id > ? AND stream_id >= ? AND substr(stream_id, 1, ?) = ?"
            " ORDER BY stream_id LIMIT ?) ORDER BY stream_id, kind",
            (after, prefix, len(prefix), prefix, limit),
        )
        return [
            StreamSummary(cast(str, stream_id), cast(StreamKind, kind), cast(int, number))
            for stream_id, kind, number in rows
        ]

    def snapshot(self, snapshot_id: str, through: int) -> StoredSnapshot | None:
        """Return the newest snapshot up to a sequence number; a damaged one without its payload."""
        row = self.connection.execute(
            "SELECT sequence_number, type, schema_version, timestamp, payload, checksum FROM snapshot"
            " WHERE snapshot_id = ? AND sequence_number <= ? ORDER BY sequence_number DESC LIMIT 1",
            (snapshot_id, through),
        ).fetchone()
        if row is None:
            return None
        snapshot = _snapshot(snapshot_id, *row[:5])
        return snapshot if snapshot_checksum(snapshot) == row[5] else msgspec.structs.replace(snapshot, payload=None)

    def snapshots(self, snapshot_id: str) -> list[StoredSnapshot]:
        """Return all snapshots of an id without their payloads, the newest first."""
        rows = self.connection.execute(
            "SELECT sequence_number, type, schema_version, timestamp, NULL FROM snapshot"
            " WHERE snapshot_id = ? ORDER BY sequence_number DESC",
            (snapshot_id,),
        )
        return [_snapshot(snapshot_id, *row) for row in rows]

    def _scan(self, selection: Selection, after: int, end: int, limit: int) -> tuple[list[StoredRecord], bool]:
        conditions, bindings = _conditions(selection, after, end)
        sql = (
            f"SELECT stream_id, {COLUMNS} FROM event JOIN stream ON stream.id = event.stream"
            f" WHERE position > ? AND position <= ? {conditions} ORDER BY position LIMIT ?"
        )

        def record_of(row: tuple[object, ...]) -> StoredRecord:
            return self._row_reader(cast(str, row[0])).record(cast(Row, row[1:]))

        with closing(self.connection.execute(sql, (after, end, *bindings, limit))) as rows:
            place_of = None if conditions else _position
            records, exhausted = _gathered(cast(Iterator[tuple[object, ...]], rows), record_of, place_of, after, limit)
        if exhausted and not conditions and len(records) < end - after:
            raise CorruptRecordError(after + len(records) + 1, "is missing")
        return records, exhausted

    def _row_reader(self, stream_id: str) -> RowReader:
        reader = self._row_readers.get(stream_id)
        if reader is None:
            if len(self._row_readers) >= _STREAM_READERS_MAX:
                self._row_readers.clear()
            reader = self._row_readers[stream_id] = RowReader(stream_id, self._stored_type)
        return reader

    def _stored_type(self, number: int) -> StoredType:
        if number not in self._types:
            rows = self.connection.execute("SELECT id, name, schema_version FROM event_type")
            self._types = {
                cast(int, type_number): StoredType(cast(str, name), cast(int, version))
                for type_number, name, version in rows
            }
        return self._types[number]


def _gathered(
    rows: Iterator[R],
    record_of: Callable[[R], StoredRecord],
    place_of: Callable[[StoredRecord], int] | None,
    after: int,
    limit: int,
) -> tuple[list[StoredRecord], bool]:
    """Gather records a few at a time up to the limits of a page; tell whether there were no more.

    What precedes a damaged record is returned as a page of its own; the next page begins with the damage and raises.
    `place_of` says by which number the records must follow one another without a gap, if they must.
    """
    gathered: list[StoredRecord] = []
    byte_count = 0
    while len(gathered) < limit and byte_count < PAGE_PAYLOAD_BYTES_MAX:
        start = len(gathered)
        damage = _extend(gathered, map(record_of, islice(rows, _ROWS_AT_ONCE)))
        if place_of is not None:
            damage = _gap(gathered, start, place_of, after + start) or damage
        if damage is not None:
            if not gathered:
                raise damage
            return gathered, False
        if len(gathered) - start < _ROWS_AT_ONCE and len(gathered) < limit:
            return gathered, True
        byte_count += sum([len(record.payload) for record in gathered[start:]])
    return gathered, False


def _extend(gathered: list[StoredRecord], records: Iterable[StoredRecord]) -> CorruptRecordError | None:
    try:
        gathered.extend(records)  # keeps what came before an error
    except CorruptRecordError as damage:
        return damage
    return None


def _gap(
    gathered: list[StoredRecord], start: int, place_of: Callable[[StoredRecord], int], after: int
) -> CorruptRecordError | None:
    """Cut what follows a gap, and report it. Places grow strictly, so the last one tells whether there is any."""
    if len(gathered) == start or place_of(gathered[-1]) == after + len(gathered) - start:
        return None
    for index in range(start, len(gathered)):
        expected = after + 1 + index - start
        if place_of(gathered[index]) != expected:
            place, stream_id = place_of(gathered[index]), gathered[index].stream_id
            del gathered[index:]
            return CorruptRecordError(None, f"number {expected} is missing before {place} (stream {stream_id!r})")
    return None


def _conditions(selection: Selection, after: int, end: int) -> tuple[str, list[str | int]]:
    conditions = ""
    bindings: list[str | int] = []
    if selection.stream_id is not None:
        conditions += " AND stream_id = ?"
        bindings += [selection.stream_id]
    if selection.kind is not None:
        conditions += " AND stream.kind = ?"
        bindings += [selection.kind]
    if selection.prefix:
        conditions += " AND substr(stream_id, 1, ?) = ?"
        bindings += [len(selection.prefix), selection.prefix]
    if selection.types:
        places = ",".join("?" * len(selection.types))
        conditions += f" AND type IN (SELECT id FROM event_type WHERE name IN ({places}))"
        bindings += sorted(selection.types)
    for tag in sorted(selection.tags):
        conditions += (
            " AND position IN (SELECT position FROM event_tag WHERE tag = ? AND position > ? AND position <= ?)"
        )
        bindings += [tag, after, end]
    return conditions, bindings


_position = attrgetter("position")
_sequence_number = attrgetter("sequence_number")


def _snapshot(
    snapshot_id: str, sequence_number: int, name: str, schema_version: int, timestamp: int, payload: bytes | None
) -> StoredSnapshot:
    return StoredSnapshot(snapshot_id, sequence_number, StoredType(name, schema_version), timestamp, payload)


def snapshot_checksum(snapshot: StoredSnapshot) -> int:
    """Return the CRC-32 over all that is served of a snapshot."""
    described = (
        f"{snapshot.snapshot_id}\0{snapshot.sequence_number}\0{snapshot.type.name}\0"
        f"{snapshot.type.schema_version}\0{snapshot.timestamp}\0"
    )
    return crc32(snapshot.payload or b"", crc32(described.encode()))
