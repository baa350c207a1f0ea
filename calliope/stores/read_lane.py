"""`ReadLane`: reads for many tasks in a few threads, several of them in one go.

To hand a read to another thread and its result back costs more than a small read itself. So reads that are asked for in
one turn of the event loop, or while all threads are busy, are handed over together: a thread takes its share of them
and brings the results back together. Who asks alone waits for nobody.

    callers     submit ──► gathering ──┐ at the end of the loop's turn, to threads that are free
    event loop                         ├─► thread: read, read, read
    callers     ◄── wake ──────────────┘

Invariant: as many batches are with threads as threads are busy.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

from calliope.errors import JournalClosedError
from calliope.stores.event_loop import EventLoop, EventLoopEndedError, Waiter

R = TypeVar("R")
T = TypeVar("T")

TOGETHER_MAX = 32
"""How many reads a thread takes at once."""

TOGETHER_SECONDS = 0.001
"""After how long a thread brings the results back that it has, before it goes on."""


class _Pending(Generic[R]):
    """A read on its way; the thread sets either its result or its error."""

    __slots__ = ("error", "read", "result", "waiter")

    def __init__(self, read: Callable[[R], object], waiter: Waiter) -> None:
        self.read = read
        self.waiter = waiter
        self.result: object = None
        self.error: BaseException | None = None


class ReadLane(Generic[R]):
    """Reads for any number of tasks. Create it inside the event loop that will use it.

    Args:
        lend: calls a function with a reader; called in the lane's threads.
        threads_max: how many threads read at the same time.
    """

    def __init__(self, lend: Callable[[Callable[[R], Any]], Any], threads_max: int) -> None:
        self._lend = lend
        self._threads_max = threads_max
        self._threads = 0
        self._busy = 0
        self._gathering: list[_Pending[R]] = []
        self._handing_over = False
        self._closed = False
        self._loop = EventLoop()
        self._queue: SimpleQueue[list[_Pending[R]] | None] = SimpleQueue()

    async def submit(self, read: Callable[[R], T]) -> T:
        """Return what a read returns, which is called in another thread.

        Cancellation stops the waiting; a read that has begun goes on to its end.

        Raises:
            JournalClosedError: the lane is closed.
            Exception: whatever the read raises.
        """
        if self._closed:
            raise JournalClosedError("the journal is closed")
        pending = _Pending(read, self._loop.new_waiter())
        self._gathering.append(pending)
        if not self._handing_over and self._busy < self._threads_max:
            self._hand_over_soon()
        await pending.waiter
        if pending.error is not None:
            raise pending.error
        return cast(T, pending.result)

    def close(self) -> None:
        """Take no more; what was asked for is answered, and the threads end after that."""
        self._closed = True
        if not self._handing_over:
            self._hand_over_soon()

    def _hand_over_soon(self) -> None:
        self._handing_over = True
        self._loop.soon(self._hand_over)

    def _hand_over(self) -> None:
        """Give each free thread its share."""
        self._handing_over = False
        self._gathering = [pending for pending in self._gathering if not pending.waiter.done()]
        while self._gathering and self._busy < self._threads_max:
            free = self._threads_max - self._busy
            count = min(TOGETHER_MAX, -(-len(self._gathering) // free))
            batch, self._gathering = self._gathering[:count], self._gathering[count:]
            self._busy += 1
            if self._busy > self._threads:
                self._threads += 1
                threading.Thread(target=self._work, name="calliope-read-lane", daemon=True).start()
            self._queue.put(batch)
        if self._closed and not self._gathering:
            for _ in range(self._threads):
                self._queue.put(None)
            self._threads = 0

    def _finish(self, finished: list[_Pending[R]], last: bool) -> None:  # noqa: FBT001 - called by position only
        for pending in finished:
            if not pending.waiter.done():  # a cancelled caller does not wait any more
                pending.waiter.set_result(None)
        if last:
            self._busy -= 1
            if (self._gathering or self._closed) and not self._handing_over:
                self._hand_over_soon()

    def _work(self) -> None:
        with suppress(EventLoopEndedError):
            while (batch := self._queue.get()) is not None:
                self._read(batch)

    def _read(self, batch: list[_Pending[R]]) -> None:
        finished: list[_Pending[R]] = []
        bring_at = time.monotonic() + TOGETHER_SECONDS
        for pending in batch:
            try:
                pending.result = self._lend(pending.read)
            except BaseException as error:
                pending.error = error
            finished.append(pending)
            if pending is not batch[-1] and time.monotonic() > bring_at:
                self._loop.post(self._finish, finished, False)
                finished, bring_at = [], time.monotonic() + TOGETHER_SECONDS
        self._loop.post(self._finish, finished, True)
