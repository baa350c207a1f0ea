"""Reading a journal in PostgreSQL: pages of records, stream summaries and snapshots, on one connection.

Every method is one statement that sees one moment, so it needs no transaction. What a page holds is limited by the
server, in rows and in bytes, so that no more is sent than is served.
"""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import psycopg

from calliope.errors import CorruptRecordError
from calliope.stores.event_rows import Row, RowReaders
from calliope.stores.protocol import Page, StoredSnapshot, StreamKind, StreamSummary, before_last_seen
from calliope.stores.record import Selection, StoredRecord, StoredType
from calliope.stores.row_pages import PAGE_PAYLOAD_BYTES_MAX, SCAN_POSITIONS_MAX, Gathered, cut, whole
from calliope.stores.run import RecordRun
from calliope.stores.snapshot_rows import snapshot_checksum

Connection = psycopg.Connection[tuple[object, ...]]

_ROWS = "position, sequence_number, event_count, type, types, timestamp, attributes, payload, checksum"
_COLUMNS = ", ".join(f"page.{column}" for column in _ROWS.split(", "))

_STREAM_NUMBER = (
    "(SELECT id FROM stream WHERE stream_id = %(stream_id)s AND (%(kind)s::text IS NULL OR kind = %(kind)s)"
    " ORDER BY kind LIMIT 1)"
)

HEAD_OF_STREAM = "coalesce((SELECT max(sequence_number) FROM event WHERE stream = stream.id), 0)"
"""The sequence number of a stream's last event, as an expression over the stream table."""


def _paged(rows: str, order: str) -> str:
    """Return a statement for so many of these rows as a page may hold, each with the head and how many there were.

    Without rows there is one that says so.
    """
    return (
        f"SELECT head, page.found, {_COLUMNS}, page.stream_id FROM journal"
        f" LEFT JOIN (SELECT *, count(*) OVER () AS found,"
        f" sum(octet_length(payload)) OVER (ORDER BY {order}) - octet_length(payload) AS bytes_before"
        f" FROM ({rows}) AS wanted) AS page"
        f" ON page.bytes_before < {PAGE_PAYLOAD_BYTES_MAX} ORDER BY page.{order}"
    )


_STREAM_PAGE = _paged(
    f"SELECT {_ROWS}, '' AS stream_id FROM event WHERE stream = {_STREAM_NUMBER} AND sequence_number > %(after)s"
    " ORDER BY sequence_number LIMIT %(limit)s",
    "sequence_number",
)


