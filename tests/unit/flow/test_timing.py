"""Stages and sources that look at a clock: no test waits for real time."""

from typing import Any

import anyio
import pytest

from calliope.flow import LoopClock, ManualClock, Sink, Source, StreamTimeoutError
from calliope.flow.clock import settle
from tests.unit.flow.probes import Probe

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def seen() -> list[Any]:
    return []


def into(seen: list[Any]) -> Sink[Any, None]:
    return Sink.for_each(seen.append)


async def test_a_tick_comes_at_the_end_of_each_interval(clock: ManualClock, seen: list[Any]) -> None:
    async with Source.tick(2, clock=clock).running(Sink.for_each(lambda tick: seen.append((tick, clock.now())))):
        await clock.advance(7)
    assert seen == [(1, 2), (2, 4), (3, 6)]


async def test_ticks_that_nobody_waits_for_are_skipped_without_drift(clock: ManualClock, seen: list[Any]) -> None:
    async def slowly(tick: int) -> None:
        seen.append((tick, clock.now()))
        await clock.sleep(5)

    async with Source.tick(2, clock=clock).running(Sink.for_each(slowly)):
        await clock.advance(15)
    assert seen == [(1, 2), (4, 8), (7, 14)]


async def test_throttle_lets_no_more_pass_in_any_window(clock: ManualClock, seen: list[Any]) -> None:
    source = Source.from_iterable(range(7)).throttle(3, 10, clock=clock)
    async with source.running(Sink.for_each(lambda x: seen.append((x, clock.now())))) as run:
        await clock.advance(20)
        await run.result()
    assert seen == [(0, 0), (1, 0), (2, 0), (3, 10), (4, 10), (5, 10), (6, 20)]


async def test_throttle_counts_over_a_sliding_window(clock: ManualClock, seen: list[Any]) -> None:
    queue = Source.queue(9)
    async with queue.throttle(2, 10, clock=clock).running(Sink.for_each(lambda x: seen.append(clock.now()))):
        for at in (0, 9, 9, 9):
            await clock.advance(at - clock.now())
            await queue.put(at)
        await clock.advance(30)
    assert seen == [0, 9, 10, 19]


async def test_throttle_makes_upstream_wait(clock: ManualClock) -> None:
    probe = Probe(range(100))
    async with probe.source.throttle(3, 10, clock=clock).running(Sink.drain()):
        await clock.advance(10)
        assert len(probe.handed) == 6


async def test_a_batch_is_handed_out_when_it_is_old_enough(clock: ManualClock, seen: list[Any]) -> None:
    queue = Source.queue(9)
    async with queue.batch_within(3, 10, clock=clock).running(into(seen)):
        await clock.advance(100)
        await queue.put(1)
        await clock.advance(5)
        await queue.put(2)
        await clock.advance(4)
        assert seen == []
        await clock.advance(1)
        assert seen == [[1, 2]]


async def test_a_batch_is_handed_out_when_it_is_full(clock: ManualClock, seen: list[Any]) -> None:
    queue = Source.queue(9)
    async with queue.batch_within(3, 10, clock=clock).running(into(seen)):
        for number in range(7):
            await queue.put(number)
        await settle()
        assert seen == [[0, 1, 2], [3, 4, 5]]
        await clock.advance(9)
        assert len(seen) == 2
        await clock.advance(1)
        assert seen[2:] == [[6]]


async def test_a_batch_is_as_old_as_its_first_element(clock: ManualClock, seen: list[Any]) -> None:
    probe = Probe(range(5), stalls=True)

    async def slowly(batch: list[int]) -> None:
        seen.append((batch, clock.now()))
        await clock.sleep(6)

    async with probe.source.batch_within(3, 10, clock=clock).running(Sink.for_each(slowly)):
        await clock.advance(10)
    assert seen == [([0, 1, 2], 0), ([3, 4], 10)]


async def test_the_last_batch_comes_at_the_end_or_before_the_error(clock: ManualClock, seen: list[Any]) -> None:
    assert await Source.of(1, 2, 3).batch_within(2, 10, clock=clock).run_collect() == [[1, 2], [3]]
    with pytest.raises(ValueError, match="x"):
        await Probe([1], error=ValueError("x")).source.batch_within(2, 10, clock=clock).run_with(into(seen))
    assert seen == [[1]]


