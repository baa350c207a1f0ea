"""Long-lived processes are not folded from their first event on; what a snapshot leaves out is still in the stream."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import anyio
import pytest

from calliope import Journal, UnreadableSnapshotWarning
from calliope.domain import Process, UnsavedSnapshotWarning
from calliope.testing import ManualClock
from tests.unit.domain.payments import (
    MINUTE,
    Cancel,
    Confirmed,
    Desk,
    OrderEvent,
    Paid,
    Ship,
    World,
    correlate,
    react,
    refused,
    rest,
)

pytestmark = pytest.mark.anyio

STREAM = "payment-17"
PLAIN: dict[str, Any] = {"state_type": tuple[str, ...], "snapshot_every": 4}


@dataclass(frozen=True)
class Counted:
    """How often the order was confirmed, as a class of its own."""

    times: int = 0


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = ManualClock(1_000_000)
    async with Journal.open("memory://", clock=lambda: round(clock.now() * 1_000_000)) as journal:
        yield World(journal, clock, [0])


async def numbers(world: World) -> list[int]:
    return [summary.sequence_number for summary in await world.journal.snapshots.list_snapshots(STREAM)]


async def test_a_process_is_folded_from_its_newest_snapshot_on(world: World) -> None:
    folded: list[OrderEvent] = []

    def noting(state: Counted, event: OrderEvent) -> Counted:
        folded.append(event)
        return replace(state, times=state.times + 1)

    counting: Process[Counted, OrderEvent] = Process(Counted(), correlate, react, noting)
    options: dict[str, Any] = {"process": counting, "state_type": Counted, "snapshot_every": 10}
    async with world.manager(**options).running():
        for _ in range(30):
            await world.happens(Confirmed("17"))
    assert await numbers(world) == [60, 50], "each reception is two events, and two snapshots are kept"
    folded.clear()
    assert (await world.manager(**options).status("17")).state == Counted(30)
    assert folded == []
    async with world.manager(**options).running():
        await world.happens(Confirmed("17"))
    assert (await world.manager(**options).status("17")).state == Counted(31)
    assert folded == [Confirmed("17")] * 3, "once to react, once to take it up, once for the status"


async def test_what_is_open_is_found_again_behind_a_snapshot(world: World) -> None:
    async def hangs(stream_id: str, command: Any, /, *, command_id: str) -> None:
        await anyio.sleep_forever()

    options = {**PLAIN, "snapshot_every": 1}
    async with world.manager(deliver=hangs, **options).running():
        for event in (Paid("17"), Confirmed("17"), Paid("17"), Confirmed("17")):
            await world.happens(event)
    with_snapshots, without = world.manager(**options), world.manager()
    assert await with_snapshots.status("17") == await without.status("17")
    assert (await with_snapshots.status("17")).undelivered == 2
    async with with_snapshots.running():
        await rest()
        assert world.desk.commands == [Ship("17")] * 2
        await world.clock.advance(15 * MINUTE)
    assert world.desk.commands == [Ship("17"), Ship("17"), Cancel("17")]
    again = world.desk.taken
    world.desk = Desk()
    async with world.manager(**options).running():
        await world.clock.advance(60 * MINUTE)
    assert world.desk.calls == 0
    assert len(again) == 3
    assert (await with_snapshots.status("17")).completed


async def test_a_parked_command_stays_parked_behind_a_snapshot(world: World) -> None:
    world.desk.failures = [RuntimeError("down")] * 2
    options = {**PLAIN, "attempts": 2}
    async with world.manager(**options).running():
        await world.happens(Paid("17"))
        await world.clock.advance(5)
        await world.happens(Confirmed("17"))
    assert await numbers(world) == [6]
    manager = world.manager(**options)
    assert (await manager.status("17")).parked == "RuntimeError: down"
    async with manager.running():
        assert await manager.retry("17")
        await rest()
    assert world.desk.commands == [Ship("17")]


@pytest.mark.parametrize("form", [Counted, dict[str, int]], ids=["a class", "plain data"])
async def test_a_snapshot_of_another_form_is_passed_over(world: World, form: Any) -> None:
    async with world.manager(**PLAIN).running():
        for _ in range(3):
            await world.happens(Confirmed("17"))
    other = world.manager(state_type=form)
    with pytest.warns(UnreadableSnapshotWarning, match="snapshot 'payment-17' at 4 cannot be read"):
        status = await other.status("17")
    assert status == await world.manager().status("17")


async def test_a_snapshot_of_a_class_is_not_read_as_plain_data(world: World) -> None:
    counting: Process[Counted, OrderEvent] = Process(
        Counted(), correlate, react, lambda state, event: Counted(state.times + 1)
    )
    async with world.manager(counting, state_type=Counted, snapshot_every=4).running():
        for _ in range(2):
            await world.happens(Confirmed("17"))
    with pytest.warns(UnreadableSnapshotWarning, match="no plain data"):
        assert (await world.manager(state_type=tuple[str, ...]).status("17")).state == ("Confirmed",) * 2


async def test_a_snapshot_of_events_that_the_stream_does_not_hold_is_not_believed(world: World) -> None:
    async with world.manager(**PLAIN).running():
        for _ in range(2):
            await world.happens(Confirmed("17"))
    saved = world.manager(**PLAIN)._parts.instance("17")
    await saved.load()
    await world.journal.snapshots.save_snapshot(STREAM, saved._snapshot(), sequence_number=99)
    assert await world.manager(**PLAIN).status("17") == await world.manager().status("17")


async def test_a_state_that_cannot_be_saved_is_a_warning_and_the_process_goes_on(world: World) -> None:
    wrong: Process[Any, OrderEvent] = Process(
        object(), correlate, react, lambda state, event: state, on_rejected=refused
    )
    with pytest.warns(UnsavedSnapshotWarning, match="the snapshot of 'payment-17' at 3 could not be saved"):
        async with world.manager(wrong, state_type=Counted, snapshot_every=2).running():
            await world.happens(Paid("17"))
    assert world.desk.commands == [Ship("17")]


async def test_snapshots_need_a_type(world: World) -> None:
    with pytest.raises(ValueError, match="state_type"):
        world.manager(snapshot_every=5)
    with pytest.raises(ValueError, match="snapshot_every"):
        world.manager(state_type=Counted, snapshot_every=-1)
