"""Reading a journal file: pages of records, stream summaries and snapshots, on one connection.

Every method is one short read transaction. A longer one would keep the write-ahead log from being reset, and it would
grow with everything that is written meanwhile.

Positions and sequence numbers have no gaps in this store, so a gap is a loss and is reported like a wrong checksum.
"""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import cast

import apsw
import msgspec

from calliope.errors import CorruptRecordError
from calliope.stores.event_rows import COLUMNS, Row, RowReaders
from calliope.stores.protocol import Page, StoredSnapshot, StreamKind, StreamSummary, before_last_seen
from calliope.stores.record import Selection, StoredRecord, StoredType
from calliope.stores.row_pages import PAGE_PAYLOAD_BYTES_MAX, SCAN_POSITIONS_MAX, Gathered, cut, whole
from calliope.stores.run import RecordRun
from calliope.stores.snapshot_rows import snapshot_checksum
from calliope.stores.sqlite_schema import transaction

_ROWS_AT_FIRST = 8

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
        self._row_readers = RowReaders(self._stored_types)

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
        reader, last = self._row_readers.of(stream_id), rows[-1][0]
        run = cut(whole(rows, reader, after), reader, after, limit)
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

    def snapshot_ids(self, after: str, limit: int) -> list[str]:
        """Return ids that have snapshots, in order."""
        rows = self.connection.execute(
            "SELECT DISTINCT snapshot_id FROM snapshot WHERE snapshot_id > ? ORDER BY snapshot_id LIMIT ?",
            (after, limit),
        )
        return [cast(str, snapshot_id) for (snapshot_id,) in rows]

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
        gathered = Gathered(selection, after, limit, without_gaps=not conditions)
        with closing(self.connection.execute(sql, (after, end, *bindings))) as cursor:
            rows = cast(Iterator[tuple[object, ...]], cursor)
            try:
                for row in rows:
                    if not gathered.add(self._row_readers.of(cast(str, row[-1])).records(cast(Row, row[:-1]))):
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

    def _stored_types(self) -> dict[int, StoredType]:
        rows = self.connection.execute("SELECT id, name, schema_version FROM event_type")
        return {cast(int, number): StoredType(cast(str, name), cast(int, version)) for number, name, version in rows}


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