async def test_a_batch_goes_on_growing_while_the_consumer_is_busy(clock: ManualClock, seen: list[Any]) -> None:
    queue = Source.queue(9)

    async def slowly(batch: list[int]) -> None:
        seen.append(batch)
        await clock.sleep(100)

    async with queue.batch_within(3, 10, clock=clock).running(Sink.for_each(slowly)):
        for number in range(3):
            await queue.put(number)
        await settle()
        for number in range(3, 9):
            await clock.advance(1)
            await queue.put(number)
        await clock.advance(94)
        assert seen == [[0, 1, 2], [3, 4, 5]]


async def test_debounce_passes_what_nothing_follows_in_time(clock: ManualClock, seen: list[Any]) -> None:
    queue = Source.queue(9)
    async with queue.debounce(10, clock=clock).running(into(seen)):
        await queue.put(1)
        await clock.advance(9)
        await queue.put(2)
        await clock.advance(9)
        assert seen == []
        await clock.advance(1)
        assert seen == [2]
        await queue.put(3)
        await queue.put(4)
        await clock.advance(10)
        assert seen == [2, 4]


async def test_debounce_passes_the_last_element_at_the_end(clock: ManualClock) -> None:
    assert await Source.of(1, 2).debounce(10, clock=clock).run_collect() == [2]


async def test_a_stream_that_says_nothing_in_time_fails_and_is_closed(clock: ManualClock) -> None:
    probe = Probe([1], stalls=True)
    with pytest.raises(StreamTimeoutError, match="within 5 seconds") as caught:  # noqa: PT012 - the block is the subject
        async with probe.source.timeout(5, clock=clock).running(Sink.drain()) as run:
            await clock.advance(4.9)
            assert not run.done
            await clock.advance(0.1)
            await run.result()
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.seconds == 5
    assert probe.is_closed


async def test_the_time_that_the_consumer_takes_is_no_timeout(clock: ManualClock) -> None:
    queue = Source.queue(9)
    async with queue.timeout(5, clock=clock).running(Sink.for_each(lambda _: clock.sleep(100))) as run:
        await queue.put(1)
        await clock.advance(99)
        await queue.put(2)
        await clock.advance(99)
        assert not run.done
        queue.close()
        await clock.advance(2)
        await run.result()


async def test_each_element_gets_the_whole_time(clock: ManualClock) -> None:
    queue = Source.queue(9)
    async with queue.timeout(5, clock=clock).running(Sink.collect()) as run:
        for number in range(3):
            await clock.advance(4)
            await queue.put(number)
        await clock.advance(4)
        queue.close()
        assert await run.result() == [0, 1, 2]


async def test_what_a_clock_raises_surfaces(clock: ManualClock) -> None:
    class Broken(ManualClock):
        async def sleep(self, seconds: float) -> None:
            raise OSError("no time")

    for source in (Source.tick(1, clock=Broken()), Probe((), stalls=True).source.timeout(1, clock=Broken())):
        with pytest.raises(OSError, match="no time"):
            await source.run_drain()


async def test_the_hands_of_a_manual_clock_pass_every_sleeper_in_order(clock: ManualClock, seen: list[Any]) -> None:
    async def sleep_twice(seconds: float) -> None:
        for _ in range(2):
            await clock.sleep(seconds)
            seen.append((seconds, clock.now()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleep_twice, 3)
        tasks.start_soon(sleep_twice, 2)
        await clock.advance(6)
    assert seen == [(2, 2), (3, 3), (2, 4), (3, 6)]
    assert clock.now() == 6


async def test_a_sleeper_that_was_cancelled_does_not_stop_the_clock(clock: ManualClock) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await clock.sleep(1)
    await clock.advance(2)
    assert clock.now() == 2


async def test_the_clock_of_the_event_loop_agrees_with_it() -> None:
    clock = LoopClock()
    before = anyio.current_time()
    await clock.sleep(-1)
    assert before <= clock.now() <= anyio.current_time()
