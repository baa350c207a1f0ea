"""buffer: upstream runs ahead, by a bounded number of elements."""

from typing import Any

import pytest

from calliope.flow import EVERYTHING, BufferOverflowError, Overflow, Sink, Source
from calliope.flow.clock import settle
from tests.unit.flow.probes import Probe

pytestmark = pytest.mark.anyio


async def overrun(overflow: Overflow, chunk: int) -> list[Any]:
    """Lets ten elements come while nobody looks at a buffer of three that was asked for one."""
    inlet = Probe(range(10), chunk=chunk).source.buffer(3, overflow).open()
    seen = [*await inlet.pull(1)]
    await settle()
    while elements := await inlet.pull(EVERYTHING):
        seen += elements
    await inlet.aclose()
    return seen


async def test_a_buffer_hands_out_everything_in_order() -> None:
    assert await Source.from_iterable(range(1_000)).buffer(7).run_collect() == list(range(1_000))


async def test_a_full_buffer_makes_upstream_wait() -> None:
    queue = Source.queue(1)
    async with queue.buffer(2).map_async(lambda _: Probe((), stalls=True).source.run_drain(), 1).running(Sink.drain()):
        accepted = 0
        while queue.offer(accepted):
            accepted += 1
            await settle()
        assert accepted == 1 + 2 + 1  # in the call, in the buffer, in the queue


@pytest.mark.parametrize("chunk", [1, 2, 3])
async def test_what_a_full_buffer_drops_is_named(chunk: int) -> None:
    assert (await overrun("drop_oldest", chunk))[-3:] == [7, 8, 9]
    assert (await overrun("drop_newest", chunk))[:3] == [0, 1, 2]
    assert len(await overrun("drop_newest", chunk)) < 10
    assert (await overrun("drop_buffer", chunk))[-1] == 9
    assert await overrun("backpressure", chunk) == list(range(10))


async def test_a_full_buffer_fails_after_what_it_holds() -> None:
    probe, seen = Probe(range(10)), []
    with pytest.raises(BufferOverflowError) as caught:  # noqa: PT012 - the block is the subject
        async for x in probe.source.buffer(3, "fail"):
            await settle()
            seen.append(x)
    assert caught.value.n == 3
    assert "3" in str(caught.value)
    assert seen[:3] == [0, 1, 2]
    assert probe.is_closed


@pytest.mark.parametrize("overflow", ["backpressure", "drop_oldest", "drop_newest", "drop_buffer", "fail"])
async def test_nothing_is_lost_while_the_consumer_keeps_up(overflow: Overflow) -> None:
    queue, seen = Source.queue(1), []
    async with queue.buffer(1, overflow).running(Sink.for_each(seen.append)) as run:
        for number in range(20):
            await queue.put(number)
            await settle()
        queue.close()
        await run.result()
    assert seen == list(range(20))


async def test_an_error_upstream_comes_after_what_the_buffer_holds() -> None:
    seen: list[int] = []
    with pytest.raises(ValueError, match="x"):
        await Probe(range(5), error=ValueError("x")).source.buffer(2).run_for_each(seen.append)
    assert seen == [0, 1, 2, 3, 4]
