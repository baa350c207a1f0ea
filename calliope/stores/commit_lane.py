"""One lane for all writes: group commit on a thread of its own.

A commit costs a sync of the disk, whatever it holds. So requests that arrive while one commit is under way are gathered
and go into the next together (group commit; DeWitt et al., SIGMOD 1984, section 4). One thread writes, so nothing else
needs a lock, and the event loop never waits for the disk.

    caller      submit ──► gathering ──┐ at the end of the loop's turn, if the thread is free
    event loop                         ├─► thread: commit(batch)
    caller      ◄── announce, wake ────┘

1. The first request of a turn schedules the hand-over for the end of that turn, so all callers that the last commit
   woke are in the next batch together.
2. While the thread commits, requests gather.
3. When it is done, the records are announced to readers, then the callers resume: durable first, visible second.

A cancelled caller stops waiting; its request stays in the lane and is written as if nothing had happened. So does a
caller who closes the lane: it ends by itself when all is committed, whoever waits for that.

Invariant: at most one batch is with the thread.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import anyio

from calliope.errors import JournalClosedError
from calliope.stores.event_loop import EventLoop, EventLoopEndedError, Waiter

Request = TypeVar("Request")
Reply = TypeVar("Reply")
Outcome = TypeVar("Outcome")

LANE_REQUESTS_MAX = 16_384
"""How many requests may gather for the next commit; further callers wait for room."""


class Pending(Generic[Request, Reply]):
    """A request on its way. The committing thread sets either its reply or its error."""

    __slots__ = ("error", "reply", "request", "waiter")

    def __init__(self, request: Request, waiter: Waiter) -> None:
        self.request = request
        self.waiter = waiter
        self.reply: Reply | None = None
        self.error: Exception | None = None


class CommitLane(Generic[Request, Reply, Outcome]):
    """Takes requests from any number of tasks and commits them in batches, in order.

    Create it inside the event loop that will use it.

    Args:
        commit: commits a batch on the lane's thread; sets the reply or the error of each request, and never raises.
        announce: tells readers what a commit returned, in the event loop, before the callers resume.
        idle: called on the thread whenever it had nothing to do for a while, and soon after `prod`; returns the seconds
            until the next call.
        release: called on the thread when it ends.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Pending[Request, Reply]]], Outcome],
        announce: Callable[[Outcome], None],
        idle: Callable[[], float],
        release: Callable[[], None],
    ) -> None:
        self._commit = commit
        self._announce = announce
        self._idle = idle
        self._release = release
        self._gathering: list[Pending[Request, Reply]] = []
        self._handing_over = False
        self._committing = False
        self._closed = False
        self._ended = anyio.Event()
        self._turn_over: anyio.Event | None = None
        self._queue: SimpleQueue[list[Pending[Request, Reply]] | None] = SimpleQueue()
        self._loop = EventLoop()
        threading.Thread(target=self._work, name="calliope-commit-lane", daemon=True).start()

    async def submit(self, request: Request) -> Reply:
        """Commit a request and return its reply.

        Cancellation stops the waiting, not the writing.

        Raises:
            JournalClosedError: the lane is closed; nothing was written.
            Exception: whatever error `commit` set for this request.
        """
        while len(self._gathering) >= LANE_REQUESTS_MAX:
            await self._turn()
        if self._closed:
            raise JournalClosedError("the journal is closed; nothing was written")
        pending: Pending[Request, Reply] = Pending(request, self._loop.new_waiter())
        self._gathering.append(pending)
        if not self._committing and not self._handing_over:
            self._hand_over_soon()
        await pending.waiter
        if pending.error is not None:
            raise pending.error
        return pending.reply  # type: ignore[return-value] # set by commit, or else the error is

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run a function in the event loop; for the lane's thread, which ends if the event loop has ended."""
        self._loop.post(function, *arguments)

    def prod(self) -> None:
        """Have `idle` called as soon as the thread has nothing else to do; for any thread."""
        if self._queue.empty():
            self._queue.put([])

    async def aclose(self) -> None:
        """Return when all that was accepted is committed and everything is released; closing twice does nothing.

        Cancellation stops the waiting, not the closing.
        """
        if not self._closed:
            self._closed = True
            self._end_if_done()
        with anyio.CancelScope(shield=True):
            await self._ended.wait()

    async def _turn(self) -> None:
        """Wait until a batch is handed over or finished."""
        self._turn_over = self._turn_over or anyio.Event()
        await self._turn_over.wait()

    def _end_turn(self) -> None:
        if self._turn_over is not None:
            self._turn_over.set()
            self._turn_over = None

    def _hand_over_soon(self) -> None:
        self._handing_over = True
        self._loop.soon(self._hand_over)

    def _hand_over(self) -> None:
        self._handing_over = False
        self._committing = True
        batch, self._gathering = self._gathering, []
        self._queue.put(batch)
        self._end_turn()

    def _finish(self, batch: list[Pending[Request, Reply]], outcome: Outcome) -> None:
        self._committing = False
        try:
            self._announce(outcome)
        finally:
            for pending in batch:
                if not pending.waiter.done():  # a cancelled caller does not wait any more
                    pending.waiter.set_result(None)
            if self._gathering:
                self._hand_over_soon()
            self._end_turn()
            self._end_if_done()

    def _end_if_done(self) -> None:
        if self._closed and not self._committing and not self._gathering:
            self._queue.put(None)

    def _work(self) -> None:
        with suppress(EventLoopEndedError):
            try:
                self._commit_batches()
            finally:
                self._release()
            self.post(self._ended.set)

    def _commit_batches(self) -> None:
        pause = self._idle()
        while True:
            try:
                batch = self._queue.get(timeout=pause)
            except Empty:
                pause = self._idle()
                continue
            if batch is None:
                return
            if not batch:
                pause = self._idle()
                continue
            self.post(self._finish, batch, self._commit(batch))
