"""Every record of a journal against its checksum, and everything else in the tables against the records."""

from collections.abc import Iterator
from typing import Any, cast

import apsw

from calliope.errors import CorruptRecordError
from calliope.stores.event_rows import COLUMNS, Row, RowReader
from calliope.stores.protocol import StoredSnapshot
from calliope.stores.record import StoredRecord, StoredType
from calliope.stores.snapshot_rows import snapshot_checksum
from calliope.verification.damage import Damage, span

ROW_READERS_MAX = 4_096

_ROWS = (
    f"SELECT {COLUMNS}, event.stream, stream.stream_id FROM event"
    " LEFT JOIN stream ON stream.id = event.stream ORDER BY position"
)

_KEY = "SELECT position FROM event_key WHERE stream = ? AND event_id = ?"
_TAG = "SELECT 1 FROM event_tag WHERE tag = ? AND position = ?"
_VERSION = "SELECT counter FROM stream_version WHERE stream = ? AND writer = ?"


class RecordWalk:
    """Walks over the records of a journal.

    Args:
        connection: reads the journal, and sees it unchanged for as long as the walk takes.

    Attributes:
        event_count: how many records were seen.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self.event_count = 0
        self._connection = connection
        self._types: dict[int, StoredType] = {}
        self._key_count = 0
        self._tag_count = 0
        self._version_count = 0
        self._readers: dict[str, RowReader] = {}

    def damages(self) -> Iterator[Damage]:
        """Yield what is wrong with the records, in order, and then what other tables have without a record."""
        all_are_whole = True
        for damage in self._damaged_records():
            all_are_whole = False
            yield damage
        if all_are_whole:
            yield from self._surplus()

    def _damaged_records(self) -> Iterator[Damage]:
        types = self._connection.execute("SELECT id, name, schema_version FROM event_type")
        self._types = {number: StoredType(name, version) for number, name, version in cast(Any, types)}
        before = 0
        for *row, stream, stream_id in self._connection.execute(_ROWS):
            position, count = cast(int, row[0]), cast(int, row[2])
            if position - count != before:
                yield _not_in_order(before, position, count)
            self.event_count += count
            before = position
            if stream_id is None:
                place = span("position", position - count + 1, position)
                yield Damage(place, f"its stream, number {stream}, is not in the journal")
            else:
                yield from self._damages_of(cast(str, stream_id), cast(int, stream), cast(Row, tuple(row)))

    def _damages_of(self, stream_id: str, stream: int, row: Row) -> Iterator[Damage]:
        place = span("position", row[0] - row[2] + 1, row[0])
        try:
            records = self._reader(stream_id).records(row)
        except CorruptRecordError as error:
            yield Damage(place, error.detail.removeprefix(f"record at position {row[0]}: "))
        except Exception as error:  # whatever a damaged row makes of a decoder
            yield Damage(place, f"cannot be decoded: {error}")
        else:
            yield from self._unindexed(records[0], row[0], stream)

    def _unindexed(self, record: StoredRecord, row_position: int, stream: int) -> Iterator[Damage]:
        """Yield what other tables should hold of a row, by its first record, and do not."""
        place = f"position {record.position}"
        event_id, tags = record.attributes.event_id, record.attributes.tags
        if event_id is not None:
            leads_to = self._value(_KEY, stream, event_id)
            self._key_count += leads_to == record.position
            if leads_to != record.position and not self._named_before(record, leads_to):
                yield Damage(place, f"its event id {event_id!r} leads elsewhere, so that it could be written twice")
        for tag in tags:
            self._tag_count += 1
            if self._value(_TAG, tag, row_position) is None:
                yield Damage(place, f"it is not found by its tag {tag!r}")
        if record.kind == "replicated":
            yield from self._unnumbered(record, stream)

    def _unnumbered(self, record: StoredRecord, stream: int) -> Iterator[Damage]:
        counter = record.version.get(record.writer, 0)
        highest = cast(int | None, self._value(_VERSION, stream, record.writer)) or 0
        self._version_count += highest == counter
        if highest < counter:
            reason = f"its stream knows {highest} events of {record.writer!r}, this is number {counter}"
            yield Damage(f"position {record.position}", reason)

    def _named_before(self, record: StoredRecord, leads_to: object) -> bool:
        """Tell whether two replicas persisted the same event id: both events are kept, the id leads to the first."""
        return record.kind == "replicated" and isinstance(leads_to, int) and leads_to < record.position

    def _surplus(self) -> Iterator[Damage]:
        for table, expected in (
            ("event_key", self._key_count),
            ("event_tag", self._tag_count),
            ("stream_version", self._version_count),
        ):
            actual = cast(int, self._value(f"SELECT count(*) FROM {table}"))
            if actual > expected:
                yield Damage(f"table {table}", f"it has {actual} rows, the events account for {expected}")

    def _reader(self, stream_id: str) -> RowReader:
        reader = self._readers.get(stream_id)
        if reader is None:
            if len(self._readers) >= ROW_READERS_MAX:
                self._readers.clear()
            reader = self._readers[stream_id] = RowReader(stream_id, self._types.__getitem__)
        return reader

    def _value(self, sql: str, *bindings: Any) -> object:
        return self._connection.execute(sql, bindings).get


def _not_in_order(before: int, position: int, count: int) -> Damage:
    first = position - count + 1
    if first > before + 1:
        return Damage(span("position", before + 1, first - 1), "missing")
    return Damage(f"position {position}", f"its row claims {count} events, of which others hold some")


_INDEXES = ("event_by_stream", "recent_event_by_stream")
_INDEX = " UNION ALL ".join(f"SELECT stream, sequence_number, position FROM {table}" for table in _INDEXES)
_STRAY_ENTRIES = f"""
SELECT entry.position, coalesce(stream.stream_id, 'number ' || entry.stream), entry.sequence_number
FROM ({_INDEX}) AS entry LEFT JOIN stream ON stream.id = entry.stream
LEFT JOIN event ON event.position = entry.position
WHERE event.stream IS NOT entry.stream OR event.sequence_number IS NOT entry.sequence_number
"""
_GAPS = f"""
SELECT coalesce(stream.stream_id, 'number ' || entry.stream), sum(event_count), max(entry.sequence_number)
FROM ({_INDEX}) AS entry JOIN event ON event.position = entry.position LEFT JOIN stream ON stream.id = entry.stream
GROUP BY entry.stream HAVING sum(event_count) <> max(entry.sequence_number)
"""
_OUT_OF_ORDER = """
SELECT coalesce(stream.stream_id, 'number ' || recent.stream), recent.sequence_number
FROM recent_event_by_stream AS recent LEFT JOIN stream ON stream.id = recent.stream
WHERE recent.sequence_number
    <= (SELECT max(sequence_number) FROM event_by_stream AS early WHERE early.stream = recent.stream)
