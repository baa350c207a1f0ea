"""Whatever ends a run, every stage upstream is closed before the run returns."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest
import trio

from calliope.flow import RunDisposedError, Sink, Source
from calliope.flow.clock import settle
from tests.unit.flow.probes import STAGES, Probe

pytestmark = pytest.mark.anyio

Pipeline = Callable[[Source[Any], Source[Any]], Source[Any]]


@pytest.fixture(params=list(STAGES), ids=list(STAGES))
def stage(request: pytest.FixtureRequest) -> Pipeline:
    return STAGES[request.param]


@pytest.fixture(params=[False, True], ids=["closing at once", "closing waits"])
def live(request: pytest.FixtureRequest) -> Probe:
    return Probe(range(10), stalls=True, closing_waits=request.param)


@pytest.fixture
def other() -> Iterator[Probe]:
    probe = Probe(range(10), stalls=True)
    yield probe
    assert probe.is_closed


async def test_a_take_closes_upstream(stage: Pipeline, live: Probe, other: Probe) -> None:
    assert len(await stage(live.source, other.source).take(1).run_collect()) == 1
    assert (live.opened, live.closed) == (1, 1)


async def test_a_first_element_closes_upstream(stage: Pipeline, live: Probe, other: Probe) -> None:
    await stage(live.source, other.source).run_first()
    assert (live.opened, live.closed) == (1, 1)


async def test_an_error_downstream_closes_upstream_and_surfaces_as_itself(
    stage: Pipeline, live: Probe, other: Probe
) -> None:
    error = ValueError("downstream")

    def fail(_: Any) -> None:
        raise error

    with pytest.raises(ValueError, match="downstream") as caught:
        await stage(live.source, other.source).run_for_each(fail)
    assert caught.value is error
    assert (live.opened, live.closed) == (1, 1)


async def test_an_error_upstream_surfaces_as_itself_after_what_came_before_it(stage: Pipeline, other: Probe) -> None:
    error = ValueError("upstream")
    failing = Probe(range(3), error=error)
    seen: list[Any] = []
    with pytest.raises(ValueError, match="upstream") as caught:
        await stage(failing.source, other.source).run_for_each(seen.append)
    assert caught.value is error
    assert "pull" in [frame.name for frame in caught.traceback]
    assert len(seen) >= 1
    assert failing.is_closed


async def test_the_end_closes_upstream(stage: Pipeline) -> None:
    ending, other = Probe(range(10)), Probe(range(10))
    await stage(ending.source, other.source).run_drain()
    assert ending.is_closed
    assert other.is_closed


async def test_a_cancelled_caller_returns_when_upstream_is_closed(stage: Pipeline, live: Probe, other: Probe) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stage(live.source, other.source).run_drain)
        await settle()
        assert live.opened == 1
        assert not live.closed
        tasks.cancel_scope.cancel()
    assert (live.opened, live.closed) == (1, 1)


async def test_a_caller_that_is_cancelled_before_it_waits_closes_upstream(
    stage: Pipeline, live: Probe, other: Probe
) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await stage(live.source, other.source).run_drain()
    assert live.is_closed


async def test_a_break_closes_upstream(stage: Pipeline, live: Probe, other: Probe) -> None:
    async for _ in stage(live.source, other.source):
        break
    await settle()
    assert (live.opened, live.closed) == (1, 1)


async def test_aclosing_closes_upstream_at_the_end_of_its_block(stage: Pipeline, live: Probe, other: Probe) -> None:
    async with aclosing(aiter(stage(live.source, other.source))) as iterator:
        await anext(iterator)
        assert not live.closed
    assert (live.opened, live.closed) == (1, 1)


async def test_leaving_the_block_of_running_closes_upstream(stage: Pipeline, live: Probe, other: Probe) -> None:
    async with stage(live.source, other.source).running(Sink.drain()) as run:
        await settle()
        assert not run.done
    assert (live.opened, live.closed) == (1, 1)
    with pytest.raises(RunDisposedError):
        await run.result()


async def test_a_source_can_be_run_again(stage: Pipeline) -> None:
    source = stage(Probe(range(10)).source, Source.from_iterable(range(10)))
    assert len(await source.run_collect()) == len(await source.run_collect())


async def test_a_run_leaves_no_task_behind(stage: Pipeline, live: Probe, other: Probe, anyio_backend: str) -> None:
    def tasks() -> int:
        if anyio_backend == "trio":
            return trio.lowlevel.current_statistics().tasks_living
        return len(asyncio.all_tasks())

    before = tasks()
    await stage(live.source, other.source).take(1).run_drain()
    assert tasks() == before


async def test_nothing_is_opened_before_a_run(stage: Pipeline) -> None:
    probe = Probe(range(3))
    aiter(stage(probe.source, probe.source))
    assert probe.opened == 0


async def test_generators_are_closed_before_the_statement_after_a_break() -> None:
    log: list[str] = []

    def numbers() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            log.append("closed")

    async for _ in Source.from_iterable(numbers()).map(lambda x: x).take(5).batch(2):
        break
    assert log == ["closed"]


async def test_async_generators_are_closed_before_the_statement_after_a_break_on_asyncio(anyio_backend: str) -> None:
    log: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(10):
                yield number
        finally:
            log.append("closed")

    async for _ in Source.from_async(numbers()).filter(lambda x: x).scan(0, max).batch(2).take(5):
        break
    if anyio_backend == "trio":  # where a coroutine cannot be moved into a task once it has started
        await settle()
    assert log == ["closed"]


async def test_what_closing_waits_for_goes_on_after_a_break() -> None:
    log: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(10):
                yield number
        finally:
            with anyio.move_on_after(3_600):
                await anyio.lowlevel.checkpoint()
                log.append("closed")

    async for _ in Source.from_async(numbers()).map(lambda x: x):
        break
    await settle()
    assert log == ["closed"]


async def test_an_iterator_may_be_kept_and_continued_after_a_break() -> None:
    iterator = aiter(Source.from_iterable(range(10)))
    async for number in iterator:
        if number == 3:
            break
    assert [number async for number in iterator] == [4, 5, 6, 7, 8, 9]


async def test_an_iterator_has_ended_once_an_error_came_out_of_it() -> None:
    iterator = aiter(Source.of(1, 0, 2).map(lambda x: 1 // x))
    assert await anext(iterator) == 1
    with pytest.raises(ZeroDivisionError):
        await anext(iterator)
    with pytest.raises(StopAsyncIteration):
        await anext(iterator)


async def test_two_tasks_cannot_wait_for_one_iterator() -> None:
    iterator = aiter(Probe((), stalls=True).source)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(iterator.__anext__)
        await settle()
        with pytest.raises(RuntimeError, match="another task"):
            await anext(iterator)
        tasks.cancel_scope.cancel()


async def test_an_error_of_closing_surfaces_when_there_is_no_other() -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            raise OSError("closing")

    with pytest.raises(OSError, match="closing"):
        await Source.from_async(numbers()).run_first()
    with pytest.raises(OSError, match="closing"):
        await Source.from_async(numbers()).buffer(1).run_first()


async def test_an_error_of_closing_does_not_hide_the_error_before_it() -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 0
            yield 2
        finally:
            raise OSError("closing")

    with pytest.raises(ZeroDivisionError) as caught:
        await Source.from_async(numbers()).run_for_each(lambda x: 1 // x)
    assert caught.value.__notes__ == ["closing the stream failed as well: OSError('closing')"]


async def test_an_error_of_closing_after_a_break_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            raise OSError("closing")

    async for _ in Source.from_async(numbers()):
        break
    await settle()
    assert "could not be closed" in caplog.text