class PostgresReader:
    """Reads from one connection; used by one thread at a time.

    Attributes:
        connection: where it reads.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._row_readers = RowReaders(self._stored_types)

    def head(self) -> int:
        """Return the highest position, 0 if there are no events."""
        ((head,),) = self._rows("SELECT head FROM journal", {})
        return cast(int, head)

    def stream_page(self, stream_id: str, after: int, limit: int, kind: StreamKind | None = None) -> Page:
        """Return records of one stream; see `EventStore.read_stream`."""
        asked = {"stream_id": stream_id, "kind": kind, "after": after, "limit": limit}
        head, found, rows, _ = self._page(_STREAM_PAGE, asked)
        if not rows:
            return Page(RecordRun(), head, head)
        reader, last = self._row_readers.of(stream_id), rows[-1][0]
        exhausted = len(rows) == found < limit
        run = cut(whole(rows, reader, after), reader, after, limit)
        return Page(run, head if exhausted and run.last_position == last else run.last_position, head)

    def all_page(self, selection: Selection, after: int, limit: int) -> Page:
        """Return records of all streams; see `EventStore.read_all`."""
        records, through, head = self._scan(selection, after, after + SCAN_POSITIONS_MAX, limit)
        return Page(RecordRun(records), max(through, after), head)

    def log(self, after: int, limit: int) -> list[StoredRecord]:
        """Return records after a position: at least one. There are fewer than asked for if they are large.

        Raises:
            CorruptRecordError: the first of them is damaged or missing.
        """
        records = self._scan(Selection(), after, after + limit, limit)[0]
        if not records:
            raise CorruptRecordError(after + 1, "is missing")
        return records

    def stream(self, stream_id: str, kind: StreamKind | None = None) -> StreamSummary | None:
        """Return one stream's summary, or None if it has no events."""
        rows = self._rows(
            f"SELECT stream_id, kind, {HEAD_OF_STREAM} FROM stream WHERE id = {_STREAM_NUMBER}",
            {"stream_id": stream_id, "kind": kind},
        )
        return _summary(rows[0]) if rows else None

    def streams(self, prefix: str, after: str, limit: int) -> list[StreamSummary]:
        """Return summaries of streams in the order of their ids."""
        rows = self._rows(
            f"SELECT stream_id, kind, {HEAD_OF_STREAM} FROM stream WHERE stream_id IN"
            " (SELECT DISTINCT stream_id FROM stream WHERE stream_id > %(after)s AND stream_id >= %(prefix)s"
            " AND starts_with(stream_id, %(prefix)s) ORDER BY stream_id LIMIT %(limit)s) ORDER BY stream_id, kind",
            {"after": after, "prefix": prefix, "limit": limit},
        )
        return list(map(_summary, rows))

    def snapshot(self, snapshot_id: str, through: int) -> StoredSnapshot | None:
        """Return the newest snapshot up to a sequence number; a damaged one without its payload."""
        rows = self._rows(
            "SELECT sequence_number, type, schema_version, timestamp, payload, checksum FROM snapshot"
            " WHERE snapshot_id = %(id)s AND sequence_number <= %(through)s ORDER BY sequence_number DESC LIMIT 1",
            {"id": snapshot_id, "through": through},
        )
        if not rows:
            return None
        snapshot = _snapshot(snapshot_id, *rows[0][:5])
        whole = snapshot_checksum(snapshot) == rows[0][5]
        return snapshot if whole else msgspec.structs.replace(snapshot, payload=None)

    def since_snapshot(self, stream_id: str, through: int, limit: int) -> tuple[StoredSnapshot | None, Page]:
        """Return the newest snapshot and what follows it; see `EventStore.read_since_snapshot`.

        The events are looked at later than the snapshot, which costs nothing: those that it has seen are there.
        """
        snapshot = self.snapshot(stream_id, through)
        return snapshot, self.stream_page(stream_id, before_last_seen(snapshot), limit, "plain")

    def snapshots(self, snapshot_id: str) -> list[StoredSnapshot]:
        """Return all snapshots of an id without their payloads, the newest first."""
        rows = self._rows(
            "SELECT sequence_number, type, schema_version, timestamp, NULL FROM snapshot"
            " WHERE snapshot_id = %(id)s ORDER BY sequence_number DESC",
            {"id": snapshot_id},
        )
        return [_snapshot(snapshot_id, *row) for row in rows]

    def snapshot_ids(self, after: str, limit: int) -> list[str]:
        """Return ids that have snapshots, in order."""
        rows = self._rows(
            "SELECT DISTINCT snapshot_id FROM snapshot WHERE snapshot_id > %(after)s"
            " ORDER BY snapshot_id LIMIT %(limit)s",
            {"after": after, "limit": limit},
        )
        return [snapshot_id for (snapshot_id,) in rows]

    def _scan(self, selection: Selection, after: int, end: int, limit: int) -> tuple[list[StoredRecord], int, int]:
        """Return records after a position, through which position they are all that match, and the head.

        What precedes a damaged row is returned; the next page begins with the damage and raises. A selection by tag is
        found by an index, so the end does not hold for it; any other looks at no more than what lies before the end.
        """
        conditions, asked = _conditions(selection)
        table, place = _tagged(len(selection.tags)) if selection.tags else ("event", "position")
        asked |= {"after": after, "end": min(end, _POSITION_MAX), "limit": limit}
        if not selection.tags:
            conditions += (
                " AND position <= coalesce((SELECT position FROM event WHERE position >= %(end)s ORDER BY position"
                " LIMIT 1), %(end)s)"
            )
        statement = _paged(
            f"SELECT {_ROWS}, stream_id FROM {table} JOIN stream ON stream.id = event.stream"
            f" WHERE position > %(after)s {conditions} ORDER BY {place} LIMIT %(limit)s",
            "position",
        )
        head, found, rows, stream_ids = self._page(statement, asked)
        end = head if selection.tags else min(head, max(end, rows[-1][0] if rows else end))
        gathered = Gathered(selection, after, limit, without_gaps=selection == Selection())
        try:
            for row, stream_id in zip(rows, stream_ids, strict=True):
                if not gathered.add(self._row_readers.of(stream_id).records(row)):
                    return gathered.records, gathered.through, head
        except CorruptRecordError:
            if gathered.through > after:
                return gathered.records, gathered.through, head
            raise
        if len(rows) < found or found == limit:
            return gathered.records, gathered.through, head
        if selection == Selection() and gathered.through < end:
            if gathered.through == after:
                raise CorruptRecordError(after + 1, "is missing")
            return gathered.records, gathered.through, head
        return gathered.records, end, head

    def _page(self, statement: str, asked: dict[str, Any]) -> tuple[int, int, list[Row], list[str]]:
        """Return the head, how many rows there were within the limit of rows, and those that the page holds."""
        fetched = self._rows(statement, asked)
        head, found = cast(tuple[int, int | None], fetched[0][:2])
        if found is None:
            return head, 0, [], []
        rows = [
            (position, number, count, type_ if type_ is not None else types, timestamp, attributes, payload, checksum)
            for _, _, position, number, count, type_, types, timestamp, attributes, payload, checksum, _ in fetched
        ]
        return head, found, cast(list[Row], rows), [cast(str, row[-1]) for row in fetched]

    def _rows(self, statement: str, asked: dict[str, Any]) -> Sequence[tuple[Any, ...]]:
        with self.connection.cursor(binary=True) as cursor:
            return cursor.execute(statement.encode(), asked).fetchall()

    def _stored_types(self) -> dict[int, StoredType]:
        rows = self._rows("SELECT id, name, schema_version FROM event_type", {})
        return {number: StoredType(name, version) for number, name, version in rows}


