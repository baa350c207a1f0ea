"""Pipelines whose types must come out as stated: checked by mypy in strict mode (`test_typing`), never run."""

from collections.abc import AsyncIterator
from typing import assert_type

from calliope.flow import Flow, Group, QueueSource, Sink, Source


async def length(text: str) -> int:
    return len(text)


async def agen() -> AsyncIterator[int]:
    yield 1


async def main() -> None:
    numbers = Source.of(1, 2, 3)
    assert_type(numbers, Source[int])
    assert_type(numbers.map(str), Source[str])
    assert_type(numbers.map(str).map_async(length, 4), Source[int])
    assert_type(numbers.map(str).map_async(length, parallelism=4), Source[int])
    assert_type(await numbers.run_with(Sink.collect()), list[int])
    assert_type(await numbers.run_with(Sink.first()), int)
    assert_type(await numbers.run_with(Sink.last()), int)
    assert_type(await numbers.run_collect(), list[int])
    assert_type(await numbers.run_first(), int)
    assert_type(await numbers.run_first(None), int | None)
    assert_type(await numbers.run_fold(0, lambda a, b: a + b), int)
    assert_type(await numbers.run_fold("", lambda a, b: a + str(b)), str)
    assert_type(await numbers.run_with(Sink.fold("", lambda a, b: a + str(b))), str)
    await numbers.run_for_each(print)
    await numbers.run_with(Sink.for_each(print))
    assert_type(numbers.zip(numbers.map(str)), Source[tuple[int, str]])
    assert_type(numbers.merge(numbers.map(str)), Source[int | str])
    assert_type(numbers.concat(Source.empty()), Source[int])
    assert_type(numbers.batch(3), Source[list[int]])
    assert_type(numbers.flat_map(lambda x: [str(x)]), Source[str])
    assert_type(numbers.flat_map(lambda x: Source.of(str(x))), Source[str])
    assert_type(numbers.scan("", lambda s, x: s + str(x)), Source[str])
    assert_type(numbers.group_by(str), Source[Group[str, int]])
    assert_type(numbers.recover(lambda e: [str(e)]), Source[int | str])
    assert_type(Source.from_async(agen()), Source[int])
    assert_type(Source.unfold(0, lambda n: (str(n), n + 1) if n < 3 else None), Source[str])
    assert_type(Source.tick(1.0), Source[int])
    flow = Flow[int, int]().map(str).filter(bool)
    assert_type(flow, Flow[int, str])
    assert_type(numbers.via(flow), Source[str])
    assert_type(flow.via(Flow[str, str]().map(len)), Flow[int, int])
    assert_type(await numbers.run_with(flow.to(Sink.collect())), list[str])
    assert_type(await numbers.to(Sink.collect()).run(), list[int])
    assert_type(numbers.broadcast(flow, flow), Source[str])
    queue = Source.queue(3)
    await queue.put(1)
    typed: QueueSource[int] = Source.queue(3)
    assert_type(typed.map(str), Source[str])
    await numbers.run_with(Sink.queue(typed))
    async with numbers.running(Sink.collect()) as run:
        assert_type(await run.result(), list[int])
    async for x in numbers:
        assert_type(x, int)
