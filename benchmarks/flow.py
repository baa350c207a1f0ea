"""Streams beside what Python has built in, beside plain async generators, and beside another library."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

from benchmarks.rendering import show
from benchmarks.setting import Setting
from benchmarks.table import ELEMENTS_PER_SECOND, Benchmark, Contender, Table, Unit, compare
from calliope import Sink, Source

try:
    import aiostream
except ImportError:  # a peer, which need not be installed
    aiostream = None  # type: ignore[assignment]

THREE = ("map", "filter")
TEN = ("map", "filter", "map", "map", "filter", "map", "map", "filter", "map")
"""The stages before the fold, which is one more."""
PARALLELISM = 64
MICROSECONDS = Unit("µs", lower_is_better=True)


def increment(x: int) -> int:
    """Do a little work."""
    return x + 1


def is_kept(x: int) -> bool:
    """Let most elements pass, so that the last of ten stages still has something to do."""
    return x % 7 != 0


async def passed_on(x: int) -> int:
    """Give way once, as a call over a network would."""
    await asyncio.sleep(0)
    return x


def three_stages(setting: Setting) -> Table:
    """Measure map, filter and fold."""
    return _stages(setting, THREE, "Map, filter and fold over a million ints")


def ten_stages(setting: Setting) -> Table:
    """Measure ten stages."""
    return _stages(setting, TEN, "Ten stages: six maps, three filters and a fold over a million ints")


def _stages(setting: Setting, stages: tuple[str, ...], title: str) -> Table:
    count = setting.count(1_000_000)
    contenders = [
        Contender("calliope: run_fold", _rate(count, partial(_ours, stages, count))),
        Contender("built-in map, filter, reduce", _rate(count, partial(_built_in, stages, count)), target=0.67),
        Contender("plain async generators", _rate(count, partial(_generators, stages, count)), target=1),
    ]
    if aiostream is not None:
        few = count // 20
        contenders.append(Contender("aiostream", _rate(few, partial(_aiostream, stages, few)), target=10))
    return compare(
        setting, title, ELEMENTS_PER_SECOND, contenders, "The same Python functions in all; one process, asyncio."
    )


def iterating(setting: Setting) -> Table:
    """Measure `async for`, where every element costs an `await`."""
    count = setting.count(1_000_000)
    return compare(
        setting,
        "Map and filter, iterated over with async for",
        ELEMENTS_PER_SECOND,
        [
            Contender("calliope: async for", _rate(count, partial(_iterate, count))),
            Contender("plain async generators", _rate(count, partial(_generators, THREE, count)), target=1),
        ],
    )


def calling_in_parallel(setting: Setting) -> Table:
    """Measure an asynchronous function, 64 calls at a time."""
    count = setting.count(50_000)
    contenders = [
        Contender(f"calliope: map_async, parallelism={PARALLELISM}", _rate(count, partial(_in_parallel, count))),
        Contender("a task for each, and a semaphore", _rate(count, partial(_by_hand, count))),
    ]
    if aiostream is not None:
        few = count // 5
        contenders.append(Contender("aiostream map", _rate(few, partial(_aiostream_in_parallel, few)), target=1))
    return compare(
        setting,
        f"A coroutine function, {PARALLELISM} calls at a time",
        ELEMENTS_PER_SECOND,
        contenders,
        "By hand, all tasks exist at once and results come in no order; ours are bounded and in order.",
    )


def handing_over(setting: Setting) -> Table:
    """Measure how long one live element takes through a queue and three stages to its consumer."""
    count = setting.count(20_000)
    return compare(
        setting,
        "One live element, from put until it has been handled",
        MICROSECONDS,
        [
            Contender("calliope: Source.queue, map, filter, for_each", partial(_seconds, _live(count), 1e6 / count)),
            Contender("asyncio.Queue and a task", partial(_seconds, _live_by_hand(count), 1e6 / count)),
        ],
        "Each element is put when the one before it has been handled, so none can travel with another.",
    )


def _rate(count: int, run: Callable[[], Awaitable[object]]) -> Callable[[], float]:
    return lambda: count / _seconds(run)


def _seconds(run: Callable[[], Awaitable[object]], factor: float = 1.0) -> float:
    async def timed() -> float:
        began = time.perf_counter()
        await run()
        return time.perf_counter() - began

    return factor * asyncio.run(timed())


async def _ours(stages: tuple[str, ...], count: int) -> int:
    source = Source.from_iterable(range(count))
    for stage in stages:
        source = source.map(increment) if stage == "map" else source.filter(is_kept)
    return await source.run_fold(0, add)


async def _built_in(stages: tuple[str, ...], count: int) -> int:
    elements: Any = range(count)
    for stage in stages:
        elements = map(increment, elements) if stage == "map" else filter(is_kept, elements)
    return reduce(add, elements, 0)


async def _numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def _mapped(elements: AsyncIterator[int]) -> AsyncIterator[int]:
    async for element in elements:
        yield increment(element)


async def _filtered(elements: AsyncIterator[int]) -> AsyncIterator[int]:
    async for element in elements:
        if is_kept(element):
            yield element


async def _generators(stages: tuple[str, ...], count: int) -> int:
    elements, total = _numbers(count), 0
    for stage in stages:
        elements = _mapped(elements) if stage == "map" else _filtered(elements)
    async for element in elements:
        total = add(total, element)
    return total


async def _aiostream(stages: tuple[str, ...], count: int) -> int:
    elements: Any = aiostream.stream.range(count)
    for stage in stages:
        through = aiostream.pipe.map(increment) if stage == "map" else aiostream.pipe.filter(is_kept)
        elements = elements | through
    return int(await (elements | aiostream.pipe.reduce(add, initializer=0)))


async def _iterate(count: int) -> int:
    total = 0
    async for element in Source.from_iterable(range(count)).map(increment).filter(is_kept):
        total = add(total, element)
    return total


async def _in_parallel(count: int) -> int:
    return await Source.from_iterable(range(count)).map_async(passed_on, PARALLELISM).run_fold(0, add)


async def _by_hand(count: int) -> int:
    semaphore, results = asyncio.Semaphore(PARALLELISM), list[int]()

    async def call(x: int) -> None:
        async with semaphore:
            results.append(await passed_on(x))

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(call(number))
    return sum(results)


async def _aiostream_in_parallel(count: int) -> int:
    elements: Any = aiostream.stream.range(count)
    through: Any = aiostream.pipe.map(passed_on, task_limit=PARALLELISM)
    return int(await (elements | through | aiostream.pipe.reduce(add, initializer=0)))


def _live(count: int) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        queue, handled = Source.queue(16), asyncio.Event()
        source = queue.map(increment).filter(bool)
        async with source.running(Sink.for_each(lambda _: handled.set())):
            for number in range(count):
                await queue.put(number)
                await handled.wait()
                handled.clear()

    return run


def _live_by_hand(count: int) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        queue, handled = asyncio.Queue[int](16), asyncio.Event()

        async def consume() -> None:
            while True:
                if increment(await queue.get()):
                    handled.set()

        consumer = asyncio.create_task(consume())
        for number in range(count):
            await queue.put(number)
            await handled.wait()
            handled.clear()
        consumer.cancel()

    return run


BENCHMARKS: tuple[Benchmark, ...] = (three_stages, ten_stages, iterating, calling_in_parallel, handing_over)


def main() -> None:
    """Measure everything here, and print a table for each comparison."""
    for benchmark in BENCHMARKS:
        show(benchmark(Setting(Path())))


if __name__ == "__main__":
    main()
