"""Reading a journal file: pages of records, stream summaries and snapshots, on one connection.

Every method is one short read transaction. A longer one would keep the write-ahead log from being reset, and it would
grow with everything that is written meanwhile.

Positions and sequence numbers have no gaps in this store, so a gap is a loss and is reported like a wrong checksum.
"""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import cast
from zlib import crc32

import apsw
import msgspec

from calliope.errors import CorruptRecordError
from calliope.stores.protocol import Page, StoredSnapshot, StreamKind, StreamSummary, before_last_seen
from calliope.stores.record import Selection, StoredRecord, StoredType
from calliope.stores.run import RecordRun, Run
from calliope.stores.sqlite_rows import COLUMNS, Row, RowReader, RowRun, follow_one_another
from calliope.stores.sqlite_schema import transaction

PAGE_PAYLOAD_BYTES_MAX = 4 * 1024 * 1024
"""A page ends soon after its payloads exceed this, however few records it has."""

SCAN_POSITIONS_MAX = 20_000
"""How far one page looks for records that match a selection; it may come back empty and further on."""

_ROWS_AT_FIRST = 8
_STREAM_READERS_MAX = 4_096

# CROSS JOIN keeps the planner from scanning the events; both halves come in order, so the ORDER BY only merges them.
_STREAM_ROWS = " UNION ALL ".join(
    "SELECT place.position, place.sequence_number, event_count, type, timestamp, attributes, payload, checksum"
    f" FROM {index} AS place CROSS JOIN event ON event.position = place.position"
    " WHERE place.stream = ?1 AND place.sequence_number > ?2"
    for index in ("event_by_stream", "recent_event_by_stream")
)
_STREAM_ROWS += " ORDER BY 2"

_STREAM_NUMBER = "SELECT id FROM stream WHERE stream_id = ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY kind LIMIT 1"

HEAD_OF_STREAM = """coalesce(
    (SELECT max(sequence_number) FROM recent_event_by_stream WHERE stream = stream.id),
    (SELECT max(sequence_number) FROM event_by_stream WHERE stream = stream.id),
    0)"""
"""The sequence number of a stream's last event, as an expression over the stream table."""


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
        with closing(self.connection.execute(_STREAM_ROWS, (number, after))) as cursor:
            rows, exhausted = _fetched(cast(Iterator[Row], cursor), limit)
        if not rows:
            return Page(RecordRun(), head, head)
        reader, last = self._row_reader(stream_id), rows[-1][0]
        run = _cut(_whole(rows, reader, after), reader, after, limit)
        return Page(run, head if exhausted and run.last_position == last else run.last_position, head)

    def all_page(self, selection: Selection, after: int, limit: int) -> Page:
        """Return records of all streams; see `EventStore.read_all`."""
        with transaction(self.connection, "DEFERRED"):
            head = self.head()
            records, through = self._scan(selection, after, self._row_at(min(head, after + SCAN_POSITIONS_MAX)), limit)
        return Page(RecordRun(records), max(through, after), head)

    def log(self, after: int, limit: int) -> list[StoredRecord]:
        """Return records after a position, within a transaction that is open already: at least one.

        There are fewer than asked for if they are large, or if one is damaged.

        Raises:
            CorruptRecordError: the first of them is damaged or missing.
        """
        return self._scan(Selection(), after, self._row_at(after + limit), limit)[0]

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

    def since_snapshot(self, stream_id: str, through: int, limit: int) -> tuple[StoredSnapshot | None, Page]:
        """Return the newest snapshot and what follows it; see `EventStore.read_since_snapshot`."""
        with transaction(self.connection, "DEFERRED"):
            snapshot = self.snapshot(stream_id, through)
            return snapshot, self.stream_page_now(stream_id, before_last_seen(snapshot), limit, "plain")

    def snapshots(self, snapshot_id: str) -> list[StoredSnapshot]:
        """Return all snapshots of an id without their payloads, the newest first."""
        rows = self.connection.execute(
            "SELECT sequence_number, type, schema_version, timestamp, NULL FROM snapshot"
            " WHERE snapshot_id = ? ORDER BY sequence_number DESC",
            (snapshot_id,),
        )
        return [_snapshot(snapshot_id, *row) for row in rows]

    def _row_at(self, position: int) -> int:
        """Return the number of the row that holds a position, or the position itself if none does."""
        row = self.connection.execute(
            "SELECT position FROM event WHERE position >= ? ORDER BY position LIMIT 1", (position,)
        ).fetchone()
        return position if row is None else cast(int, row[0])

    def _scan(self, selection: Selection, after: int, end: int, limit: int) -> tuple[list[StoredRecord], int]:
        """Return records after a position, and through which position they are all that match.

        What precedes a damaged row is returned; the next page begins with the damage and raises.
        """
        conditions, bindings = _conditions(selection, after, end)
        sql = (
            f"SELECT {COLUMNS}, stream_id FROM event JOIN stream ON stream.id = event.stream"
            f" WHERE position > ? AND position <= ? {conditions} ORDER BY position"
        )
        gathered = _Gathered(selection, after, limit, without_gaps=not conditions)
        with closing(self.connection.execute(sql, (after, end, *bindings))) as cursor:
            rows = cast(Iterator[tuple[object, ...]], cursor)
            try:
                for row in rows:
                    if not gathered.add(self._row_reader(cast(str, row[-1])).records(cast(Row, row[:-1]))):
                        return gathered.records, gathered.through
            except CorruptRecordError:
                if gathered.through > after:
                    return gathered.records, gathered.through
                raise
        if not conditions and gathered.through < end:
            if gathered.through == after:
                raise CorruptRecordError(after + 1, "is missing")
            return gathered.records, gathered.through
        return gathered.records, end

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


