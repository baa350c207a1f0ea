"""The newest log entries in memory, and the wake-up of those who replicate them."""

from collections import deque
from collections.abc import Sequence

import anyio

from calliope.errors import JournalClosedError
from calliope.stores.versioned import LogEntry

LOG_TAIL_BYTES_MAX = 16 * 1024 * 1024
"""How many bytes of entries the tail keeps at most; who is further behind reads pages."""


class LogTail:
    """The newest entries of a replica's log, each with its log position.

    Use it from the event loop that opened the journal only.

    Attributes:
        position: the highest log position that readers may know of.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self._start = position
        self._entries: deque[tuple[int, LogEntry]] = deque()
        self._byte_count = 0
        self._wakeup: anyio.Event | None = None
        self._closed = False

    def covers(self, position: int) -> bool:
        """Tell whether everything after a log position is here."""
        return position >= self._start

    def after(self, position: int) -> list[tuple[int, LogEntry]]:
        """Return the entries after a log position that the tail covers, in order."""
        found: list[tuple[int, LogEntry]] = []
        for place, entry in reversed(self._entries):
            if place <= position:
                break
            found.append((place, entry))
        found.reverse()
        return found

    def publish(self, entries: Sequence[tuple[int, LogEntry]]) -> None:
        """Add the entries that directly follow `position`, which are durable, and wake those who wait."""
        if not entries:
            return
        self._entries.extend(entries)
        self._byte_count += sum([len(entry.body) for _, entry in entries])
        self.position = entries[-1][0]
        while self._byte_count > LOG_TAIL_BYTES_MAX:
            self._start, oldest = self._entries.popleft()
            self._byte_count -= len(oldest.body)
        self._wake()

    def reset(self, position: int) -> None:
        """Skip to a log position whose predecessors are not at hand; readers read pages."""
        self._entries.clear()
        self._byte_count = 0
        self._start = self.position = position
        self._wake()

    def close(self) -> None:
        """End the waiting; nothing will be published any more."""
        self._closed = True
        self._wake()

    async def wait(self, position: int) -> None:
        """Return when there is something after a log position; cancellation leaves nothing behind.

        Raises:
            JournalClosedError: the journal is closed, and nothing will come.
        """
        while self.position <= position:
            if self._closed:
                raise JournalClosedError("the journal was closed while somebody waited for its log")
            if self._wakeup is None:
                self._wakeup = anyio.Event()
            await self._wakeup.wait()

    def _wake(self) -> None:
        if self._wakeup is not None:
            wakeup, self._wakeup = self._wakeup, None
            wakeup.set()
