"""Process managers: events in, commands and deadlines out, each once, whoever stops in between."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from calliope import Journal, RecordedEvent
from calliope.domain import Rejection
from calliope.domain.following import Checkpoint
from calliope.domain.process import CancelDeadline, Complete, Effect, Process, Rejected, Send, SetDeadline
from calliope.domain.process_events import CommandDelivered, CommandRejected, DeadlineReached, ProcessEvent
from calliope.domain.process_instances import PROCESSES_CACHED_MAX, ProcessInstances
from calliope.domain.process_manager import ProcessManager
from calliope.flow import Backoff
from calliope.flow.clock import settle as all_wait
from calliope.testing import ManualClock

pytestmark = pytest.mark.anyio

MINUTE = 60


@dataclass(frozen=True)
class Confirmed:
    order_id: str


@dataclass(frozen=True)
class Paid:
    order_id: str


@dataclass(frozen=True)
class PaymentMissed:
    order_id: str


@dataclass(frozen=True)
class Refused:
    order_id: str
    reasons: list[str]


@dataclass(frozen=True)
class Ship:
    order_id: str


@dataclass(frozen=True)
class Cancel:
    order_id: str


@dataclass(frozen=True)
class Notify:
    order_id: str
    text: str


OrderEvent = Confirmed | Paid | PaymentMissed | Refused


async def rest() -> None:
    """Let everything happen that needs no time; a callback of the event loop may set off more than once."""
    for _ in range(5):
        await all_wait()


def correlate(record: RecordedEvent[OrderEvent]) -> str | None:
    return record.data.order_id or None


def evolve(state: tuple[str, ...], event: OrderEvent) -> tuple[str, ...]:
    return (*state, type(event).__name__)


def react(state: tuple[str, ...], event: OrderEvent) -> Effect | list[Effect] | None:
    match event:
        case Confirmed(order_id):
            return SetDeadline("payment", PaymentMissed(order_id), after=timedelta(minutes=15))
        case Paid(order_id):
            return [CancelDeadline("payment"), Send(Ship(order_id), to=f"order-{order_id}")]
        case PaymentMissed(order_id):
            return [Send(Cancel(order_id), to=f"order-{order_id}"), Complete()]
        case Refused(order_id):
            return [Send(Notify(order_id, "; ".join(event.reasons)), to="desk"), Complete()]


def refused(rejected: Rejected) -> Refused:
    return Refused(rejected.command.order_id, list(rejected.reasons))


payment: Process[tuple[str, ...], OrderEvent] = Process((), correlate, react, evolve, refused)


@dataclass
class Desk:
    """Takes commands, each id once, and may be told to refuse or to fail."""

    rejects: dict[type, Rejection] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)
    taken: dict[str, Any] = field(default_factory=dict)
    calls: int = 0

    async def __call__(self, stream_id: str, command: Any, /, *, command_id: str) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        if type(command) in self.rejects:
            raise self.rejects[type(command)]
        self.taken.setdefault(command_id, command)

    @property
    def commands(self) -> list[Any]:
        return list(self.taken.values())


class World:
    """A journal in memory and a clock that stands still."""

    def __init__(self, journal: Journal, clock: ManualClock, set_back: list[int]) -> None:
        self.journal = journal
        self.clock = clock
        self.set_back = set_back
        self.desk = Desk()

    def wall_clock(self) -> int:
        return round(self.clock.now() * 1_000_000) - self.set_back[0]

    def manager(self, process: Process[Any, Any] = payment, **options: Any) -> ProcessManager[Any, Any]:
        options = {"deliver": self.desk, "backoff": Backoff(1, 1, jitter=0), "instance": "one", **options}
        return ProcessManager(
            self.journal,
            "payment",
            process,
            events=OrderEvent,
            commands=Ship | Cancel | Notify,
            wall_clock=self.wall_clock,
            clock=self.clock,
            **options,
        )

    async def happens(self, event: OrderEvent) -> RecordedEvent[OrderEvent]:
        reply = await self.journal.event_stream(f"order-{event.order_id}", OrderEvent).persist(event)
        await rest()
        return reply.records[0]

    async def recorded(self, *types: type) -> list[Any]:
        return [record.data async for record in self.journal.records(types=types, event_type=ProcessEvent)]


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


async def test_a_command_that_was_not_answered_is_delivered_by_the_next_run_under_the_same_id(world: World) -> None:
    ids: list[str] = []

    async def hangs(stream_id: str, command: Any, /, *, command_id: str) -> None:
        ids.append(command_id)
        await anyio.sleep_forever()

    async with world.manager(deliver=hangs).running():
        await world.happens(Paid("17"))
    assert (await world.manager().status("17")).undelivered == 1
    async with world.manager().running():
        await rest()
    assert ids == list(world.desk.taken)
    assert world.desk.commands == [Ship("17")]


async def test_what_another_manager_left_is_taken_over_after_a_while(world: World) -> None:
    async def hangs(stream_id: str, command: Any, /, *, command_id: str) -> None:
        await anyio.sleep_forever()

    async with world.manager(deliver=hangs, instance="other").running():
        await world.happens(Paid("17"))
        async with world.manager().running():
            await world.clock.advance(1)
            assert world.desk.commands == []
            await world.clock.advance(1)
    assert world.desk.commands == [Ship("17")]


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


async def test_a_rejection_is_an_event_to_the_process(world: World) -> None:
    world.desk.rejects[Ship] = Rejection("sold out", "closed")
    async with world.manager().running():
        await world.happens(Paid("17"))
    assert world.desk.commands == [Notify("17", "sold out; closed")]
    [rejected] = await world.recorded(CommandRejected)
    assert rejected.reasons == ("sold out", "closed")
    assert (await world.manager().status("17")).state == ("Paid", "Refused")


async def test_a_rejection_that_the_process_ignores_is_recorded_and_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.desk.rejects[Ship] = Rejection("sold out")
    async with world.manager(Process((), correlate, react, evolve)).running():
        await world.happens(Paid("17"))
    assert len(await world.recorded(CommandRejected)) == 1
    assert "sold out" in caplog.text


async def test_a_failing_command_is_tried_again_after_a_pause(world: World) -> None:
    world.desk.failures = [OSError("unplugged"), OSError("unplugged")]
    async with world.manager().running():
        await world.happens(Paid("17"))
        await world.clock.advance(1)
        assert world.desk.commands == []
        await world.clock.advance(1)
    assert world.desk.commands == [Ship("17")]


async def test_a_command_that_fails_for_good_is_parked_with_its_error_until_somebody_retries(world: World) -> None:
    world.desk.failures = [OSError("unplugged")] * 2
    manager = world.manager(attempts=2)
    async with manager.running():
        await world.happens(Paid("17"))
        await world.clock.advance(1)
        await world.happens(Paid("17"))
        assert await manager.parked() == {"17": "OSError: unplugged"}
        assert (await manager.status("17")).undelivered == 2
        assert world.desk.calls == 2
    async with manager.running():
        await world.clock.advance(60)
        assert world.desk.calls == 2
        assert await world.manager(instance="elsewhere").retry("17")
        await rest()
        assert await manager.parked() == {}
        assert not await manager.retry("17")
    assert world.desk.commands == [Ship("17"), Ship("17")]


async def test_commands_of_one_process_are_delivered_in_their_order_and_of_many_at_once(world: World) -> None:
    on_their_way: list[str] = []
    gate = anyio.Event()

    async def slow(stream_id: str, command: Any, /, *, command_id: str) -> None:
        on_their_way.append(command.text)
        await gate.wait()

    def two(state: Any, event: OrderEvent) -> list[Effect]:
        return [Send(Notify(event.order_id, f"{event.order_id}{text}"), to="desk") for text in "ab"]

    async with world.manager(Process((), correlate, two, evolve), deliver=slow, parallelism=2).running():
        for order_id in "xyz":
            await world.happens(Paid(order_id))
        assert on_their_way == ["xa", "ya"]
        gate.set()
        await rest()
    assert sorted(on_their_way) == ["xa", "xb", "ya", "yb", "za", "zb"]
    for order_id in "xyz":
        assert on_their_way.index(f"{order_id}a") < on_their_way.index(f"{order_id}b")


async def test_causes_and_correlation_flow_from_the_event_to_what_its_command_does(world: World) -> None:
    async def ship(stream_id: str, command: Any, /, *, command_id: str) -> None:
        await world.journal.event_stream("desk", Refused).persist(Refused("", []))

    async with world.manager(deliver=ship).running():
        cause = await world.happens(Paid("17"))
    [effect] = await world.journal.event_stream("desk", Refused).records().run_collect()
    decided = [record async for record in world.journal.records() if record.id == effect.metadata["causation_id"]]
    assert decided[0].metadata["causation_id"] == cause.id
    assert effect.metadata["correlation_id"] == cause.id


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


async def test_a_command_that_two_delivered_has_one_answer(world: World) -> None:
    gate = anyio.Event()

    async def slow(stream_id: str, command: Any, /, *, command_id: str) -> None:
        await world.desk(stream_id, command, command_id=command_id)
        await gate.wait()

    async with world.manager(deliver=slow, instance="slow").running():
        await world.happens(Paid("17"))
        async with world.manager().running():
            await world.clock.advance(5)
            gate.set()
            await rest()
    assert world.desk.calls == 2
    assert world.desk.commands == [Ship("17")]
    assert len(await world.recorded(CommandDelivered)) == 1


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