"""
_EMPTY_STREAMS = f"SELECT stream_id FROM stream WHERE id NOT IN (SELECT stream FROM ({_INDEX}))"
_BROKEN_REQUESTS = """
SELECT event_id, position, event_count FROM event_key AS key WHERE event_count IS NOT (
    SELECT sum(event_count) FROM event WHERE event.stream = key.stream
    AND event.position >= key.position AND event.position < key.position + key.event_count)
"""
_SNAPSHOTS = f"""
SELECT snapshot_id, sequence_number, type, schema_version, timestamp, payload, checksum, EXISTS (
    SELECT * FROM stream WHERE stream_id = snapshot_id) AND NOT EXISTS (
    SELECT * FROM stream WHERE stream_id = snapshot_id AND sequence_number <= (
        SELECT max(entry.sequence_number) FROM ({_INDEX}) AS entry WHERE entry.stream = stream.id))
FROM snapshot
"""


def damaged_indexes(connection: apsw.Connection) -> Iterator[Damage]:
    """Yield what does not lead to the events, or not to all of them.

    Every entry leads to a row of events, there are as many entries as rows, and no two are alike: so every row has one.
    """
    for position, stream_id, number in connection.execute(_STRAY_ENTRIES):
        yield Damage(f"position {position}", f"it is not number {number} of stream {stream_id!r}, as an index says")
    for stream_id, number in connection.execute(_OUT_OF_ORDER):
        yield Damage(f"stream {stream_id!r}", f"its number {number} is indexed as recent, and is not")
    entries, rows = connection.execute(f"SELECT (SELECT count(*) FROM ({_INDEX})), (SELECT count(*) FROM event)").get
    if entries != rows:
        yield Damage("index of streams", f"it has {entries} entries for {rows} rows of events")
    for stream_id, count, last in connection.execute(_GAPS):
        yield Damage(f"stream {stream_id!r}", f"it has {count} events, numbered up to {last}")
    for (stream_id,) in connection.execute(_EMPTY_STREAMS):
        yield Damage(f"stream {stream_id!r}", "all of its events are missing")
    for event_id, position, count in connection.execute(_BROKEN_REQUESTS):
        yield Damage(f"position {position}", f"the {count} events of request {event_id!r} are not all in its stream")


def damaged_snapshots(connection: apsw.Connection) -> Iterator[Damage]:
    """Yield the snapshots that do not match their checksums, or have seen events that are not there."""
    for *fields, checksum, ahead in connection.execute(_SNAPSHOTS):
        snapshot_id, number, name, version, timestamp, payload = cast(Any, fields)
        snapshot = StoredSnapshot(snapshot_id, number, StoredType(name, version), timestamp, payload)
        place = f"snapshot {snapshot_id!r} at {number}"
        if snapshot_checksum(snapshot) != checksum:
            yield Damage(place, "does not match its checksum")
        if ahead:
            yield Damage(place, "its stream ends before it")
