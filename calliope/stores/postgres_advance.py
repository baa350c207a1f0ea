"""`Advance`: what became visible by a commit, of this process or of others."""

from dataclasses import dataclass, field

from calliope.errors import CorruptRecordError
from calliope.stores.postgres_log import StoredLog
from calliope.stores.postgres_reader import PostgresReader
from calliope.stores.record import StoredRecord
from calliope.stores.versioned import LogEntry

FOREIGN_RECORDS_MAX = 1_024
"""How many records of other processes are read into the tail at once; beyond that readers read pages."""


@dataclass(slots=True)
class Advance:
    """What became visible.

    Attributes:
        records: new records that follow one another, in order; the reader may know some of the first.
        jumped_to: when set, the position before `records`; what lies below it was not read.
        log: the log as it is known now, if that was looked at; with `entries` and `log_jumped_to` as for records.
    """

    records: list[StoredRecord]
    jumped_to: int | None = None
    log: StoredLog | None = None
    entries: list[tuple[int, LogEntry]] = field(default_factory=list)
    log_jumped_to: int | None = None


def advanced(reader: PostgresReader, known: int, head: int) -> Advance:
    """Return what others wrote behind a position, up to the head; too much of it is left to those who read."""
    if head - known > FOREIGN_RECORDS_MAX:
        return Advance([], jumped_to=head)
    records: list[StoredRecord] = []
    try:
        while known + len(records) < head:
            records += reader.log(known + len(records), head - known - len(records))
    except CorruptRecordError:
        return Advance([], jumped_to=head)  # those who read meet the damage
    return Advance(records)
