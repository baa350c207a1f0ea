"""Time, as an argument: stages that wait ask a `Clock`, and tests turn its hands.

`LoopClock` is the event loop's own monotonic clock, the default everywhere. `ManualClock` moves only when
it is told to, so that a test of an hour takes no time and never depends on the machine's load.
"""

import asyncio
from heapq import heappop, heappush
from itertools import count
from typing import Any, Protocol, runtime_checkable

import anyio

from calliope.flow.by_hand import in_trio


@runtime_checkable
class Clock(Protocol):
    """A monotonic clock that can be waited for."""

    def now(self) -> float:
        """Return the time in seconds; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""
        ...


class LoopClock:
    """The monotonic clock of the running event loop."""

    def now(self) -> float:
        """Return the loop's time in seconds."""
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        """Sleep; other tasks run meanwhile."""
        await anyio.sleep(max(seconds, 0))


LOOP_CLOCK = LoopClock()


class ManualClock:
    """A clock that stands still until `advance` moves it.

    Args:
        now: what it shows at first, in seconds.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._tickets = count()

    def now(self) -> float:
        """Return what the hands show, in seconds."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been advanced by that much."""
        woken = anyio.Event()
        heappush(self._sleepers, (self._now + max(seconds, 0), next(self._tickets), woken))
        if seconds <= 0:
            woken.set()
        await woken.wait()

    async def advance(self, seconds: float) -> None:
        """Move the clock on, waking sleepers one after the other in the order of their times.

        All other tasks run until they wait, before the first is woken and after each: what a woken task
        puts to sleep within this time is woken within this call, too.
        """
        until = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, woken = heappop(self._sleepers)
            self._now = max(self._now, at)
            woken.set()
            await settle()
        self._now = until


def check_clock(value: Any) -> None:
    """Raise `TypeError` unless the value can be used as a clock."""
    if not isinstance(value, Clock):
        raise TypeError(f"clock must have now() and sleep(), not {value!r}")


async def settle() -> None:
    """Return when every other task waits for something that has not come yet; no time passes."""
    if in_trio():
        await anyio.wait_all_tasks_blocked()
        return
    current = asyncio.current_task()
    await asyncio.sleep(0)
    while any(task is not current and _is_runnable(task) for task in asyncio.all_tasks()):  # noqa: ASYNC110
        await asyncio.sleep(0)  # there is no event for "everybody waits"


def _is_runnable(task: asyncio.Task[object]) -> bool:
    waiter = getattr(task, "_fut_waiter", None)  # the only place where asyncio tells what a task waits for
    return waiter is None or waiter.done()
