"""The aggregates that are kept in memory: each lent to one task at a time, the least recently used forgotten first."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import anyio

from calliope.domain.aggregate import Aggregate
from calliope.flow.clock import Clock

State = TypeVar("State")
Event = TypeVar("Event")

PAUSE_SECONDS_MIN = 1.0
"""How long `forget_idle` pauses at least."""


class _Kept(Generic[State, Event]):
    """An aggregate, who may use it now, and how many want it."""

    __slots__ = ("aggregate", "lock", "used_at", "users")

    def __init__(self, aggregate: Aggregate[State, Event]) -> None:
        self.aggregate = aggregate
        self.lock = anyio.Lock(fast_acquire=True)
        self.users = 0
        self.used_at = 0.0


class AggregateCache(Generic[State, Event]):
    """Lends aggregates, each to one task at a time, in the order in which they asked.

    Invariant: an aggregate that somebody uses or waits for is never forgotten, so there is one of each stream.

    Args:
        new: makes the aggregate of a stream, not loaded.
        aggregates_max: how many are kept that nobody uses.
        idle_seconds: for how long; looked at whenever the cache is used, and by `forget_idle`.
        clock: tells the time.
    """

    def __init__(
        self, new: Callable[[str], Aggregate[State, Event]], aggregates_max: int, idle_seconds: float, clock: Clock
    ) -> None:
        self._new = new
        self._aggregates_max = aggregates_max
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._in_use: dict[str, _Kept[State, Event]] = {}
        self._idle: OrderedDict[str, _Kept[State, Event]] = OrderedDict()  # the least recently used first

    def __len__(self) -> int:
        return len(self._in_use) + len(self._idle)

    @asynccontextmanager
    async def lent(self, stream_id: str) -> AsyncIterator[Aggregate[State, Event]]:
        """Lend the aggregate of a stream for the block; wait while somebody else has it."""
        kept = self._in_use.get(stream_id) or self._taken_from_idle(stream_id)
        kept.users += 1
        try:
            async with kept.lock:
                yield kept.aggregate
        finally:
            kept.users -= 1
            if kept.users == 0:
                self._put_back(stream_id)

    async def forget_idle(self) -> None:
        """Forget what is idle for too long also when nobody uses the cache, until cancelled."""
        while True:
            await self._clock.sleep(max(self._next_idle_seconds(), PAUSE_SECONDS_MIN))
            self._forget_superfluous()

    def _next_idle_seconds(self) -> float:
        """Return after how long one may have to be forgotten: what is idle later has more time."""
        if not self._idle:
            return self._idle_seconds
        return next(iter(self._idle.values())).used_at + self._idle_seconds - self._clock.now()

    def _taken_from_idle(self, stream_id: str) -> _Kept[State, Event]:
        self._forget_superfluous()
        kept = self._idle.pop(stream_id, None) or _Kept(self._new(stream_id))
        self._in_use[stream_id] = kept
        return kept

    def _put_back(self, stream_id: str) -> None:
        kept = self._idle[stream_id] = self._in_use.pop(stream_id)
        kept.used_at = self._clock.now()
        self._forget_superfluous()

    def _forget_superfluous(self) -> None:
        idle_since = self._clock.now() - self._idle_seconds
        while self._idle and (
            len(self._idle) > self._aggregates_max or next(iter(self._idle.values())).used_at <= idle_since
        ):
            self._idle.popitem(last=False)
