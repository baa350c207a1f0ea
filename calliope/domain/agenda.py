"""`Agenda`: what is due when, in memory, and the waiting for it.

Two clocks, because each is wrong for the other's task. Deadlines outlive processes and machines, so the *wall clock*
says whether a time has come. It may be set, forward or backward, so nobody sleeps by it: the *monotonic* clock measures
the pauses, and after each the wall clock is asked again.

Invariant: a key is handed out only when the wall clock shows its time or a later one. Set back, the clock makes it wait
    longer; set forward, it is noticed within `LOOK_AGAIN_SECONDS`.
Invariant: memory grows with what is on the agenda, not with what ever was.
"""

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

import anyio

from calliope.event_stream import MicrosecondClock
from calliope.flow.clock import Clock, check_clock
from calliope.flow.pump import Signal

K = TypeVar("K", bound=Hashable)

LOOK_AGAIN_SECONDS = 10.0
"""After how long the wall clock is asked again at the latest: it may have been set, or the machine have slept."""

_FORGOTTEN_MAX = 64


class Agenda(Generic[K]):
    """Hands out keys when their times have come; one task waits, any number of tasks add and remove.

    Args:
        wall_clock: the wall clock, in microseconds since 1970 UTC.
        clock: measures the pauses.
    """

    def __init__(self, wall_clock: MicrosecondClock, clock: Clock) -> None:
        check_clock(clock)
        self._now = wall_clock
        self._clock = clock
        self._entries: dict[K, tuple[int, int]] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._tickets = count()
        self._earlier = Signal()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def put(self, key: K, due: int) -> None:
        """Have a key handed out at a time, in microseconds since 1970 UTC, and at no other."""
        ticket = next(self._tickets)
        self._entries[key] = (due, ticket)
        heappush(self._heap, (due, ticket, key))
        if self._heap[0][1] == ticket:
            self._earlier.set()

    def discard(self, key: K) -> None:
        """Forget a key, if it is there."""
        self._entries.pop(key, None)
        if len(self._heap) > 2 * len(self._entries) + _FORGOTTEN_MAX:
            self._heap = [(due, ticket, key) for key, (due, ticket) in self._entries.items()]
            heapify(self._heap)

    async def next_due(self, limit: int) -> list[K]:
        """Wait until something is due, and return at most `limit` keys, the earliest first; they are then gone.

        Cancellation leaves all keys where they are.
        """
        while True:
            if keys := self._taken(limit):
                return keys
            await self._wait()

    def _taken(self, limit: int) -> list[K]:
        keys: list[K] = []
        now = self._now()
        while self._heap and self._heap[0][0] <= now and len(keys) < limit:
            due, ticket, key = heappop(self._heap)
            if self._entries.get(key) == (due, ticket):
                del self._entries[key]
                keys.append(key)
        return keys

    async def _wait(self) -> None:
        if not self._heap:
            await self._earlier.wait()
            return
        seconds = min((self._heap[0][0] - self._now()) / 1_000_000, LOOK_AGAIN_SECONDS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._stop_when_earlier, tasks.cancel_scope)
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()

    async def _stop_when_earlier(self, waiting: anyio.CancelScope) -> None:
        await self._earlier.wait()
        waiting.cancel()
