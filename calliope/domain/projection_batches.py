"""`Batches`: takes records into a target, many in one transaction, and tells where it cannot go on.

A handler that fails is tried again. What came before it in its batch is committed first, so that it alone is repeated;
then pauses grow from attempt to attempt. A transaction that fails as a whole is halved until one event is to blame.

Invariant: an event is handled only after all before it, and none is left out but those that somebody skipped.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio

from calliope.domain.projection_errors import OffsetMovedError
from calliope.domain.projection_handlers import Handlers
from calliope.domain.projection_progress import Parked, Progress
from calliope.domain.projection_stop import Stop
from calliope.domain.projection_target import Target
from calliope.flow import Backoff, Clock
from calliope.recorded_event import RecordedEvent

View = TypeVar("View")

Record = RecordedEvent[Any]


class Patience:
    """How often a handler is tried, and with which pauses.

    Args:
        attempts: how often an event is tried before the projection is parked.
        backoff: how long the pauses are.
        clock: what they are measured by.
        random: returns numbers from 0 to 1, for the jitter.
        stop: ends a pause early, and all patience.
    """

    def __init__(self, attempts: int, backoff: Backoff, clock: Clock, random: Callable[[], float], stop: Stop) -> None:
        self.attempts = attempts
        self._backoff = backoff
        self._clock = clock
        self._random = random
        self._stop = stop

    async def pause(self, failures: int) -> bool:
        """Wait before the next attempt; False if there shall be none."""
        seconds = self._backoff.pause_seconds(failures, self._random())
        await self._stop.unless_requested(lambda: self._clock.sleep(seconds))
        return not self._stop.requested


class Batches(Generic[View]):
    """Takes the records of one projection into one target.

    Args:
        name: the projection.
        target: the view.
        handlers: what becomes of a record.
        skipped: positions of events to go on without; it may grow.
        patience: how failures are met.
        progress: is told how far it has come after each commit.
        lane: held while the view changes.

    Attributes:
        offset: the position up to which the view has seen the journal.
    """

    def __init__(
        self,
        name: str,
        target: Target[View],
        handlers: Handlers[View],
        skipped: set[int],
        patience: Patience,
        progress: Progress,
        lane: anyio.Lock,
    ) -> None:
        self._name = name
        self._target = target
        self._handlers = handlers
        self._skipped = skipped
        self._patience = patience
        self._progress = progress
        self._lane = lane
        self.offset = 0

    async def load(self) -> None:
        """Learn where the target stands."""
        self.offset = await self._target.offset(self._name)
        self._progress.start_at(self.offset)

    async def take(self, records: Sequence[Record]) -> Parked | None:
        """Take records into the view; return where that cannot go on, or None.

        Raises:
            OffsetMovedError: another process moved the offset; `load` and go on from there.

        Cancellation leaves the view as of the last commit; so does a patience that has ended.
        """
        async with self._lane:
            self._progress.work()
            try:
                return await self._take(self._not_seen(records))
            finally:
                self._progress.rest()

    async def move_to(self, position: int) -> None:
        """Keep a higher offset, up to which the journal has nothing for this view."""
        async with self._lane:
            if position > self.offset:
                async with self._target.transaction(self._name, self.offset) as transaction:
                    transaction.reached = position
                self._move_to(position)

    async def _take(self, pending: Sequence[Record]) -> Parked | None:
        size_max = len(pending)
        blame: _Blame | None = None
        while pending:
            if blame is not None and blame.record is pending[0]:
                if blame.failures >= self._patience.attempts:
                    return parked_at(blame.record, blame.error, blame.failures)
                if not await self._patience.pause(blame.failures):
                    return None
            lot = pending[:size_max] if blame is None else _up_to(blame.record, pending)
            failure = await self._commit(lot)
            pending = self._not_seen(pending)
            if failure is not None and failure.record is not None:
                blame = _Blame.after(blame, failure.record, failure.error)
            elif failure is not None:
                size_max = max(1, len(lot) // 2)
            elif blame is not None and blame.record not in pending:
                blame = None
        return None

    async def _commit(self, lot: Sequence[Record]) -> "_Failure | None":
        """Handle records in one transaction; return what failed, if something did."""
        at: Record | None = None
        try:
            async with self._target.transaction(self._name, self.offset) as transaction:
                for at in lot:
                    if at.position not in self._skipped:
                        result = self._handlers.call(at, transaction.view)
                        if result is not None:
                            await result
                    transaction.reached = at.position
                at = None
        except OffsetMovedError:
            raise
        except Exception as error:
            await self._look_again()
            return _Failure(error, at or (lot[0] if len(lot) == 1 else None))
        self._move_to(lot[-1].position)
        return None

    async def _look_again(self) -> None:
        """Learn what a failed transaction has left."""
        with suppress(Exception):  # if the target cannot tell, the next transaction finds out, and fails or says so
            await self.load()

    def _move_to(self, offset: int) -> None:
        self.offset = offset
        self._progress.reach(offset)

    def _not_seen(self, records: Sequence[Record]) -> list[Record]:
        return [record for record in records if record.position > self.offset]


@dataclass(frozen=True)
class _Failure:
    """Why a transaction came to nothing; without a record, nobody knows yet which event is to blame."""

    error: Exception
    record: Record | None


@dataclass(frozen=True)
class _Blame:
    """An event whose handler fails, and how often it has."""

    record: Record
    error: Exception
    failures: int

    @staticmethod
    def after(before: "_Blame | None", record: Record, error: Exception) -> "_Blame":
        """Count one more failure, or the first of another event."""
        return _Blame(record, error, 1 + (before.failures if before is not None and before.record is record else 0))


def parked_at(record: Record, error: Exception, attempts: int) -> Parked:
    """Return how it reads that a record could not be handled."""
    return Parked(record.position, record.type, record.stream_id, f"{type(error).__name__}: {error}", attempts)


def _up_to(record: Record, pending: Sequence[Record]) -> Sequence[Record]:
    """Return what comes before a record, or it alone if it comes first."""
    ahead = [one is record for one in pending].index(True)
    return pending[: ahead or 1]
