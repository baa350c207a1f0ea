"""Where elements come from."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import anyio
import pytest

from calliope.flow import CHUNK, EVERYTHING, Sink, Source

pytestmark = pytest.mark.anyio


async def test_sources_hand_out_what_they_are_made_of() -> None:
    assert await Source.of(1, 2, 3).run_collect() == [1, 2, 3]
    assert await Source.single("a").run_collect() == ["a"]
    assert await Source.empty().run_collect() == []
    assert await Source.from_iterable("abc").run_collect() == ["a", "b", "c"]
    assert await Source.repeat(7, times=3).run_collect() == [7, 7, 7]
    assert await Source.repeat(7).take(1_000).run_collect() == [7] * 1_000
    assert await Source.unfold(1, lambda n: (n, 2 * n) if n < 9 else None).run_collect() == [1, 2, 4, 8]


async def test_an_iterable_is_iterated_anew_by_each_run() -> None:
    source = Source.from_iterable(range(1_000))
    assert await source.run_collect() == await source.run_collect() == list(range(1_000))


async def test_a_failed_source_raises_its_error_in_every_run() -> None:
    error = ValueError("x")
    for _ in range(2):
        with pytest.raises(ValueError, match="x") as caught:
            await Source.failed(error).run_drain()
        assert caught.value is error
        assert len(caught.traceback) < 15


async def test_an_async_iterable_is_iterated_anew_by_each_run() -> None:
    class Numbers:
        async def __aiter__(self) -> AsyncIterator[int]:
            for number in range(3):
                await anyio.lowlevel.checkpoint()
                yield number

    source = Source.from_async(Numbers())
    assert await source.run_collect() == await source.run_collect() == [0, 1, 2]


async def test_an_async_iterator_without_aclose_will_do() -> None:
    class Countdown:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> "Countdown":
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    assert await Source.from_async(Countdown()).run_collect() == [2, 1, 0]


async def test_an_asynchronous_function_unfolds_page_by_page() -> None:
    async def page(cursor: int) -> tuple[list[int], int] | None:
        await anyio.lowlevel.checkpoint()
        return ([cursor, cursor + 1], cursor + 2) if cursor < 5 else None

    assert await Source.unfold(0, page).flat_map(lambda x: x).run_collect() == [0, 1, 2, 3, 4, 5]


async def test_what_is_unfolded_before_an_error_comes_before_the_error() -> None:
    seen: list[int] = []
    with pytest.raises(ZeroDivisionError):
        await Source.unfold(3, lambda n: (6 // n, n - 1)).run_for_each(seen.append)
    assert seen == [2, 3, 6]


async def test_what_an_iterator_yields_before_an_error_comes_before_the_error() -> None:
    def numbers() -> Iterator[int]:
        yield from range(3)
        raise ValueError("x")

    for stage in (lambda s: s, lambda s: s.map(lambda x: x), lambda s: s.buffer(10)):
        seen: list[int] = []
        with pytest.raises(ValueError, match="x"):
            await stage(Source.from_iterable(numbers())).run_for_each(seen.append)
        assert seen == [0, 1, 2]


async def test_an_inlet_is_pulled_for_its_own_pages() -> None:
    limits: list[int] = []

    class Pages:
        def __init__(self) -> None:
            self.pages = [list(range(1_000)), list(range(5)), []]
            self.closed = 0

        async def pull(self, limit: int) -> Sequence[int]:
            limits.append(limit)
            return self.pages.pop(0)

        async def aclose(self) -> None:
            self.closed += 1

    opened: list[Pages] = []

    def open_pages() -> Pages:
        opened.append(Pages())
        return opened[-1]

    source = Source.from_inlet(open_pages)
    assert await source.map(lambda x: x).run_fold(0, lambda count, _: count + 1) == 1_005
    assert limits == [EVERYTHING] * 3
    await source.run_drain()
    assert [pages.closed for pages in opened] == [1, 1]


async def test_an_inlet_may_return_whole_pages_whatever_the_demand() -> None:
    class Pages:
        def __init__(self) -> None:
            self.pages = [[1, 2, 3, 4, 5], [6], []]

        async def pull(self, limit: int) -> Sequence[int]:
            return self.pages.pop(0)

        async def aclose(self) -> None: ...

    source = Source.from_inlet(Pages)
    assert await source.take(3).run_collect() == [1, 2, 3]
    assert await source.take(6).run_collect() == [1, 2, 3, 4, 5, 6]
    assert [x async for x in source] == [1, 2, 3, 4, 5, 6]


async def test_nothing_is_asked_of_an_origin_before_the_first_pull() -> None:
    class Untouchable:
        def __iter__(self):
            raise AssertionError

        def __aiter__(self):
            raise AssertionError

    thing = Untouchable()
    for source in (Source.from_iterable(thing), Source.from_async(thing), Source.from_inlet(thing.__iter__)):
        assert await source.take(0).run_collect() == []
        with pytest.raises(AssertionError):
            await source.run_drain()


async def test_an_iterator_made_for_a_run_is_closed_with_it_and_one_that_was_there_is_not() -> None:
    closed: list[str] = []

    class Numbers:
        def __init__(self, name: str) -> None:
            self.name = name

        def __aiter__(self) -> "Numbers":
            return Numbers("made for the run") if self.name == "iterable" else self

        async def __anext__(self) -> int:
            return 1

        async def aclose(self) -> None:
            closed.append(self.name)

    await Source.from_async(Numbers("iterable")).run_first()
    await Source.from_async(Numbers("was there")).run_first()
    assert closed == ["made for the run"]


async def test_an_inlet_is_not_pulled_again_after_its_end() -> None:
    class Once:
        ended = False

        async def pull(self, limit: int) -> Sequence[Any]:
            assert not self.ended
            self.ended = True
            return []

        async def aclose(self) -> None: ...

    inlet = Source.from_inlet(Once).open()
    assert list(await inlet.pull(1)) == list(await inlet.pull(1)) == []


async def test_a_chunk_of_ready_elements_is_bounded() -> None:
    for source in (Source.from_iterable(range(10_000)), Source.repeat(1), Source.unfold(0, lambda n: (n, n + 1))):
        inlet = source.open()
        assert len(await inlet.pull(EVERYTHING)) == CHUNK
        await inlet.aclose()
        assert not await inlet.pull(EVERYTHING)


async def test_a_never_ending_computation_lets_others_run_and_can_be_cancelled() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while turns < 5:
            await anyio.lowlevel.checkpoint()
            turns += 1
        tasks.cancel_scope.cancel()

    for source in (Source.repeat(1), Source.unfold(0, lambda n: (n, n)), Source.from_async(_ready_for_ever())):
        turns = 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)
            await source.filter(lambda x: False).run_with(Sink.drain())
        assert turns == 5


async def _ready_for_ever() -> AsyncIterator[int]:
    while True:
        yield 1
