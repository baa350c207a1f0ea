"""Which aggregates are kept in memory, and for how long."""

from collections import Counter

import anyio
import pytest
from anyio.lowlevel import checkpoint

from calliope import Journal
from calliope.domain import Decider, Repository
from calliope.domain.aggregate import Aggregate
from calliope.domain.aggregate_cache import AggregateCache
from calliope.testing import ManualClock
from tests.unit.domain.accounts import Deposited

pytestmark = pytest.mark.anyio

COUNTER = Decider[int, Deposited, Deposited](0, lambda command, state: command, lambda state, event: state + 1)


class Cached:
    """A cache, and how often each aggregate was made."""

    def __init__(self, journal: Journal, **options) -> None:
        self.clock = ManualClock()
        self.made: Counter[str] = Counter()
        self._repository = Repository(journal, COUNTER, Deposited)
        settings = {"aggregates_max": 100, "idle_seconds": 10.0} | options
        self.cache = AggregateCache(self._new, settings["aggregates_max"], settings["idle_seconds"], self.clock)

    def _new(self, stream_id: str) -> Aggregate[int, Deposited]:
        self.made[stream_id] += 1
        return self._repository._new_aggregate(stream_id)

    async def use(self, *stream_ids: str) -> None:
        for stream_id in stream_ids:
            async with self.cache.lent(stream_id) as aggregate:
                assert aggregate.stream_id == stream_id


async def test_an_aggregate_is_kept(memory_journal: Journal):
    cached = Cached(memory_journal)
    await cached.use("a", "b", "a", "b")
    assert cached.made == {"a": 1, "b": 1}
    assert len(cached.cache) == 2


async def test_the_least_recently_used_is_forgotten_first(memory_journal: Journal):
    cached = Cached(memory_journal, aggregates_max=2)
    await cached.use("a", "b", "a", "c", "a", "b")
    assert cached.made == {"a": 1, "b": 2, "c": 1}
    assert len(cached.cache) == 2


async def test_nothing_is_kept_if_nothing_may_be(memory_journal: Journal):
    cached = Cached(memory_journal, aggregates_max=0)
    await cached.use("a", "a")
    assert (cached.made["a"], len(cached.cache)) == (2, 0)


async def test_what_is_idle_is_forgotten(memory_journal: Journal):
    cached = Cached(memory_journal)
    await cached.use("a", "b")
    await cached.clock.advance(9)
    await cached.use("b")
    await cached.clock.advance(1)
    await cached.use("c")
    assert len(cached.cache) == 2
    await cached.use("a", "b")
    assert cached.made == {"a": 2, "b": 1, "c": 1}
    await cached.clock.advance(10)
    await cached.use("b")
    assert cached.made["b"] == 2


async def test_what_is_idle_is_forgotten_though_nobody_calls(memory_journal: Journal):
    clock = ManualClock()
    repository = Repository(memory_journal, COUNTER, Deposited, idle_seconds=10.0, clock=clock)
    async with repository.running():
        await clock.advance(7)
        await repository.load("a")
        await clock.advance(5)
        await repository.load("b")
        await clock.advance(4.9)
        assert len(repository._cache) == 2
        await clock.advance(0.1)
        assert len(repository._cache) == 1
        await clock.advance(5)
        assert len(repository._cache) == 0
        assert (await repository.load("a")).version == 0


async def test_what_is_used_is_not_forgotten_however_long_it_takes(memory_journal: Journal):
    cached = Cached(memory_journal, aggregates_max=1)
    async with cached.cache.lent("a"):
        await cached.clock.advance(100)
        await cached.use("b", "c", "b")
        assert len(cached.cache) == 2
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cached.use, "a")
            tasks.cancel_scope.cancel()
    await cached.use("a")
    assert cached.made["a"] == 1


async def test_one_has_it_at_a_time_in_the_order_of_asking(memory_journal: Journal):
    cached, story = Cached(memory_journal), []

    async def use(name: int) -> None:
        async with cached.cache.lent("a"):
            story.append(f"{name} begins")
            await checkpoint()
            story.append(f"{name} ends")

    async with anyio.create_task_group() as tasks, cached.cache.lent("a"):
        for name in range(3):
            tasks.start_soon(use, name)
            await anyio.wait_all_tasks_blocked()
        story.append("all wait")
    assert story == ["all wait", "0 begins", "0 ends", "1 begins", "1 ends", "2 begins", "2 ends"]


async def test_who_stops_waiting_leaves_the_others_in_their_order(memory_journal: Journal):
    cached, story = Cached(memory_journal), []

    async def use(name: int) -> None:
        async with cached.cache.lent("a"):
            story.append(name)

    async with anyio.create_task_group() as tasks, cached.cache.lent("a"), anyio.create_task_group() as impatient:
        impatient.start_soon(use, 0)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(use, 1)
        await anyio.wait_all_tasks_blocked()
        impatient.cancel_scope.cancel()
    assert story == [1]
    assert len(cached.cache) == 1


async def test_an_error_gives_it_back(memory_journal: Journal):
    cached = Cached(memory_journal)
    with pytest.raises(LookupError):
        async with cached.cache.lent("a"):
            raise LookupError
    with anyio.fail_after(5):
        await cached.use("a")
