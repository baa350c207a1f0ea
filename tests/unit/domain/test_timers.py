"""Durable timers: each fires once, none early, whoever runs them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from calliope import Journal
from calliope.domain.agenda import LOOK_AGAIN_SECONDS, Agenda
from calliope.domain.following import CHUNK_RECORDS_MAX
from calliope.domain.timer_events import TimerCancelled, TimerEvent, TimerFired
from calliope.domain.timers import Timers
from calliope.flow.clock import settle
from calliope.testing import ManualClock

pytestmark = pytest.mark.anyio

START = datetime(2030, 1, 1, tzinfo=UTC)


class World:
    """A journal in memory and a wall clock that can be set beside a monotonic one that cannot."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.set_forward_seconds = 0.0
        self.journal = Journal.open("memory://", clock=self.wall_clock)

    def wall_clock(self) -> int:
        return round((START.timestamp() + self.clock.now() + self.set_forward_seconds) * 1_000_000)

    def timers(self, name: str = "reminders") -> Timers:
        return Timers(self.journal, name, wall_clock=self.wall_clock, clock=self.clock)

    async def fired(self) -> list[str]:
        await settle()
        records = self.journal.records(types=TimerFired, event_type=TimerEvent)
        return [record.data.timer_id async for record in records]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    async with world.journal:
        yield world


async def test_a_timer_fires_at_its_time_once_and_not_before(world: World) -> None:
    timers = world.timers()
    async with timers.running():
        await timers.set("tea", at=START + timedelta(minutes=5), data={"sort": "green"})
        await world.clock.advance(299)
        assert await world.fired() == []
        await world.clock.advance(1)
        assert await world.fired() == ["tea"]
        await world.clock.advance(3600)
    assert await world.fired() == ["tea"]
    fired = await timers.fired().run_first()
    assert fired.data == TimerFired("tea", START + timedelta(minutes=5), {"sort": "green"})
    assert fired.timestamp >= fired.data.due


async def test_timers_fire_in_the_order_of_their_times(world: World) -> None:
    timers = world.timers()
    async with timers.running():
        for minutes in (3, 1, 2):
            await timers.set(str(minutes), after=timedelta(minutes=minutes))
        await world.clock.advance(600)
    assert await world.fired() == ["1", "2", "3"]


async def test_a_timer_that_became_due_while_nobody_ran_fires_at_the_next_start(world: World) -> None:
    await world.timers().set("tea", after=timedelta(minutes=5))
    await world.clock.advance(3600)
    async with world.timers().running():
        await world.clock.advance(0)
        assert await world.fired() == ["tea"]


async def test_a_timer_of_an_earlier_run_fires_in_a_later_one(world: World) -> None:
    async with world.timers().running():
        await world.timers().set("tea", after=timedelta(minutes=5))
        await world.clock.advance(60)
    async with world.timers().running():
        await world.clock.advance(239)
        assert await world.fired() == []
        await world.clock.advance(1)
    assert await world.fired() == ["tea"]


async def test_a_cancelled_timer_does_not_fire(world: World) -> None:
    timers = world.timers()
    async with timers.running():
        await timers.set("tea", after=timedelta(minutes=5))
        assert await timers.cancel("tea")
        assert not await timers.cancel("tea")
        await world.clock.advance(600)
    assert await world.fired() == []


async def test_a_timer_that_has_fired_cannot_be_cancelled_but_set_again(world: World) -> None:
    timers = world.timers()
    async with timers.running():
        await timers.set("tea", after=timedelta(0))
        await world.clock.advance(1)
        assert not await timers.cancel("tea")
        assert await timers.due("tea") is None
        await timers.set("tea", after=timedelta(seconds=5))
        await world.clock.advance(5)
    assert await world.fired() == ["tea", "tea"]


async def test_a_timer_that_is_set_anew_fires_at_the_new_time_only(world: World) -> None:
    timers = world.timers()
    async with timers.running():
        await timers.set("tea", after=timedelta(minutes=5))
        await timers.set("tea", after=timedelta(minutes=10))
        assert await timers.due("tea") == START + timedelta(minutes=10)
        await world.clock.advance(599)
        assert await world.fired() == []
        await world.clock.advance(1)
    assert await world.fired() == ["tea"]


async def test_setting_it_again_under_the_same_request_id_changes_nothing(world: World) -> None:
    timers = world.timers()
    async with timers.running():
        await timers.set("tea", after=timedelta(minutes=5), request_id="once")
        await world.clock.advance(300)
        await timers.set("tea", after=timedelta(minutes=5), request_id="once")
        await world.clock.advance(300)
    assert await world.fired() == ["tea"]


