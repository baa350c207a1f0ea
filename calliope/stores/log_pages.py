"""Pages of a log, made of entries as a database yields them: limited in bytes, and only of what is whole.

What precedes a damaged entry is served; the next page begins with the damage and raises.
"""

from collections.abc import Iterable
from dataclasses import replace

from calliope.errors import CorruptRecordError
from calliope.stores.replica_store import LogPage
from calliope.stores.versioned import LogEntry
from crdts import VersionVector

LOG_PAGE_ENTRIES_MAX = 4_096
"""How many entries a page holds at most, however small they are."""


def gathered_page(
    entries: Iterable[tuple[int, LogEntry]], have: VersionVector, *, start: int, end: LogPage, bytes_max: int
) -> LogPage:
    """Return a page of the log; see `ReplicaStore.read_log`.

    Args:
        entries: the entries behind `start` that may be lacked, in order; read as far as needed.
        have: what is held by who asks.
        start: everything up to this log position is held by him.
        end: the page that it is when all of these have been looked at, without entries.
        bytes_max: about how many bytes the page may have.

    Raises:
        CorruptRecordError: the first entry is damaged.
    """
    page: list[LogEntry] = []
    byte_count, through = 0, start
    for position, entry in entries:
        if entry.number > have[entry.log_id]:
            byte_count += len(entry.body)
            if page and (byte_count > bytes_max or len(page) >= LOG_PAGE_ENTRIES_MAX):
                return replace(end, entries=page, through=through)
            if not entry.is_whole:
                _check_first(page, position, entry)
                return replace(end, entries=page, through=through)
            page.append(entry)
        through = position
    return replace(end, entries=page)


def _check_first(page: list[LogEntry], position: int, damaged: LogEntry) -> None:
    if not page:
        raise CorruptRecordError(
            None, f"entry {damaged.number} of log {damaged.log_id!r}, at log position {position}, is damaged"
        )
