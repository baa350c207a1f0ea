"""Sinks, pipelines, and runs in the background."""

from functools import partial
from typing import Any

import anyio
import pytest

from calliope.flow import EmptyStreamError, Flow, RunDisposedError, Sink, Source
from calliope.flow.clock import settle
from tests.unit.flow.probes import Probe

pytestmark = pytest.mark.anyio


def numbers() -> Source[int]:
    return Source.from_iterable(range(5))


async def test_every_sink_has_its_result() -> None:
    seen: list[int] = []
    assert await numbers().run_with(Sink.collect()) == [0, 1, 2, 3, 4]
    assert await numbers().run_with(Sink.fold("", lambda text, x: text + str(x))) == "01234"
    assert await numbers().run_with(Sink.first()) == 0
    assert await numbers().run_with(Sink.last()) == 4
    assert await numbers().run_with(Sink.drain()) is None
    assert await numbers().run_with(Sink.for_each(seen.append)) is None
    assert seen == [0, 1, 2, 3, 4]


async def test_every_run_method_has_its_result() -> None:
    seen: list[int] = []
    assert await numbers().run_collect() == [0, 1, 2, 3, 4]
    assert await numbers().run_fold("", lambda text, x: text + str(x)) == "01234"
    assert await numbers().run_first() == 0
    assert await numbers().run_drain() is None
    assert await numbers().run_for_each(seen.append) is None
    assert seen == [0, 1, 2, 3, 4]
    assert [x async for x in numbers()] == [0, 1, 2, 3, 4]


async def test_the_first_and_last_of_nothing_are_an_error_or_a_default() -> None:
    for sink in (Sink.first(), Sink.last()):
        with pytest.raises(EmptyStreamError, match="ended without an element"):
            await Source.empty().run_with(sink)
    assert await Source.empty().run_first(None) is None
    assert await Source.of(1).run_first(None) == 1
    assert await Source.empty().run_with(Sink.last(7)) == 7


async def test_for_each_awaits_one_element_after_the_other() -> None:
    log: list[str] = []

    async def handle(log: list[str], x: int) -> None:
        log.append(f"begin {x}")
        await anyio.lowlevel.checkpoint()
        log.append(f"end {x}")

    await numbers().take(2).run_for_each(partial(handle, log))
    assert log == ["begin 0", "end 0", "begin 1", "end 1"]


async def test_a_pipeline_runs_as_often_as_one_likes() -> None:
    pipeline = numbers().map(str).to(Sink.collect())
    assert await pipeline.run() == await pipeline.run() == ["0", "1", "2", "3", "4"]


async def test_flows_compose_with_flows_sources_and_sinks() -> None:
    odd = Flow[int, int]().filter(lambda x: x % 2)
    text = Flow[int, int]().map(str)
    assert await numbers().via(odd).via(text).run_collect() == ["1", "3"]
    assert await numbers().via(odd.via(text)).run_collect() == ["1", "3"]
    assert await numbers().run_with(odd.via(text).to(Sink.collect())) == ["1", "3"]
    assert await numbers().to(odd.to(text.to(Sink.last()))).run() == "3"


async def test_a_flow_keeps_nothing_from_one_source_to_the_next() -> None:
    flow = Flow[int, int]().scan(0, lambda total, x: total + x).take(3).batch(2)
    assert await numbers().via(flow).run_collect() == await numbers().via(flow).run_collect() == [[0, 0], [1]]


async def test_a_flow_in_front_of_a_sink_closes_upstream() -> None:
    probe = Probe(range(9), stalls=True)
    assert await probe.source.run_with(Flow[int, int]().buffer(2).take(1).to(Sink.collect())) == [0]
    assert probe.closed == 1


async def test_a_run_gives_the_result_of_its_sink() -> None:
    async with numbers().running(Sink.collect()) as run:
        assert await run.result() == await run.result() == [0, 1, 2, 3, 4]
        assert run.done
    assert await run.result() == [0, 1, 2, 3, 4]


async def test_a_disposed_run_has_no_result() -> None:
    async with Probe((), stalls=True).source.running(Sink.collect()) as run:
        assert not run.done
    assert run.done
    with pytest.raises(RunDisposedError):
        await run.result()


async def test_a_run_that_fails_ends_its_block_and_its_error_surfaces_as_itself() -> None:
    error, reached = ValueError("x"), False
    with pytest.raises(ValueError, match="x") as caught:  # noqa: PT012 - the block is the subject
        async with Source.failed(error).running(Sink.drain()):
            await anyio.sleep_forever()
            reached = True
    assert caught.value is error
    assert not reached


async def test_a_run_that_fails_while_its_block_does_not_wait_surfaces_at_the_end() -> None:
    probe = Probe((), stalls=True)
    with pytest.raises(ValueError, match="x"):  # noqa: PT012 - the block is the subject
        async with Source.failed(ValueError("x")).merge(probe.source).running(Sink.drain()) as run:
            while not run.done:
                with anyio.CancelScope(shield=True):
                    await settle()
    assert probe.is_closed


async def test_an_error_that_the_block_has_handled_is_not_raised_again() -> None:
    async with Source.failed(ValueError("x")).running(Sink.drain()) as run:
        with pytest.raises(ValueError, match="x"):
            await run.result()


async def test_an_error_of_the_block_surfaces_as_itself_and_ends_the_run() -> None:
    probe, error = Probe((), stalls=True), KeyError("block")
    with pytest.raises(KeyError) as caught:  # noqa: PT012 - the block is the subject
        async with probe.source.running(Sink.drain()):
            await settle()
            raise error
    assert caught.value is error
    assert probe.closed == 1


async def test_a_block_that_is_cancelled_from_outside_ends_its_run() -> None:
    probe = Probe((), stalls=True)
    with anyio.CancelScope() as scope:
        async with probe.source.running(Sink.drain()):
            await settle()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert probe.closed == 1


async def test_several_tasks_may_wait_for_one_result() -> None:
    queue, results = Source.queue(1), []

    async def wait(run: Any) -> None:
        results.append(await run.result())

    async with queue.running(Sink.last()) as run, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(wait, run)
        await queue.put(1)
        queue.close()
    assert results == [1, 1, 1]


async def test_a_caller_that_stops_waiting_for_a_result_does_not_stop_the_run() -> None:
    queue = Source.queue(1)
    async with queue.running(Sink.collect()) as run:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await run.result()
        await queue.put(1)
        queue.close()
        assert await run.result() == [1]
