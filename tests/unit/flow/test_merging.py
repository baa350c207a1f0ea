"""merge, zip and broadcast: several streams side by side."""

import pytest

from calliope.flow import Flow, Sink, Source
from calliope.flow.clock import settle
from tests.unit.flow.probes import Probe, identity

pytestmark = pytest.mark.anyio


async def test_merge_hands_out_all_elements_each_source_in_its_order() -> None:
    merged = await Source.of(1, 2, 3).merge(Source.of(11, 12), Source.of(21)).run_collect()
    assert sorted(merged) == [1, 2, 3, 11, 12, 21]
    assert [x for x in merged if x < 10] == [1, 2, 3]
    assert [x for x in merged if 10 < x < 20] == [11, 12]


async def test_merge_does_not_wait_for_a_source_that_has_nothing() -> None:
    assert await Probe((), stalls=True).source.merge(Source.of(1, 2)).take(2).run_collect() == [1, 2]


async def test_merge_favours_none_of_its_sources() -> None:
    merged = await Source.repeat("a").merge(Source.repeat("b")).take(10_000).run_collect()
    assert 4_000 < merged.count("a") < 6_000


async def test_the_first_error_ends_a_merge_after_what_came_before_it() -> None:
    other, seen = Probe((), stalls=True), []
    failing = Probe([1, 2], error=ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        await failing.source.merge(other.source).run_for_each(seen.append)
    assert seen == [1, 2]
    assert failing.is_closed
    assert other.is_closed


async def test_a_merged_source_that_has_ended_is_closed_while_the_others_go_on() -> None:
    ended, live = Probe([1]), Probe((), stalls=True)
    async with ended.source.merge(live.source).running(Sink.drain()):
        await settle()
        assert (ended.closed, live.closed) == (1, 0)


async def test_an_element_of_one_source_leaves_the_others_alone() -> None:
    queue, others = Source.queue(8), [Probe((), stalls=True) for _ in range(50)]
    iterator = aiter(queue.merge(*(other.source for other in others)))
    for number in range(5):
        await queue.put(number)
        assert await anext(iterator) == number
    assert [len(other.demands) for other in others] == [1] * 50
    await iterator.aclose()
    assert all(other.is_closed for other in others)


async def test_zip_pairs_elements_and_ends_with_the_shortest() -> None:
    assert await Source.of(1, 2, 3).zip(Source.of("a", "b")).run_collect() == [(1, "a"), (2, "b")]
    assert await Source.of(1).zip(Source.of("a"), Source.of(2.0), Source.of(None)).run_collect() == [
        (1, "a", 2.0, None)
    ]
    assert await Source.of(1).zip(Source.empty()).run_collect() == []


async def test_zip_waits_for_all_sources_at_the_same_time() -> None:
    first, second = Probe((), stalls=True), Probe((), stalls=True)
    async with first.source.zip(second.source).running(Sink.drain()):
        await settle()
        assert first.is_stalled
        assert second.is_stalled


async def test_zip_ends_with_the_shortest_even_if_another_never_says_anything() -> None:
    assert await Source.of(1).zip(Probe([2], stalls=True).source).run_collect() == [(1, 2)]


async def test_zip_pairs_whatever_the_chunks_are() -> None:
    first, second = Probe(range(100), chunk=7), Probe(range(100), chunk=3)
    assert await first.source.zip(second.source).run_collect() == [(x, x) for x in range(100)]


async def test_no_other_source_is_no_mistake() -> None:
    assert await Source.of(1).merge().run_collect() == await Source.of(1).concat().run_collect() == [1]
    assert await Source.of(1).zip().run_collect() == [(1,)]


async def test_broadcast_sends_every_element_through_each_flow() -> None:
    doubled, negative = Flow[int, int]().map(lambda x: 2 * x), Flow[int, int]().map(lambda x: -x)
    results = await Source.of(1, 2, 3).broadcast(doubled, negative).run_collect()
    assert [x for x in results if x > 0] == [2, 4, 6]
    assert [x for x in results if x < 0] == [-1, -2, -3]


async def test_broadcast_runs_its_source_once() -> None:
    probe = Probe(range(10))
    await probe.source.broadcast(Flow(), Flow(), Flow()).run_drain()
    assert probe.opened == 1
    assert probe.handed == list(range(10))


async def test_a_flow_that_ends_early_is_not_waited_for() -> None:
    first_only: Flow[int, int] = Flow().take(1)
    results = await Source.from_iterable(range(1_000)).broadcast(first_only, Flow(), buffer=2).run_collect()
    assert sorted(results) == [0, *range(1_000)]


async def test_broadcast_ends_and_closes_upstream_when_all_flows_have_ended() -> None:
    probe = Probe(range(9), stalls=True)
    assert await probe.source.broadcast(Flow().take(2), Flow().take(0)).run_collect() == [0, 1]
    assert probe.closed == 1


async def test_the_slowest_flow_of_a_broadcast_sets_the_pace_at_the_bound() -> None:
    probe = Probe(range(1_000))

    async def never(x: int) -> int:
        await Probe((), stalls=True).source.run_drain()
        return x

    async with probe.source.broadcast(Flow(), Flow[int, int]().map_async(never, 1), buffer=10).running(Sink.drain()):
        await settle()
        assert len(probe.handed) == 10 + 1


async def test_an_error_reaches_the_consumer_of_a_broadcast_once_and_as_itself() -> None:
    error = ValueError("x")
    with pytest.raises(ValueError, match="x") as caught:
        await Probe([1], error=error).source.broadcast(Flow(), Flow().map_async(identity, 2)).run_drain()
    assert caught.value is error
