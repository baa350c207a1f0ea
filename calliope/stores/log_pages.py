"""Pages of a log, made of entries as a database yields them: limited in bytes, and only of what is whole.

What precedes a damaged entry is served; the next page begins with the damage and raises.
"""

from collections.abc import Iterable

from calliope.errors import CorruptRecordError
from calliope.stores.replica_store import LogPage
from calliope.stores.versioned import LogEntry
from crdts import VersionVector

LOG_PAGE_ENTRIES_MAX = 4_096
"""How many entries a page holds at most, however small they are."""


def gathered_page(
    entries: Iterable[tuple[int, LogEntry]],
    have: VersionVector,
    *,
    after: int,
    start: int,
    head: int,
    bytes_max: int,
) -> LogPage:
    """Return a page of the log; see `ReplicaStore.read_log`.

    Args:
        entries: the entries behind `start` that may be lacked, in order; read as far as needed.
        have: what is held by who asks.
        after: the log position that he asked after.
        start: everything up to this log position is held by him.
        head: the highest log position.
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
                return LogPage(page, through, head)
            if not entry.is_whole:
                return _up_to_damage(page, through, head, position, entry)
            page.append(entry)
        through = position
    return LogPage(page, max(after, head), head)


def _up_to_damage(page: list[LogEntry], through: int, head: int, position: int, entry: LogEntry) -> LogPage:
    if not page:
        raise CorruptRecordError(
            None, f"entry {entry.number} of log {entry.log_id!r}, at log position {position}, is damaged"
        )
    return LogPage(page, through, head)
