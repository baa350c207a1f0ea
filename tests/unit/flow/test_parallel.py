"""map_async: several calls of an asynchronous function at a time."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from calliope.flow import ManualClock, Sink, Source
from calliope.flow.clock import settle
from tests.unit.flow.probes import Probe, identity

pytestmark = pytest.mark.anyio

clock = ManualClock()


@pytest.fixture(autouse=True)
def _new_clock() -> None:
    global clock
    clock = ManualClock()


async def slow(seconds: int) -> int:
    await clock.sleep(seconds)
    return seconds


async def test_results_keep_the_order_of_their_elements() -> None:
    async with Source.of(3, 1, 2).map_async(slow, parallelism=3).running(Sink.collect()) as run:
        await clock.advance(3)
        assert await run.result() == [3, 1, 2]


async def test_unordered_results_come_as_they_are_done() -> None:
    async with Source.of(3, 1, 2).map_async_unordered(slow, parallelism=3).running(Sink.collect()) as run:
        await clock.advance(3)
        assert await run.result() == [1, 2, 3]


async def test_an_unordered_result_is_handed_out_when_it_is_done() -> None:
    seen: list[int] = []
    async with Source.of(3, 1).map_async_unordered(slow, parallelism=2).running(Sink.for_each(seen.append)):
        await clock.advance(1)
        assert seen == [1]


@pytest.mark.parametrize("stage", [Source.map_async, Source.map_async_unordered])
async def test_no_more_calls_are_under_way_than_allowed(stage: Callable[..., Source[int]]) -> None:
    under_way, most = 0, 0

    async def count(x: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.lowlevel.checkpoint()
        under_way -= 1
        return x

    assert sorted(await stage(Source.from_iterable(range(50)), count, 4).run_collect()) == list(range(50))
    assert most == 4


async def test_a_slow_call_holds_up_the_calls_after_it_at_the_bound() -> None:
    probe = Probe([9, *[0] * 20])
    async with probe.source.map_async(slow, parallelism=4).running(Sink.drain()) as run:
        await settle()
        assert len(probe.handed) == 4
        await clock.advance(9)
        await run.result()


async def test_the_results_before_a_failed_call_come_before_its_error() -> None:
    async def fail(x: int) -> int:
        await clock.sleep(10 - x)
        if x == 3:
            raise ValueError("three")
        return x

    seen: list[int] = []
    with pytest.raises(ValueError, match="three"):  # noqa: PT012 - the block is the subject
        async with Source.from_iterable(range(5)).map_async(fail, 5).running(Sink.for_each(seen.append)) as run:
            await clock.advance(10)
            await run.result()
    assert seen == [0, 1, 2]


async def test_no_call_is_started_once_one_has_failed_and_those_under_way_are_cancelled() -> None:
    log: list[str] = []

    async def work(x: int) -> int:
        log.append(f"start {x}")
        try:
            if x == 1:
                raise ValueError("one")
            await anyio.sleep_forever()
        finally:
            log.append(f"end {x}")
        return x

    with pytest.raises(ValueError, match="one"):
        await Source.from_iterable(range(9)).map_async_unordered(work, 3).run_drain()
    assert sorted(log) == ["end 0", "end 1", "end 2", "start 0", "start 1", "start 2"]


async def test_no_call_is_started_while_results_before_a_known_error_are_waited_for() -> None:
    probe = Probe(range(9))
    started: list[int] = []

    async def work(x: int) -> int:
        started.append(x)
        await clock.sleep(2 - x)
        if x == 1:
            raise ValueError("one")
        return x

    with pytest.raises(ValueError, match="one"):  # noqa: PT012 - the block is the subject
        async with probe.source.map_async(work, 2).running(Sink.drain()) as run:
            await clock.advance(2)
            await run.result()
    assert sorted(started) == probe.handed == [0, 1]


async def test_an_error_upstream_comes_after_the_results_of_what_came_before_it() -> None:
    seen: list[int] = []
    with pytest.raises(ValueError, match="x"):
        await Probe([1, 2], error=ValueError("x")).source.map_async(identity, 9).run_for_each(seen.append)
    assert seen == [1, 2]


async def test_calls_see_the_context_of_the_run() -> None:
    variable: ContextVar[str] = ContextVar("variable")

    async def read(_: Any) -> str:
        return variable.get()

    variable.set("here")
    assert await Source.of(1).map_async(read, 2).run_collect() == ["here"]


async def test_a_call_that_is_cancelled_from_elsewhere_is_an_error_and_not_a_hang(anyio_backend: str) -> None:
    if anyio_backend == "trio":
        return  # where nothing but a scope can cancel

    async def cancelled(_: Any) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    with pytest.raises(asyncio.CancelledError):
        await Source.of(1).map_async(cancelled, 2).run_drain()
