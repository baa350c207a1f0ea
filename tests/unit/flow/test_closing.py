"""Whatever ends a run, every stage upstream is closed before the run returns."""

import asyncio
import gc
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


RECOVERED: dict[str, Callable[[Source[Any]], Source[Any]]] = {
    "map": lambda source: source.map(lambda x: 1 // x),
    "flat_map": lambda source: source.flat_map(lambda x: [1 // x]),
    "batch": lambda source: source.map(lambda x: 1 // x).batch(1),
    "buffer": lambda source: source.map(lambda x: 1 // x).buffer(2),
    "map_async": lambda source: source.map_async(_fail, 2),
    "failed": lambda source: Source.failed(ZeroDivisionError()),
    "unfold": lambda source: Source.unfold(0, lambda x: 1 // x),
}


@pytest.mark.parametrize("name", RECOVERED)
async def test_an_error_that_was_recovered_from_does_not_keep_a_loop_alive_that_was_left(
    name: str, live: Probe
) -> None:
    gc.disable()
    try:
        async for _ in RECOVERED[name](Source.of(0)).recover(lambda error: live.source):
            break
        await settle()
        assert live.closed == 1
    finally:
        gc.enable()


async def _fail(_: Any) -> None:
    raise ZeroDivisionError


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


async def test_an_element_function_that_raises_stop_async_iteration_does_not_end_a_loop_in_silence() -> None:
    def stop(_: Any) -> None:
        raise StopAsyncIteration

    with pytest.raises(RuntimeError, match="StopAsyncIteration"):
        async for _ in Source.of(1).map(stop):
            pass


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


async def test_whatever_leaves_a_loop_closes_upstream(stage: Pipeline, live: Probe, other: Probe) -> None:
    async def leave_by_return() -> None:
        async for _ in stage(live.source, other.source):
            return

    async def leave_by_error() -> None:
        async for _ in stage(live.source, other.source):
            raise LookupError

    await leave_by_return()
    with pytest.raises(LookupError):
        await leave_by_error()
    await settle()
    assert (live.opened, live.closed) == (2, 2)


async def test_a_caller_may_be_cancelled_at_any_step(stage: Pipeline, live: Probe, other: Probe) -> None:
    for steps in range(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage(live.source, other.source).run_drain)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert live.is_closed
        assert other.is_closed


async def test_a_cancelled_asyncio_task_is_done_when_upstream_is_closed(
    stage: Pipeline, live: Probe, other: Probe, anyio_backend: str
) -> None:
    if anyio_backend == "trio":
        return  # which knows no cancelled tasks, only scopes
    for steps in range(20):
        task = asyncio.ensure_future(stage(live.source, other.source).run_drain())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert live.is_closed
        assert other.is_closed


async def test_what_a_loop_that_was_left_waits_for_has_a_task_of_its_own(anyio_backend: str) -> None:
    if anyio_backend == "trio":
        return  # where all of it is done in a task of its own
    tasks: list[Any] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            tasks.append(asyncio.current_task())
            async with asyncio.timeout(60):
                await asyncio.sleep(0)
            tasks.append(asyncio.current_task())

    async for _ in Source.from_async(numbers()):
        break
    assert len(tasks) == 1
    await settle()
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]
    assert tasks[0] is not asyncio.current_task()


async def test_what_closes_a_loop_that_was_left_may_run_streams_of_its_own(anyio_backend: str) -> None:
    inner, log = Probe([1, 2], closing_waits=True), []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await inner.source.run_first()
            log.append(inner.closed)

    async for _ in Source.from_async(numbers()):
        await Source.empty().run_drain()  # gives way, so that the next does not, and closing begins by hand
        break
    await settle()
    assert log == [1]


def test_an_iterator_that_outlives_its_event_loop_still_closes_what_needs_no_loop(anyio_backend: str) -> None:
    log: list[str] = []

    def numbers() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            log.append("closed")

    async def leak() -> Any:
        iterator = aiter(Source.from_iterable(numbers()))
        await anext(iterator)
        return iterator

    iterator = anyio.run(leak, backend=anyio_backend)
    assert log == []
    del iterator
    gc.collect()  # trio keeps what its main task returned for a while
    assert log == ["closed"]


async def test_an_iterator_may_be_dropped_in_another_thread(live: Probe) -> None:
    dropped = [aiter(live.source)]
    await anext(dropped[0])
    await anyio.to_thread.run_sync(dropped.clear)
    while not live.closed:
        await anyio.lowlevel.checkpoint()


async def test_streams_work_under_a_task_factory_that_starts_tasks_at_once(
    stage: Pipeline, live: Probe, other: Probe, anyio_backend: str
) -> None:
    if anyio_backend == "trio" or not hasattr(asyncio, "eager_task_factory"):
        return  # Python 3.12 has it
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    try:
        await stage(live.source, other.source).run_first()
        async for _ in stage(live.source, other.source):
            break
        await settle()
    finally:
        loop.set_task_factory(None)
    assert (live.opened, live.closed) == (2, 2)
