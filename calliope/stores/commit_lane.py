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

Where a commit says when it has nothing left to do but wait for the database (`underway`), many callers take turns: what
has gathered is on its way before those of the last batch are told, so that they are woken meanwhile. See `Turns`.

A cancelled caller stops waiting; its request stays in the lane and is written as if nothing had happened. So does a
caller who closes the lane: it ends by itself when all is committed, whoever waits for that.

Invariant: at most one batch is with the thread; one more may be committed and not told yet.
Invariant: batches are told in the order in which they were committed.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import anyio

from calliope.errors import JournalClosedError
from calliope.stores.event_loop import EventLoop, EventLoopEndedError, Waiter
from calliope.stores.turns import TURN_REQUESTS_MIN, Turns

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
        clock: counts seconds; it is only measured with.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Pending[Request, Reply]]], Outcome],
        announce: Callable[[Outcome], None],
        idle: Callable[[], float],
        release: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._commit = commit
        self._announce = announce
        self._idle = idle
        self._release = release
        self._gathering: list[Pending[Request, Reply]] = []
        self._handing_over = False
        self._committing = False
        self._closed = False
        self._clock = clock
        self._turns = Turns()
        self._untold: Callable[[], None] | None = None
        self._underway_since: float | None = None
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

    def underway(self) -> None:
        """Say that only the database is waited for now; for `commit`, whenever that begins.

        Those of the last batch are told meanwhile.
        """
        self._underway_since = self._clock()
        with suppress(EventLoopEndedError):  # it is met again when this batch is told
            self._tell()

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
        self._queue.put(self._taken(self._turns.share(len(self._gathering))))
        self._end_turn()

    def _taken(self, count: int) -> list[Pending[Request, Reply]]:
        """Take the first of those who gathered; whoever comes meanwhile goes to the end of the same list."""
        taken = self._gathering[:count]
        del self._gathering[:count]
        return taken

    def _finish(self, batch: list[Pending[Request, Reply]], outcome: Outcome, *, another: bool) -> None:
        self._committing = another
        began = self._clock()
        try:
            self._announce(outcome)
        finally:
            for pending in batch:
                waiter = pending.waiter
                if not waiter.done():  # a cancelled caller does not wait any more
                    waiter.set_result(None)
            if len(batch) >= TURN_REQUESTS_MIN:
                self._loop.soon(self._have_gathered, len(batch), began)
            if self._gathering and not self._committing:
                self._hand_over_soon()
            self._end_turn()
            self._end_if_done()

    def _have_gathered(self, count: int, began: float) -> None:
        self._turns.gathered(count, self._clock() - began)

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
            while batch:
                batch = self._commit_and_tell(batch)

    def _commit_and_tell(self, batch: list[Pending[Request, Reply]]) -> list[Pending[Request, Reply]]:
        """Commit a batch; return the next one if it is to be on its way before this one is told."""
        outcome = self._commit(batch)
        since, self._underway_since = self._underway_since, None
        self._tell()
        following: list[Pending[Request, Reply]] = []
        if since is not None:
            self._turns.waited(self._clock() - since)
            following = self._taken(self._turns.share(len(self._gathering), len(batch)))
        self._untold = partial(self.post, partial(self._finish, batch, outcome, another=bool(following)))
        if not following:
            self._tell()
        return following

    def _tell(self) -> None:
        untold, self._untold = self._untold, None
        if untold is not None:
            untold()
