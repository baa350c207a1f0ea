"""Process managers: events in, commands and deadlines out, each once, whoever stops in between."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from calliope import Journal, RecordedEvent
from calliope.domain.following import Checkpoint
from calliope.domain.process import Effect, Process, SetDeadline
from calliope.domain.process_events import CommandDelivered, DeadlineReached, ProcessEvent
from calliope.domain.process_instances import PROCESSES_CACHED_MAX, ProcessInstances
from calliope.domain.process_manager import ProcessManager
from calliope.testing import ManualClock
from tests.unit.domain.payments import (
    MINUTE,
    Cancel,
    Confirmed,
    Desk,
    Notify,
    OrderEvent,
    Paid,
    Ship,
    World,
    correlate,
    evolve,
    payment,
    react,
    rest,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, set_back = ManualClock(1_000_000), [0]
    async with Journal.open("memory://", clock=lambda: round(clock.now() * 1_000_000) - set_back[0]) as journal:
        yield World(journal, clock, set_back)


async def test_an_event_leads_to_a_command(world: World) -> None:
    async with world.manager().running():
        await world.happens(Paid("17"))
    assert world.desk.commands == [Ship("17")]
    assert len(await world.recorded(CommandDelivered)) == 1


async def test_a_deadline_is_reached_when_its_time_has_come_and_not_before(world: World) -> None:
    async with world.manager().running():
        await world.happens(Confirmed("17"))
        await world.clock.advance(15 * MINUTE - 1)
        assert world.desk.commands == []
        await world.clock.advance(1)
        assert world.desk.commands == [Cancel("17")]
        await world.clock.advance(60 * MINUTE)
    assert world.desk.commands == [Cancel("17")]
    assert len(await world.recorded(DeadlineReached)) == 1


async def test_a_cancelled_deadline_is_not_reached(world: World) -> None:
    async with world.manager().running():
        await world.happens(Confirmed("17"))
        await world.happens(Paid("17"))
        await world.clock.advance(60 * MINUTE)
    assert world.desk.commands == [Ship("17")]
    assert await world.recorded(DeadlineReached) == []


async def test_a_deadline_that_is_set_anew_is_reached_at_the_new_time_only(world: World) -> None:
    async with world.manager().running():
        await world.happens(Confirmed("17"))
        await world.clock.advance(10 * MINUTE)
        await world.happens(Confirmed("17"))
        await world.clock.advance(10 * MINUTE)
        assert world.desk.commands == []
        await world.clock.advance(5 * MINUTE)
    assert world.desk.commands == [Cancel("17")]


async def test_a_wall_clock_that_is_set_back_makes_a_deadline_later_never_earlier(world: World) -> None:
    async with world.manager().running():
        await world.happens(Confirmed("17"))
        world.set_back[0] = 10 * MINUTE * 1_000_000
        await world.clock.advance(15 * MINUTE)
        assert world.desk.commands == []
        await world.clock.advance(10 * MINUTE)
    assert world.desk.commands == [Cancel("17")]


async def test_a_payment_before_a_deadline_that_passed_while_nobody_ran_is_received_first(world: World) -> None:
    async with world.manager().running():
        await world.happens(Confirmed("17"))
    await world.happens(Paid("17"))
    await world.clock.advance(60 * MINUTE)
    async with world.manager().running():
        await rest()
        await world.clock.advance(1)
    assert world.desk.commands == [Ship("17")]


async def test_a_deadline_that_passed_while_nobody_ran_is_reached_at_once(world: World) -> None:
    async with world.manager().running():
        await world.happens(Confirmed("17"))
    await world.clock.advance(60 * MINUTE)
    async with world.manager().running():
        await rest()
    assert world.desk.commands == [Cancel("17")]


async def test_a_completed_process_reacts_to_nothing_more(world: World) -> None:
    manager = world.manager()
    async with manager.running():
        await world.happens(Confirmed("17"))
        await world.clock.advance(15 * MINUTE)
        await world.happens(Paid("17"))
    assert world.desk.commands == [Cancel("17")]
    status = await manager.status("17")
    assert status.completed
    assert status.state == ("Confirmed", "PaymentMissed")


async def test_an_event_that_concerns_no_process_is_passed_over(world: World) -> None:
    async with world.manager().running():
        await world.journal.event_stream("order", OrderEvent).persist(Paid(""))
        await world.happens(Paid("2"))
    assert world.desk.commands == [Ship("2")]


async def test_a_restart_repeats_nothing(world: World) -> None:
    for _ in range(3):
        async with world.manager(instance=None).running():
            await world.happens(Paid("17"))
            await world.clock.advance(60)
    assert world.desk.calls == 3
    assert world.desk.commands == [Ship("17")] * 3


async def test_without_its_checkpoint_everything_is_read_again_and_nothing_repeated(world: World) -> None:
    async with world.manager().running():
        await world.happens(Paid("17"))
        await world.happens(Confirmed("18"))
    assert await world.journal.snapshots.delete_snapshots("payment/checkpoint") == 1
    async with world.manager().running():
        await rest()
        await world.clock.advance(15 * MINUTE)
    assert world.desk.commands == [Ship("17"), Cancel("18")]
    assert world.desk.calls == 2


async def test_two_managers_of_one_kind_react_once(world: World) -> None:
    async with world.manager(instance="a").running(), world.manager(instance="b").running():
        for number in range(10):
            await world.happens(Paid(str(number)))
            await world.happens(Confirmed(f"later {number}"))
        await world.clock.advance(15 * MINUTE)
    shipped = {Ship(str(number)) for number in range(10)}
    assert set(world.desk.commands) == shipped | {Cancel(f"later {number}") for number in range(10)}
    assert world.desk.calls == 20
    assert len(await world.recorded(DeadlineReached)) == 10


async def test_a_function_that_raises_stops_the_run_and_says_at_what(world: World) -> None:
    def broken(state: Any, event: OrderEvent) -> Effect:
        raise LookupError("no such thing")

    async def meets(process: Process[Any, Any]) -> None:
        async with world.manager(process).running():
            await world.happens(Paid("17"))
            await anyio.sleep_forever()

    with pytest.raises(LookupError, match="no such thing") as caught:
        await meets(Process((), correlate, broken, evolve))
    assert "while process '17' of 'payment' received" in caught.value.__notes__[0]
    async with world.manager().running():
        await rest()
    assert world.desk.commands == [Ship("17")]


async def test_react_may_return_effects_only(world: World) -> None:
    says: Process[Any, Any] = Process((), correlate, lambda _, event: "ship it", evolve)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="must return Send"):
        says.after((), Paid("17"))


@pytest.mark.parametrize("times", [{}, {"at": datetime.now(UTC), "after": timedelta(1)}])
def test_a_deadline_is_at_a_time_or_after_a_duration(times: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly one of at and after"):
        SetDeadline("payment", Paid("17"), **times)


def test_a_deadline_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        SetDeadline("payment", Paid("17"), at=datetime(2030, 1, 1))


async def test_managers_of_similar_names_keep_apart(world: World) -> None:
    world.desk.failures = [OSError("unplugged")]
    european = ProcessManager(
        world.journal,
        "payment-eu",
        payment,
        events=OrderEvent,
        commands=Ship | Cancel | Notify,
        deliver=world.desk,
        attempts=1,
    )
    async with world.manager(Process((), lambda record: None, react, evolve)).running(), european.running():
        await world.happens(Paid("17"))
    assert await european.parked() == {"17": "OSError: unplugged"}
    assert await world.manager().parked() == {}


async def test_a_deadline_is_reached_once_though_several_notice_it_at_the_same_moment(world: World) -> None:
    async with world.manager().running():
        await world.happens(Confirmed("17"))
    await world.clock.advance(60 * MINUTE)
    async with world.manager(instance="a").running(), world.manager(instance="b").running():
        await rest()
    assert world.desk.commands == [Cancel("17")]
    assert len(await world.recorded(DeadlineReached)) == 1


async def test_whoever_asks_for_a_process_gets_it_loaded(world: World) -> None:
    async with world.manager().running():
        await world.happens(Paid("17"))
    instances = ProcessInstances(world.manager()._parts.instance)
    states: list[Any] = []

    async def ask() -> None:
        states.append((await instances.get("17")).state)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
    assert states == [("Paid",)] * 3


async def test_of_many_processes_those_used_longest_ago_are_dropped_and_loaded_again(world: World) -> None:
    instances = ProcessInstances(world.manager()._parts.instance)
    first = [await instances.get(str(number)) for number in range(PROCESSES_CACHED_MAX + 10)]
    instances.trim({"3"})
    kept = [await instances.get(str(number)) is first[number] for number in range(10, 20)]
    dropped = [await instances.get(str(number)) is not first[number] for number in range(10)]
    assert all(kept)
    assert dropped == [number != 3 for number in range(10)]


async def test_a_checkpoint_names_only_processes_with_something_to_do(world: World) -> None:
    async with world.manager().running():
        for number in range(5):
            await world.happens(Paid(str(number)))
        await world.happens(Confirmed("waiting"))
    snapshot = await world.journal.snapshots.load_snapshot("payment/checkpoint", Checkpoint)
    assert snapshot is not None
    assert snapshot.state.open_ids == ["waiting"]


async def test_processes_run_on_a_file_and_go_on_after_it_was_closed(tmp_path: Path) -> None:
    desk = Desk()

    def manager(journal: Journal) -> ProcessManager[Any, Any]:
        return ProcessManager(
            journal,
            "payment",
            payment,
            events=OrderEvent,
            commands=Ship | Cancel | Notify,
            deliver=desk,
            instance="one",
        )

    async def wait_for(journal: Journal, after: int = 0) -> RecordedEvent[Any]:
        return await journal.live_records(after, types=CommandDelivered, event_type=ProcessEvent).run_first()

    async with Journal.open(tmp_path / "shop.db") as journal, manager(journal).running():
        await journal.event_stream("order-17", OrderEvent).persist([Confirmed("17"), Paid("17")])
        position = (await wait_for(journal)).position
    async with Journal.open(tmp_path / "shop.db") as journal, manager(journal).running():
        await journal.event_stream("order-18", OrderEvent).persist(Paid("18"))
        await wait_for(journal, position)
    assert desk.commands == [Ship("17"), Ship("18")]
    assert desk.calls == 2
