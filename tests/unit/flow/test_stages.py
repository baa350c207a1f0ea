"""Synchronous stages: what they make of their elements, in which order, and what an error leaves."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from calliope.flow import Source
from tests.unit.flow.probes import Probe

pytestmark = pytest.mark.anyio


def numbers(n: int = 10) -> Source[int]:
    return Source.from_iterable(range(n))


async def test_map_and_filter() -> None:
    assert await numbers().map(lambda x: x * x).filter(lambda x: x % 2).run_collect() == [1, 9, 25, 49, 81]


async def test_take_and_drop() -> None:
    assert await numbers().take(3).run_collect() == [0, 1, 2]
    assert await numbers().take(0).run_collect() == []
    assert await numbers().take(99).run_collect() == list(range(10))
    assert await numbers().drop(7).run_collect() == [7, 8, 9]
    assert await numbers().drop(99).run_collect() == []
    assert await numbers(2_000).drop(1_000).take(2).run_collect() == [1_000, 1_001]


async def test_a_take_of_nothing_asks_for_nothing() -> None:
    probe = Probe(range(3))
    assert await probe.source.take(0).run_collect() == []
    assert probe.demands == []
    assert probe.is_closed


async def test_take_while_ends_before_or_with_the_first_that_fails() -> None:
    assert await Source.of(1, 2, 5, 1).take_while(lambda x: x < 3).run_collect() == [1, 2]
    assert await Source.of(1, 2, 5, 1).take_while(lambda x: x < 3, inclusive=True).run_collect() == [1, 2, 5]
    assert await Source.of(1, 2).take_while(lambda x: x < 3).run_collect() == [1, 2]


async def test_drop_while_drops_only_at_the_beginning() -> None:
    assert await Source.of(1, 2, 5, 1).drop_while(lambda x: x < 3).run_collect() == [5, 1]
    assert await Source.of(1, 2).drop_while(lambda x: x < 3).run_collect() == []


async def test_stages_that_remember_start_anew_with_each_run() -> None:
    for source in (
        numbers().take_while(lambda x: x < 3),
        numbers().drop_while(lambda x: x < 3),
        numbers().distinct(lambda x: x % 3),
        numbers().scan(0, lambda state, x: state + x),
        numbers().batch(3),
        numbers().take(3),
        numbers().drop(3),
    ):
        assert await source.run_collect() == await source.run_collect()


async def test_scan_shows_the_initial_state_and_each_one_after() -> None:
    assert await numbers(4).scan(10, lambda state, x: state + x).run_collect() == [10, 10, 11, 13, 16]
    assert await Source.empty().scan(10, lambda state, x: state + x).run_collect() == [10]


async def test_batches_are_full_but_for_the_last() -> None:
    assert await numbers().batch(4).run_collect() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert await numbers(8).batch(4).run_collect() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert await Source.empty().batch(4).run_collect() == []


async def test_a_batch_that_was_begun_comes_before_the_error() -> None:
    seen: list[list[int]] = []
    with pytest.raises(ZeroDivisionError):
        await Source.of(1, 1, 1, 0).map(lambda x: 1 // x).batch(2).run_for_each(seen.append)
    assert seen == [[1, 1], [1]]


async def test_distinct_drops_what_was_there_before() -> None:
    assert await Source.of(1, 2, 1, 3, 2).distinct().run_collect() == [1, 2, 3]
    assert await Source.of("a", "B", "b", "A").distinct(str.lower).run_collect() == ["a", "B"]


async def test_distinct_forgets_what_was_not_seen_for_longest() -> None:
    assert await Source.of(1, 1, 2, 2, 1).distinct(remember=1).run_collect() == [1, 2, 1]
    assert await Source.of(1, 2, 1, 3, 1, 2).distinct(remember=2).run_collect() == [1, 2, 3, 2]


async def test_flat_map_goes_through_one_stream_after_the_other() -> None:
    async def twice(x: int) -> AsyncIterator[int]:
        for _ in range(2):
            await anyio.lowlevel.checkpoint()
            yield x

    streams: dict[int, Any] = {0: [0, 0], 1: Source.of(1, 1), 2: twice(2), 3: (3, 3), 4: {4: "", 44: ""}, 5: iter("")}
    assert await numbers(6).flat_map(streams.__getitem__).run_collect() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 44]


async def test_flat_map_takes_no_more_than_it_needs_of_an_endless_stream() -> None:
    assert await numbers().flat_map(lambda x: Source.repeat(x)).take(3).run_collect() == [0, 0, 0]
    assert await numbers().flat_map(lambda x: iter(int, 1)).take(300).run_collect() == [0] * 300
    assert len(await numbers(3).flat_map(lambda x: range(1_000)).run_collect()) == 3_000


async def test_flat_map_closes_each_stream_before_the_next_is_opened() -> None:
    log: list[str] = []

    def stream(x: int) -> Source[int]:
        def elements():
            log.append(f"open {x}")
            try:
                yield x
            finally:
                log.append(f"close {x}")

        return Source.from_iterable(elements())

    assert await numbers(2).flat_map(stream).run_collect() == [0, 1]
    assert log == ["open 0", "close 0", "open 1", "close 1"]


async def test_flat_map_closes_a_generator_that_is_left_in_the_middle() -> None:
    log: list[str] = []

    def endless(x: int):
        try:
            while True:
                yield x
        finally:
            log.append("closed")

    generators = [endless(0), endless(1)]
    assert await Source.from_iterable(generators).flat_map(lambda x: x).take(2).run_collect() == [0, 0]
    assert log == ["closed"]


async def test_flat_map_refuses_what_is_no_stream_and_says_so() -> None:
    with pytest.raises(TypeError, match="expected a Source, an iterable or an async iterable, not 0"):
        await numbers().flat_map(lambda x: x).run_drain()


async def test_concat_opens_each_source_when_the_one_before_has_ended() -> None:
    first, second = Probe([1, 2]), Probe([3])
    iterator = aiter(first.source.concat(second.source, Source.of(4)))
    assert await anext(iterator) == 1
    assert second.opened == 0
    assert [x async for x in iterator] == [2, 3, 4]
    assert (first.closed, second.closed) == (1, 1)


async def test_on_each_sees_every_element_before_it_goes_on() -> None:
    log: list[str] = []
    source = numbers(2).on_each(lambda x: log.append(f"see {x}"))
    await source.run_for_each(lambda x: log.append(f"get {x}"))
    assert log == ["see 0", "see 1", "get 0", "get 1"]


async def test_on_each_awaits_a_coroutine_function_before_the_element_goes_on() -> None:
    log: list[str] = []

    async def see(x: int) -> None:
        await anyio.lowlevel.checkpoint()
        log.append(f"see {x}")

    class Seer:
        async def __call__(self, x: int) -> None:
            await see(x)

    for function in (see, Seer()):
        log.clear()
        await numbers(2).on_each(function).run_for_each(lambda x: log.append(f"get {x}"))
        assert log == ["see 0", "get 0", "see 1", "get 1"]


async def test_on_each_does_not_swallow_an_awaitable_that_nobody_would_await() -> None:
    future = Awaitable()
    with pytest.raises(TypeError, match="on_each awaits only what is async def"):
        await numbers().on_each(lambda x: future).run_drain()


class Awaitable:
    def __await__(self):
        yield


FAILING: dict[str, Callable[[Source[int], Callable[[int], Any]], Source[Any]]] = {
    "map": lambda source, fail: source.map(fail),
    "filter": lambda source, fail: source.filter(fail),
    "flat_map": lambda source, fail: source.flat_map(lambda x: [fail(x)]),
    "scan": lambda source, fail: source.scan(0, lambda state, x: fail(x)).drop(1),
    "take_while": lambda source, fail: source.take_while(fail),
    "distinct": lambda source, fail: source.distinct(fail),
    "on_each": lambda source, fail: source.on_each(fail),
    "group_by": lambda source, fail: source.group_by(fail),
}


@pytest.mark.parametrize("name", FAILING)
async def test_an_error_in_the_middle_of_a_chunk_comes_after_the_elements_before_it(name: str) -> None:
    error, probe, seen = ValueError("middle"), Probe(range(1, 100)), []

    def fail(x: int) -> int:
        if x == 50:
            raise error
        return x

    with pytest.raises(ValueError, match="middle") as caught:
        await FAILING[name](probe.source, fail).map(lambda x: x).run_for_each(seen.append)
    assert caught.value is error
    assert "fail" in [frame.name for frame in caught.traceback]
    assert len(seen) == 49
    assert probe.is_closed


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("last", [50, 60])
async def test_a_function_that_raises_stop_iteration_does_not_end_the_stream_in_silence(name: str, last: int) -> None:
    def stop(x: int) -> int:
        if x == 50:
            raise StopIteration
        return x

    with pytest.raises(RuntimeError, match="StopIteration"):
        await FAILING[name](Source.from_iterable(range(1, last + 1)), stop).map(lambda x: x).run_drain()


async def test_recover_goes_on_with_what_its_function_makes_of_the_error() -> None:
    failing = Source.of(1, 0, 2).map(lambda x: 1 // x)
    assert await failing.recover(lambda error: [type(error).__name__]).run_collect() == [1, "ZeroDivisionError"]
    assert await failing.recover(lambda error: Source.of(7, 8)).run_collect() == [1, 7, 8]


async def test_recover_leaves_other_errors_alone() -> None:
    failing = Source.of(1, 0, 2).map(lambda x: 1 // x)
    with pytest.raises(ZeroDivisionError):
        await failing.recover(lambda error: [], errors=(LookupError, OSError)).run_drain()


async def test_recover_closes_what_failed_before_it_opens_what_replaces_it() -> None:
    failing = Probe([1], error=ValueError("x"))

    def replace(error: Exception) -> list[int]:
        assert failing.closed == 1
        return [2]

    assert await failing.source.recover(replace).run_collect() == [1, 2]


async def test_recover_recovers_once() -> None:
    failing = Source.of(0).map(lambda x: 1 // x)
    with pytest.raises(ZeroDivisionError):
        await failing.recover(lambda error: failing).run_drain()
