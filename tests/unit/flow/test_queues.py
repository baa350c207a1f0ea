"""A bounded queue between code that has elements and a stream that hands them on."""

import asyncio

import anyio
import pytest

from calliope.flow import Queue, RunDisposedError, Sink, Source, StreamClosedError
from calliope.flow.clock import settle
from tests.unit.flow.probes import Probe

pytestmark = pytest.mark.anyio


async def test_what_is_put_in_comes_out_in_order_until_it_is_closed() -> None:
    queue = Source.queue(2)
    async with queue.running(Sink.collect()) as run:
        for number in range(100):
            await queue.put(number)
        queue.close()
        assert await run.result() == list(range(100))


async def test_a_full_queue_makes_putting_wait_and_refuses_an_offer() -> None:
    queue = Source.queue(2)
    await queue.put(1)
    assert queue.offer(2)
    assert not queue.offer(3)
    assert (len(queue), queue.capacity, queue.room) == (2, 2, 0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.put, 4)
        await settle()
        assert len(queue) == 2
        assert await queue.take(3).run_collect() == [1, 2, 4]


async def test_a_cancelled_put_has_put_nothing() -> None:
    queue = Source.queue(1)
    await queue.put(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.put, 2)
        await settle()
        tasks.cancel_scope.cancel()
    queue.close()
    assert await queue.run_collect() == [1]


async def test_the_room_that_a_cancelled_put_was_given_goes_to_the_next() -> None:
    queue: Queue[int] = Queue(1)
    await queue.put(1)
    doomed = anyio.CancelScope()

    async def put_in_vain() -> None:
        with doomed:
            await queue.put(2)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put_in_vain)
        await settle()
        tasks.start_soon(queue.put, 3)
        await settle()
        assert list(await queue.get(1)) == [1]  # wakes the first of the two …
        doomed.cancel()  # … which is cancelled before it runs
        while list(await queue.get(1)) != [3]:
            pass


async def test_the_room_that_was_given_to_a_put_that_is_cancelled_first_goes_to_the_next(anyio_backend: str) -> None:
    if anyio_backend == "trio":
        return  # where a task that has been woken is not cancelled before it runs
    queue: Queue[int] = Queue(1)
    await queue.put(1)
    doomed, other = asyncio.ensure_future(queue.put(2)), asyncio.ensure_future(queue.put(3))
    await settle()
    assert list(await queue.get(1)) == [1]
    doomed.cancel()
    assert list(await queue.get(1)) == [3]
    await other


async def test_a_closed_queue_takes_nothing_more() -> None:
    queue = Source.queue(1)
    await queue.put(1)
    async with anyio.create_task_group() as tasks:

        async def put() -> None:
            with pytest.raises(StreamClosedError, match="2"):
                await queue.put(2)

        tasks.start_soon(put)
        await settle()
        queue.close()
    with pytest.raises(StreamClosedError, match="3"):
        queue.offer(3)
    assert await queue.run_collect() == [1]


async def test_a_failed_queue_raises_its_error_after_what_it_holds() -> None:
    queue, seen, error = Source.queue(2), [], ValueError("x")
    await queue.put(1)
    queue.fail(error)
    with pytest.raises(ValueError, match="x") as caught:
        await queue.run_for_each(seen.append)
    assert caught.value is error
    assert seen == [1]


async def test_what_one_run_leaves_is_there_for_the_next() -> None:
    queue = Source.queue(9)
    for number in range(4):
        await queue.put(number)
    queue.close()
    assert await queue.take(2).run_collect() == [0, 1]
    assert await queue.run_collect() == [2, 3]


async def test_runs_that_share_a_queue_share_its_elements() -> None:
    queue = Source.queue(4)
    async with queue.running(Sink.collect()) as first, queue.running(Sink.collect()) as second:
        for number in range(100):
            await queue.put(number)
        queue.close()
        assert sorted(await first.result() + await second.result()) == list(range(100))


async def test_a_sink_fills_a_queue_and_closes_it() -> None:
    queue = Source.queue(3)
    async with Source.from_iterable(range(50)).running(Sink.queue(queue)):
        assert await queue.run_collect() == list(range(50))


async def test_a_sink_asks_for_no_more_than_its_queue_has_room_for() -> None:
    probe, queue = Probe(range(50)), Source.queue(3)
    async with probe.source.running(Sink.queue(queue)):
        await settle()
        assert len(probe.handed) == 3


async def test_whoever_reads_a_queue_learns_why_it_ended_early() -> None:
    queue, error = Source.queue(3), ValueError("x")
    with pytest.raises(ValueError, match="x"):
        await Source.failed(error).run_with(Sink.queue(queue))
    with pytest.raises(ValueError, match="x"):
        await queue.run_drain()

    queue = Source.queue(3)
    async with Probe([1], stalls=True).source.running(Sink.queue(queue)):
        await settle()
    with pytest.raises(RunDisposedError):
        await queue.run_drain()


async def test_closing_a_queue_ends_the_stream_that_flows_into_it() -> None:
    probe, queue = Probe([1], stalls=True), Source.queue(1)
    with pytest.raises(StreamClosedError):  # noqa: PT012 - the block is the subject
        async with Probe(range(9)).source.merge(probe.source).running(Sink.queue(queue)) as run:
            await settle()
            queue.close()
            await run.result()
    assert probe.is_closed
