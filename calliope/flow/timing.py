"""Stages and sources that look at the clock."""

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from calliope.flow.alarm import Alarm
from calliope.flow.arguments import check_count, check_seconds
from calliope.flow.clock import Clock, check_clock
from calliope.flow.closing import close
from calliope.flow.errors import StreamTimeoutError
from calliope.flow.inlet import EVERYTHING, Inlet, Stage
from calliope.flow.pump import Pump, Signal, offered
from calliope.flow.stages import attaching

T = TypeVar("T")


class TickInlet:
    """Hands over 1, 2, 3 … at the end of each interval; intervals that nobody waited for are skipped."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._started = clock.now()
        self._last = 0
        self._ended = False

    async def pull(self, limit: int) -> Sequence[int]:
        """Return the number of the interval that ends next."""
        if self._ended:
            return ()
        elapsed = int((self._clock.now() - self._started) / self._seconds)
        self._last = max(self._last, elapsed) + 1
        await self._clock.sleep(self._started + self._last * self._seconds - self._clock.now())
        return (self._last,)

    async def aclose(self) -> None:
        """End the ticking."""
        self._ended = True


class ThrottleInlet(Generic[T]):
    """Lets at most `n` elements pass in any `seconds`, by pulling no faster."""

    def __init__(self, upstream: Inlet[T], n: int, seconds: float, clock: Clock) -> None:
        self._upstream = upstream
        self._seconds = seconds
        self._clock = clock
        self._room = n
        self._passed: deque[tuple[float, int]] = deque()  # when how many went through, for as long as they count

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what may pass now; wait if it is too early for even one."""
        self._forget()
        if not self._room:
            await self._clock.sleep(self._passed[0][0] + self._seconds - self._clock.now())
            self._room += self._passed.popleft()[1]
        chunk = await self._upstream.pull(min(limit, self._room))
        self._room -= len(chunk)
        self._passed.append((self._clock.now(), len(chunk)))
        return chunk

    def _forget(self) -> None:
        past = self._clock.now() - self._seconds
        while self._passed and self._passed[0][0] <= past:
            self._room += self._passed.popleft()[1]

    async def aclose(self) -> None:
        """Close what is upstream."""
        await self._upstream.aclose()


class BatchWithinInlet(Generic[T]):
    """Puts together what comes within a time, or as many elements as a batch may have."""

    def __init__(self, upstream: Inlet[T], n: int, seconds: float, clock: Clock) -> None:
        self._n = n
        self._seconds = seconds
        self._wanted = 0
        self._held: list[T] = []
        self._signal = Signal()
        self._pump = Pump(upstream, self._changed)
        self._alarm = Alarm(clock, self._signal.set)

    async def pull(self, limit: int) -> Sequence[list[T]]:
        """Return the batches that are full, or one as old as a batch may become, or the last."""
        self._wanted = EVERYTHING if limit > EVERYTHING // self._n else limit * self._n
        return await offered(self._signal, self._offer, limit)

    def _changed(self) -> None:
        # A batch that was begun goes on growing while the consumer is busy.
        self._gather()
        self._signal.set()

    def _gather(self) -> None:
        self._held += self._pump.take(self._pump.waiting)
        if self._held and not self._alarm.is_set:
            self._alarm.set(self._seconds)
        if len(self._held) < self._n:
            self._pump.request(self._wanted if self._wanted == EVERYTHING else self._wanted - len(self._held))

    def _offer(self, limit: int) -> Sequence[list[T]] | None:
        self._gather()
        if len(self._held) >= self._n or self._alarm.has_rung or (self._pump.finished and self._held):
            return self._batches(limit)
        if self._pump.finished:
            self._pump.check()
            return ()
        return None

    def _batches(self, limit: int) -> list[list[T]]:
        count = max(1, min(len(self._held) // self._n, limit))
        batches = [self._held[start : start + self._n] for start in range(0, count * self._n, self._n)]
        del self._held[: count * self._n]
        self._alarm.clear()
        if self._held:
            self._alarm.set(self._seconds)
        return batches

    async def aclose(self) -> None:
        """Close what is upstream; a batch that was begun is dropped."""
        self._held = []
        await close(self._alarm, self._pump)


class DebounceInlet(Generic[T]):
    """Lets an element pass once no other has followed it for a time."""

    def __init__(self, upstream: Inlet[T], seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._held: Sequence[T] = ()
        self._signal = Signal()
        self._pump = Pump(upstream, self._signal.set)
        self._alarm = Alarm(clock, self._signal.set)

    async def pull(self, limit: int) -> Sequence[T]:
        """Return one element that none has followed in time, or the last."""
        return await offered(self._signal, self._offer, limit)

    def _offer(self, limit: int) -> Sequence[T] | None:
        if newer := self._pump.take(EVERYTHING):
            self._held = newer[-1:]
            self._alarm.set(self._seconds)
        if self._held and (self._alarm.has_rung or self._pump.finished):
            passed, self._held = self._held, ()
            self._alarm.clear()
            return passed
        if self._pump.finished:
            self._pump.check()
            return ()
        self._pump.request(EVERYTHING)
        return None

    async def aclose(self) -> None:
        """Close what is upstream; an element that was held is dropped."""
        self._held = ()
        await close(self._alarm, self._pump)


class TimeoutInlet(Generic[T]):
    """Fails when it is pulled and nothing comes for a time."""

    def __init__(self, upstream: Inlet[T], seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._signal = Signal()
        self._pump = Pump(upstream, self._signal.set)
        self._alarm = Alarm(clock, self._signal.set)

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what comes in time."""
        self._pump.request(limit)
        self._alarm.set(self._seconds)
        return await offered(self._signal, self._offer, limit)

    def _offer(self, limit: int) -> Sequence[T] | None:
        if chunk := self._pump.take(limit):
            return chunk
        if self._pump.finished:
            self._pump.check()
            return ()
        if self._alarm.has_rung:
            raise StreamTimeoutError(self._seconds)
        return None

    async def aclose(self) -> None:
        """Close what is upstream."""
        await close(self._alarm, self._pump)


def throttling(n: int, seconds: float, clock: Clock) -> Stage:
    """Make the stage of `Source.throttle`."""
    check_count("n", n)
    check_seconds("seconds", seconds)
    check_clock(clock)
    return attaching(lambda upstream: ThrottleInlet(upstream, n, seconds, clock))


def batching_within(n: int, seconds: float, clock: Clock) -> Stage:
    """Make the stage of `Source.batch_within`."""
    check_count("n", n)
    check_seconds("seconds", seconds)
    check_clock(clock)
    return attaching(lambda upstream: BatchWithinInlet(upstream, n, seconds, clock))


def debouncing(seconds: float, clock: Clock) -> Stage:
    """Make the stage of `Source.debounce`."""
    check_seconds("seconds", seconds)
    check_clock(clock)
    return attaching(lambda upstream: DebounceInlet(upstream, seconds, clock))


def timing_out(seconds: float, clock: Clock) -> Stage:
    """Make the stage of `Source.timeout`."""
    check_seconds("seconds", seconds)
    check_clock(clock)
    return attaching(lambda upstream: TimeoutInlet(upstream, seconds, clock))
