"""Back-pressure is pulling: nothing upstream is computed that was not asked for, and nothing live is held back."""

import pytest

from calliope.flow import CHUNK, EVERYTHING, Flow, Sink, Source
from calliope.flow.clock import settle
from tests.unit.flow.probes import STAGES, Probe, identity

pytestmark = pytest.mark.anyio

EXACT = {
    "map": lambda source: source.map(lambda x: x),
    "filter": lambda source: source.filter(lambda x: x % 2 == 0),
    "scan": lambda source: source.scan(0, lambda state, element: element),
    "take": lambda source: source.take(100),
    "drop": lambda source: source.drop(3),
    "drop_while": lambda source: source.drop_while(lambda x: x < 3),
    "distinct": lambda source: source.distinct(lambda x: x // 2),
    "flat_map": lambda source: source.flat_map(lambda x: [x] * 10),
    "batch": lambda source: source.batch(2),
    "concat": lambda source: source.concat(source),
    "zip": lambda source: source.zip(source),
    "on_each": lambda source: source.on_each(lambda x: None),
    "on_each async": lambda source: source.on_each(identity),
    "map_async": lambda source: source.map_async(identity, parallelism=100),
    "map_async_unordered": lambda source: source.map_async_unordered(identity, parallelism=100),
    "throttle": lambda source: source.throttle(100),
    "batch_within": lambda source: source.batch_within(2, 60),
    "timeout": lambda source: source.timeout(60),
    "recover": lambda source: source.recover(lambda error: []),
    "retry": lambda source: source.retry(),
    "broadcast": lambda source: source.broadcast(Flow()),
    "via": lambda source: source.via(Flow().map(lambda x: x).filter(lambda x: x % 2)),
}
NEEDED = {
    "filter": 5,
    "scan": 2,
    "drop": 6,
    "drop_while": 6,
    "distinct": 5,
    "flat_map": 1,
    "batch": 6,
    "batch_within": 6,
    "via": 6,
    "zip": 6,
}
"""How many elements three results take; 3 where nothing is said."""


@pytest.mark.parametrize("chunk", [256, 5, 3])
@pytest.mark.parametrize("name", EXACT)
async def test_a_take_computes_exactly_what_it_needs(name: str, chunk: int) -> None:
    probe = Probe(range(1_000), chunk=chunk)
    await EXACT[name](probe.source).take(3).run_drain()
    assert len(probe.handed) == NEEDED.get(name, 3)


@pytest.mark.parametrize("name", EXACT)
async def test_a_first_element_computes_exactly_what_it_needs(name: str) -> None:
    probe = Probe(range(1_000))
    await EXACT[name](probe.source).run_first()
    assert len(probe.handed) <= {"drop": 4, "drop_while": 4, "batch": 2, "batch_within": 2, "zip": 2, "via": 2}.get(
        name, 1
    )


@pytest.mark.parametrize("name", STAGES)
async def test_a_live_element_is_not_held_back(name: str) -> None:
    queue, others = Source.queue(8), Source.queue(8)
    iterator = aiter(STAGES[name](queue, others))
    for number in range(5):
        assert queue.offer(number)
        assert others.offer(number)
        await anext(iterator)
    await iterator.aclose()


@pytest.mark.parametrize("name", STAGES)
async def test_a_live_element_is_not_held_back_from_a_fold(name: str) -> None:
    queue, others, seen = Source.queue(8), Source.queue(8), []
    async with STAGES[name](queue, others).running(Flow().map(seen.append).to(Sink.drain())):
        for number in range(5):
            assert queue.offer(number)
            assert others.offer(number)
            await settle()
            assert len(seen) >= number + 1


async def test_iteration_asks_for_more_and_more() -> None:
    probe = Probe(range(2_000))
    async for _ in probe.source:
        pass
    demands = [1, 2, 4, 8, 16, 32, 64, 128, 256, CHUNK, *[EVERYTHING] * 6]
    assert probe.demands == demands


async def test_a_demand_for_everything_stays_one_through_every_stage() -> None:
    for stage in (lambda s: s.batch(3).batch(3), lambda s: s.drop(2).batch(7), lambda s: s.flat_map(lambda x: [x])):
        probe = Probe(range(100), chunk=5)
        await stage(probe.source).run_drain()
        assert set(probe.demands[3:]) == {EVERYTHING}


async def test_leaving_an_iteration_has_computed_at_most_twice_what_was_used() -> None:
    for used in (1, 2, 3, 7, 100, 255):
        probe = Probe(range(1_000))
        async for number in probe.source:
            if number == used - 1:
                break
        assert used <= len(probe.handed) <= 2 * used


async def test_an_unfolded_source_computes_only_what_is_taken() -> None:
    asked = []

    def grow(state: int) -> tuple[int, int]:
        asked.append(state)
        return state, state + 1

    assert await Source.unfold(0, grow).take(3).run_collect() == [0, 1, 2]
    assert asked == [0, 1, 2]


async def test_synchronous_stages_compute_element_by_element_as_a_loop_does() -> None:
    log: list[str] = []

    def numbers():
        for number in range(10):
            log.append(f"make {number}")
            yield number

    source = Source.from_iterable(numbers()).map(lambda x: log.append(f"map {x}") or x)
    assert await source.take_while(lambda x: x < 1).run_collect() == [0]
    assert log == ["make 0", "map 0", "make 1", "map 1"]


async def test_a_buffer_runs_ahead_by_no_more_than_its_size() -> None:
    probe = Probe(range(100))
    iterator = aiter(probe.source.buffer(4))
    assert await anext(iterator) == 0
    await settle()
    assert len(probe.handed) <= 1 + 4
    await iterator.aclose()


async def test_nothing_runs_ahead_of_a_consumer_that_does_not_ask() -> None:
    for stage in (lambda s: s.merge(Source.empty()), lambda s: s.map_async(identity, 9), lambda s: s.timeout(60)):
        probe = Probe(range(100))
        iterator = aiter(stage(probe.source))
        await anext(iterator)
        await settle()
        assert len(probe.handed) == 1
        await iterator.aclose()
