"""The newest log entries in memory, and the wake-up of those who replicate them."""

from bisect import bisect_right
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
        self._positions: list[int] = []
        self._entries: list[LogEntry] = []
        self._byte_count = 0
        self._wakeup: anyio.Event | None = None
        self._closed = False

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for entries."""
        return self._wakeup is not None

    def covers(self, position: int) -> bool:
        """Tell whether everything after a log position is here."""
        return position >= self._start

    def after(self, position: int, count_max: int | None = None) -> list[tuple[int, LogEntry]]:
        """Return the entries after a log position that the tail covers, in order; at most so many, if that is said."""
        first = bisect_right(self._positions, position)
        last = None if count_max is None else first + count_max
        return list(zip(self._positions[first:last], self._entries[first:last], strict=True))

    def publish(self, entries: Sequence[tuple[int, LogEntry]]) -> None:
        """Add the entries that directly follow `position`, which are durable, and wake those who wait."""
        if not entries:
            return
        self._positions += [place for place, _ in entries]
        self._entries += [entry for _, entry in entries]
        self._byte_count += sum([len(entry.body) for _, entry in entries])
        self.position = entries[-1][0]
        if self._byte_count > LOG_TAIL_BYTES_MAX:
            self._forget_oldest()
        self._wake()

    def reset(self, position: int) -> None:
        """Skip to a log position whose predecessors are not at hand; readers read pages."""
        self._positions.clear()
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

    def _forget_oldest(self) -> None:
        """Forget an eighth more than must be: what is left moves up, which is not done for each entry."""
        count = 0
        while self._byte_count > LOG_TAIL_BYTES_MAX - LOG_TAIL_BYTES_MAX // 8:
            self._byte_count -= len(self._entries[count].body)
            count += 1
        self._start = self._positions[count - 1]
        del self._positions[:count], self._entries[:count]