_POSITION_MAX = 2**63 - 1


def _conditions(selection: Selection) -> tuple[str, dict[str, Any]]:
    conditions = ""
    asked: dict[str, Any] = {}
    if selection.stream_id is not None:
        conditions += " AND stream_id = %(stream_id)s"
        asked["stream_id"] = selection.stream_id
    if selection.kind is not None:
        conditions += " AND stream.kind = %(kind)s"
        asked["kind"] = selection.kind
    if selection.prefix:
        conditions += " AND starts_with(stream_id, %(prefix)s)"
        asked["prefix"] = selection.prefix
    if selection.types:
        conditions += " AND (type IS NULL OR type IN (SELECT id FROM event_type WHERE name = ANY (%(types)s::text[])))"
        asked["types"] = sorted(selection.types)
    asked |= {f"tag{number}": tag for number, tag in enumerate(sorted(selection.tags))}
    return conditions, asked


def _tagged(tag_count: int) -> tuple[str, str]:
    """Return where the rows with all of some tags come from, and what they are ordered by.

    They are found by the index of tags, one by one, as far as a page needs them. OFFSET 0 keeps PostgreSQL from joining
    otherwise: it takes a tag's rows to be everywhere in the journal, and walks over both in the order of positions; but
    the first of them may come after millions.
    """
    others = "".join(
        f" AND position IN (SELECT position FROM event_tag WHERE tag = %(tag{number})s AND position > %(after)s)"
        for number in range(1, tag_count)
    )
    tagged = f"SELECT position AS tagged FROM event_tag WHERE tag = %(tag0)s AND position > %(after)s{others}"
    event = "SELECT * FROM event WHERE position = tagged OFFSET 0"
    return f"({tagged} ORDER BY position) AS of_tag CROSS JOIN LATERAL ({event}) AS event", "tagged"


def _summary(row: tuple[Any, ...]) -> StreamSummary:
    stream_id, kind, sequence_number = row
    return StreamSummary(stream_id, kind, sequence_number)


def _snapshot(
    snapshot_id: str, sequence_number: int, name: str, schema_version: int, timestamp: int, payload: bytes | None
) -> StoredSnapshot:
    return StoredSnapshot(snapshot_id, sequence_number, StoredType(name, schema_version), timestamp, payload)