async def test_two_who_run_the_same_timers_fire_each_once(world: World) -> None:
    async with world.timers().running(), world.timers().running(), world.timers().running():
        for number in range(20):
            await world.timers().set(str(number), after=timedelta(seconds=number // 5))
        await world.clock.advance(10)
    assert sorted(await world.fired(), key=int) == [str(number) for number in range(20)]


async def test_a_wall_clock_that_is_set_back_makes_timers_later_never_earlier(world: World) -> None:
    timers = world.timers()
    async with timers.running():
        await timers.set("tea", after=timedelta(minutes=5))
        world.set_forward_seconds = -3600
        await world.clock.advance(3600 + 299)
        assert await world.fired() == []
        await world.clock.advance(1)
    assert await world.fired() == ["tea"]


async def test_a_wall_clock_that_is_set_forward_is_noticed_soon(world: World) -> None:
    timers = world.timers()
    async with timers.running():
        await timers.set("tea", after=timedelta(hours=5))
        await world.clock.advance(1)
        world.set_forward_seconds = 5 * 3600
        await world.clock.advance(LOOK_AGAIN_SECONDS)
    assert await world.fired() == ["tea"]


async def test_sets_of_similar_names_keep_apart(world: World) -> None:
    await world.timers("a").set("b-c", after=timedelta(seconds=1))
    await world.timers("a-b").set("d", after=timedelta(seconds=2))
    async with world.timers("a").running():
        await world.clock.advance(5)
    assert await world.fired() == ["b-c"]


async def test_a_timer_that_was_cancelled_long_after_others_were_set_does_not_fire_on_the_way_there(
    world: World,
) -> None:
    timers = world.timers()
    await timers.set("tea", after=timedelta(seconds=1))
    for number in range(CHUNK_RECORDS_MAX):
        await timers.set(str(number), after=timedelta(days=1))
    await timers.cancel("tea")
    await world.clock.advance(60)
    async with timers.running():
        await world.clock.advance(1)
    assert await world.fired() == []


async def test_without_its_checkpoint_all_is_read_again_and_nothing_fires_twice(world: World) -> None:
    timers = world.timers()
    async with timers.running():
        for number in range(5):
            await timers.set(str(number), after=timedelta(seconds=number))
        await world.clock.advance(2)
    await world.journal.snapshots.delete_snapshots("reminders/checkpoint")
    async with world.timers().running():
        await world.clock.advance(10)
    assert await world.fired() == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("times", "error", "message"),
    [
        ({}, ValueError, "exactly one of at and after"),
        ({"at": START, "after": timedelta(1)}, ValueError, "exactly one of at and after"),
        ({"at": datetime(2030, 1, 1)}, ValueError, "must have a time zone"),
        ({"at": datetime(1960, 1, 1, tzinfo=UTC)}, ValueError, "before 1970"),
        ({"at": "tomorrow"}, TypeError, "must be a datetime"),
        ({"after": 5}, TypeError, "must be a timedelta"),
        ({"after": timedelta(seconds=-5)}, ValueError, "must not be negative"),
    ],
)
async def test_what_is_no_time_is_refused(
    world: World, times: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await world.timers().set("tea", **times)
    assert await world.journal.records().run_collect() == []


async def test_an_error_within_the_block_comes_out_as_it_is(world: World) -> None:
    async def divides() -> None:
        async with world.timers().running():
            await world.clock.advance(1)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        await divides()


async def test_cancelling_leaves_what_is_stored(world: World) -> None:
    await world.timers().set("tea", after=timedelta(0))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await world.timers().run()
    async with world.timers().running():
        await world.clock.advance(1)
    assert await world.fired() == ["tea"]


async def test_timers_survive_in_a_file(tmp_path: Path) -> None:
    async with Journal.open(tmp_path / "timers.db") as journal:
        await Timers(journal, "reminders").set("tea", after=timedelta(0))
        await Timers(journal, "reminders").set("coffee", after=timedelta(hours=1))
        await Timers(journal, "reminders").cancel("coffee")
    async with Journal.open(tmp_path / "timers.db") as journal:
        timers = Timers(journal, "reminders")
        async with timers.running():
            assert (await timers.fired().run_first()).data.timer_id == "tea"
        last = await journal.event_stream("reminders-coffee", TimerEvent).query().run_collect()
        assert last[-1] == TimerCancelled("coffee")


async def test_an_agenda_forgets_what_was_removed() -> None:
    agenda: Agenda[int] = Agenda(lambda: 0, ManualClock())
    for key in range(10_000):
        agenda.put(key, 10**12)
        agenda.discard(key)
    assert len(agenda) == 0
    assert len(agenda._heap) < 100