class _Gathered:
    """The records of a page across streams, gathered row by row up to its limits.

    Args:
        selection: which records of a row are wanted.
        after: the position after which the page begins.
        limit: how many records it may have.
        without_gaps: whether positions must follow one another.

    Attributes:
        records: what was gathered.
        through: up to which position everything was looked at.
    """

    def __init__(self, selection: Selection, after: int, limit: int, *, without_gaps: bool) -> None:
        self.records: list[StoredRecord] = []
        self.through = after
        self._selection = selection
        self._limit = limit
        self._without_gaps = without_gaps
        self._byte_count = 0

    def add(self, records: list[StoredRecord]) -> bool:
        """Add the records of one row, or as many as are wanted; tell whether there is room for more.

        Raises:
            CorruptRecordError: positions before the row are missing.
        """
        last = records[-1].position
        if self._without_gaps and records[0].position > self.through + 1:
            raise CorruptRecordError(self.through + 1, f"is missing before {records[0].position}")
        if len(records) > 1:
            records = [record for record in records if record.position > self.through]
            if self._selection.types:  # a row of several types is found by any of them
                records = [record for record in records if record.type.name in self._selection.types]
        room = self._limit - len(self.records)
        if len(records) > room:
            self.records += records[:room]
            self.through = self.records[-1].position
            return False
        self.records += records
        self.through = last
        self._byte_count += sum([len(record.payload) for record in records])
        return len(self.records) < self._limit and self._byte_count < PAGE_PAYLOAD_BYTES_MAX


def _fetched(cursor: Iterator[Row], limit: int) -> tuple[list[Row], bool]:
    """Fetch rows until they have as many events or bytes as a page; tell whether there were no more."""
    rows: list[Row] = []
    event_count = byte_count = 0
    wanted = min(_ROWS_AT_FIRST, limit)
    while True:
        more = list(islice(cursor, wanted))
        rows += more
        if len(more) < wanted:
            return rows, True
        event_count += sum([row[2] for row in more])
        byte_count += sum([len(row[6]) for row in more])
        if event_count >= limit or byte_count >= PAGE_PAYLOAD_BYTES_MAX:
            return rows, False
        # As many as would fill the page if they are like those before, and never very many more than there are.
        wanted = min(
            4 * len(rows),
            1 + (limit - event_count) * len(rows) // max(event_count, 1),
            1 + (PAGE_PAYLOAD_BYTES_MAX - byte_count) * len(rows) // max(byte_count, 1),
        )


def _whole(rows: list[Row], reader: RowReader, after: int) -> list[Row]:
    """Return what precedes the first damaged or missing row; raise its error if that is the first of all."""
    starts_there = rows[0][1] - rows[0][2] <= after
    if starts_there and follow_one_another(rows) and reader.are_whole(rows):
        return rows
    number = after
    for index, row in enumerate(rows):
        try:
            reader.check(row)
            if row[1] - row[2] > number:
                raise CorruptRecordError(
                    None, f"number {number + 1} is missing before {row[1]} (stream {reader.stream_id!r})"
                )
        except CorruptRecordError:
            if index:
                return rows[:index]
            raise
        number = row[1]
    return rows


def _cut(rows: list[Row], reader: RowReader, after: int, limit: int) -> Run:
    """Return a run of rows that begins after a sequence number and keeps the limit; it ends with a row if it can."""
    wanted = after + limit
    while len(rows) > 1 and rows[-1][1] > wanted:
        rows.pop()
    run = RowRun(rows, reader)
    if rows[0][1] - rows[0][2] == after and run.last_sequence_number <= wanted:
        return run
    return RecordRun([record for record in run.records if after < record.sequence_number <= wanted])


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
        conditions += f" AND (typeof(type) = 'blob' OR type IN (SELECT id FROM event_type WHERE name IN ({places})))"
        bindings += sorted(selection.types)
    for tag in sorted(selection.tags):
        conditions += (
            " AND position IN (SELECT position FROM event_tag WHERE tag = ? AND position > ? AND position <= ?)"
        )
        bindings += [tag, after, end]
    return conditions, bindings


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
