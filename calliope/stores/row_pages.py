"""Pages made of rows: cut to what was asked for, and to what is whole.

Positions and sequence numbers have no gaps in a journal of rows, so a gap is a loss and is reported like a wrong
checksum. What precedes a damaged row is served; the next page begins with the damage and raises.
"""

from calliope.errors import CorruptRecordError
from calliope.stores.event_rows import Row, RowReader, RowRun, follow_one_another
from calliope.stores.record import Selection, StoredRecord
from calliope.stores.run import RecordRun, Run

PAGE_PAYLOAD_BYTES_MAX = 4 * 1024 * 1024
"""A page ends soon after its payloads exceed this, however few records it has."""

SCAN_POSITIONS_MAX = 20_000
"""How far one page looks for records that match a selection; it may come back empty and further on."""


class Gathered:
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


def whole(rows: list[Row], reader: RowReader, after: int) -> list[Row]:
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


def cut(rows: list[Row], reader: RowReader, after: int, limit: int) -> Run:
    """Return a run of rows that begins after a sequence number and keeps the limit; it ends with a row if it can."""
    wanted = after + limit
    while len(rows) > 1 and rows[-1][1] > wanted:
        rows.pop()
    run = RowRun(rows, reader)
    if rows[0][1] - rows[0][2] == after and run.last_sequence_number <= wanted:
        return run
    return RecordRun([record for record in run.records if after < record.sequence_number <= wanted])
