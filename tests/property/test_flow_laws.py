"""The laws of streams: what a pipeline gives is what lists give, whatever the chunks and demands are."""

from collections.abc import Callable, Sequence
from itertools import accumulate, dropwhile, takewhile
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from calliope.flow import EVERYTHING, Flow, Source

Numbers = list[int]


class Chopped:
    """Hands out a list in chunks of given sizes, waiting now and then."""

    def __init__(self, elements: Sequence[int], sizes: Sequence[int]) -> None:
        self._rest = list(elements)
        self._sizes = list(sizes)

    async def pull(self, limit: int) -> Sequence[int]:
        size = self._sizes.pop(0) if self._sizes else 3
        if size % 2:
            await anyio.lowlevel.checkpoint()
        size = min(max(size, 1), limit)
        chunk, self._rest = self._rest[:size], self._rest[size:]
        return chunk

    async def aclose(self) -> None: ...


async def plus_one(x: int) -> int:
    for _ in range(x % 3):
        await anyio.lowlevel.checkpoint()
    return x + 1


def batches(xs: Numbers, n: int) -> Numbers:
    return [sum(xs[start : start + n]) for start in range(0, len(xs), n)]


STAGES: dict[str, tuple[Callable[[Source[int]], Source[int]], Callable[[Numbers], Numbers]]] = {
    "map": (lambda s: s.map(lambda x: x * 2), lambda xs: [x * 2 for x in xs]),
    "filter": (lambda s: s.filter(lambda x: x % 3), lambda xs: [x for x in xs if x % 3]),
    "flat_map": (lambda s: s.flat_map(lambda x: [x] * (x % 4)), lambda xs: [x for x in xs for _ in range(x % 4)]),
    "flat_map to sources": (
        lambda s: s.flat_map(lambda x: Source.from_iterable(range(x % 3))),
        lambda xs: [y for x in xs for y in range(x % 3)],
    ),
    "scan": (lambda s: s.scan(1, lambda a, x: (a + x) % 99), lambda xs: list(accumulate(xs, _add, initial=1))),
    "take": (lambda s: s.take(7), lambda xs: xs[:7]),
    "drop": (lambda s: s.drop(2), lambda xs: xs[2:]),
    "take_while": (lambda s: s.take_while(lambda x: x < 50), lambda xs: list(takewhile(lambda x: x < 50, xs))),
    "drop_while": (lambda s: s.drop_while(lambda x: x < 10), lambda xs: list(dropwhile(lambda x: x < 10, xs))),
    "batch": (lambda s: s.batch(3).map(sum), lambda xs: batches(xs, 3)),
    "distinct": (lambda s: s.distinct(), lambda xs: list(dict.fromkeys(xs))),
    "on_each": (lambda s: s.on_each(lambda x: None), lambda xs: xs),
    "on_each async": (lambda s: s.on_each(plus_one), lambda xs: xs),
    "concat": (lambda s: s.concat(Source.of(1, 2)), lambda xs: [*xs, 1, 2]),
    "zip": (
        lambda s: s.zip(Source.from_iterable(range(40))).map(sum),
        lambda xs: [x + i for i, x in enumerate(xs[:40])],
    ),
    "map_async": (lambda s: s.map_async(plus_one, 3), lambda xs: [x + 1 for x in xs]),
    "buffer": (lambda s: s.buffer(2), lambda xs: xs),
    "merge": (lambda s: s.merge(Source.empty()), lambda xs: xs),
    "timeout": (lambda s: s.timeout(3_600), lambda xs: xs),
    "throttle": (lambda s: s.throttle(100_000), lambda xs: xs),
    "retry": (lambda s: s.retry(), lambda xs: xs),
    "recover": (lambda s: s.recover(lambda error: []), lambda xs: xs),
    "broadcast": (lambda s: s.broadcast(Flow[int, int]().map(lambda x: -x)), lambda xs: [-x for x in xs]),
    "group_by": (lambda s: s.group_by(lambda x: 0).flat_map(lambda group: group.elements), lambda xs: xs),
}


def _add(a: int, x: int) -> int:
    return (a + x) % 99


numbers = st.lists(st.integers(0, 60), max_size=60)
sizes = st.lists(st.integers(1, 9), max_size=30)
pipelines = st.lists(st.sampled_from(sorted(STAGES)), max_size=6)
backends = st.sampled_from(["asyncio", "trio"])


def piped(source: Source[int], names: Sequence[str]) -> Source[int]:
    for name in names:
        source = STAGES[name][0](source)
    return source


def expected(xs: Numbers, names: Sequence[str]) -> Numbers:
    for name in names:
        xs = STAGES[name][1](xs)
    return xs


async def pulled(source: Source[Any], demands: Sequence[int]) -> list[Any]:
    """Pulls a source with the demands given, and then for everything; checks what every inlet promises."""
    inlet, elements, left = source.open(), [], list(demands)
    while chunk := await inlet.pull(limit := left.pop(0) if left else EVERYTHING):
        assert len(chunk) <= limit
        elements += chunk
    assert not await inlet.pull(EVERYTHING)
    await inlet.aclose()
    await inlet.aclose()
    return elements


