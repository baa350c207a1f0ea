"""`LogFollower`: tells of everything that becomes durable in a journal's log, whoever wrote it, once and in order."""

from collections.abc import Callable, Sequence

from calliope.stores.replica_store import LogPage, ReplicaStore
from calliope.stores.versioned import LogEntry
from crdts.version_vector import NOTHING_SEEN
from replication.core.effects import Read

FOLLOWED_BYTES_MAX = 1024 * 1024
"""How much of the log is read at once where the tail does not reach back."""

PAGE_ENTRIES_MAX = 4_096
"""How many entries are looked through at once for a peer."""


class LogFollower:
    """Follows the log of a store from where it stands now.

    Args:
        store: the journal's store.
        on_entries: told what has become durable, with log positions.

    Attributes:
        position: everything up to here was told.
    """

    def __init__(self, store: ReplicaStore, on_entries: Callable[[Sequence[tuple[int, LogEntry]]], None]) -> None:
        self.position = store.log_tail.position
        self._store = store
        self._on_entries = on_entries

    async def run(self) -> None:
        """Follow until cancelled, or the journal is closed."""
        tail = self._store.log_tail
        while True:
            await tail.wait(self.position)
            if tail.covers(self.position):
                self.follow_tail()
            else:
                await self._follow_store()

    def follow_tail(self) -> None:
        """Tell at once what has become durable, as far as it is in memory."""
        tail = self._store.log_tail
        if tail.position > self.position and tail.covers(self.position):
            entries = tail.after(self.position)
            self.position = tail.position
            self._on_entries(entries)

    def page(self, read: Read) -> LogPage | None:
        """Return what a peer lacks, if that is in memory; nothing that was not told yet."""
        tail = self._store.log_tail
        if not tail.covers(read.after):
            return None
        entries: list[LogEntry] = []
        byte_count, through = 0, read.after
        for position, entry in tail.after(read.after, PAGE_ENTRIES_MAX):
            if position > self.position:
                break
            if entry.number > read.have[entry.log_id]:
                byte_count += len(entry.body)
                if entries and byte_count > read.bytes_max:
                    break
                entries.append(entry)
            through = position
        return LogPage(entries, through, self.position)

    async def _follow_store(self) -> None:
        page = await self._store.read_log(have=NOTHING_SEEN, after=self.position, bytes_max=FOLLOWED_BYTES_MAX)
        if page.through > self.position:
            self.position = page.through
            self._on_entries([(page.through, entry) for entry in page.entries])