@settings(max_examples=300, deadline=None)
@given(numbers, sizes, sizes, pipelines, backends)
def test_a_pipeline_gives_what_lists_give_whatever_the_chunks_and_demands(
    xs: Numbers, chunks: list[int], demands: list[int], names: list[str], backend: str
) -> None:
    source = piped(Source.from_inlet(lambda: Chopped(xs, chunks)), names)
    assert anyio.run(pulled, source, demands, backend=backend) == expected(xs, names)


@settings(max_examples=100, deadline=None)
@given(numbers, pipelines, backends)
def test_iterating_folding_and_collecting_agree(xs: Numbers, names: list[str], backend: str) -> None:
    source = piped(Source.from_iterable(xs), names)

    async def three_ways() -> list[Numbers]:
        iterated = [x async for x in source]
        folded = await source.run_fold((), lambda seen, x: (*seen, x))
        return [iterated, list(folded), await source.run_collect()]

    assert anyio.run(three_ways, backend=backend) == [expected(xs, names)] * 3


@settings(max_examples=100, deadline=None)
@given(numbers, sizes, pipelines, st.integers(0, 20))
def test_a_take_gives_the_beginning(xs: Numbers, chunks: list[int], names: list[str], n: int) -> None:
    source = piped(Source.from_inlet(lambda: Chopped(xs, chunks)), names).take(n)
    assert anyio.run(source.run_collect) == expected(xs, names)[:n]


@settings(max_examples=100, deadline=None)
@given(numbers, sizes, pipelines, pipelines)
def test_flows_compose_as_their_stages_do(xs: Numbers, chunks: list[int], first: list[str], second: list[str]) -> None:
    source = Source.from_inlet(lambda: Chopped(xs, chunks))
    flows = [Flow(lambda s, names=names: piped(s, names)) for names in (first, second)]
    composed = source.via(flows[0].via(flows[1]))
    assert anyio.run(composed.run_collect) == expected(xs, [*first, *second])


@settings(max_examples=100, deadline=None)
@given(numbers, sizes, st.functions(like=lambda x: 0, returns=st.integers(), pure=True))
def test_map_fuses(xs: Numbers, chunks: list[int], function: Callable[[int], int]) -> None:
    source = Source.from_inlet(lambda: Chopped(xs, chunks))
    twice, fused = source.map(function).map(function), source.map(lambda x: function(function(x)))
    assert anyio.run(twice.run_collect) == anyio.run(fused.run_collect) == [function(function(x)) for x in xs]


@settings(max_examples=100, deadline=None)
@given(numbers, sizes, st.integers(0, 59), pipelines)
def test_what_comes_before_an_error_does_not_depend_on_chunks(
    xs: Numbers, chunks: list[int], at: int, names: list[str]
) -> None:
    def seen_before_error(sizes_of_chunks: Sequence[int]) -> tuple[Numbers, bool]:
        seen: Numbers = []

        def fail(pair: tuple[int, int]) -> int:
            if pair[0] == at:
                raise LookupError
            return pair[1]

        source = Source.from_inlet(lambda: Chopped(list(enumerate(xs)), sizes_of_chunks)).map(fail)
        failed = False
        try:
            anyio.run(
                piped(source, [name for name in names if name not in {"recover", "retry"}]).run_for_each, seen.append
            )
        except LookupError:
            failed = True
        return seen, failed

    assert seen_before_error(chunks) == seen_before_error([9] * 20)


@settings(max_examples=100, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=4), sizes, backends)
def test_a_merge_interleaves_and_loses_nothing(lists: list[Numbers], chunks: list[int], backend: str) -> None:
    tagged = [[(which, x) for x in xs] for which, xs in enumerate(lists)]
    first, *others = (Source.from_inlet(lambda xs=xs: Chopped(xs, chunks)) for xs in tagged)
    merged = anyio.run(first.merge(*others).run_collect, backend=backend)
    assert [[pair for pair in merged if pair[0] == which] for which in range(len(lists))] == tagged


@settings(max_examples=100, deadline=None)
@given(numbers, sizes, st.integers(1, 5), st.integers(1, 5), backends)
def test_unordered_results_and_groups_are_a_permutation(
    xs: Numbers, chunks: list[int], parallelism: int, buffer: int, backend: str
) -> None:
    source = Source.from_inlet(lambda: Chopped(xs, chunks))
    unordered = anyio.run(source.map_async_unordered(plus_one, parallelism).run_collect, backend=backend)
    assert sorted(unordered) == sorted(x + 1 for x in xs)

    async def collected(group: Any) -> tuple[int, Numbers]:
        return group.key, await group.elements.run_collect()

    groups = source.group_by(lambda x: x % 5, buffer=buffer).map_async_unordered(collected, parallelism=5)
    found = dict(anyio.run(groups.run_collect, backend=backend))
    assert found == {key: [x for x in xs if x % 5 == key] for key in {x % 5 for x in xs}}
