"""What becomes of the commands of a process: delivered, refused, tried again, parked."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from calliope import Journal
from calliope.domain import Rejection
from calliope.domain.process import Effect, Process, Send
from calliope.domain.process_events import CommandDelivered, CommandRejected
from calliope.testing import ManualClock
from tests.unit.domain.payments import (
    Notify,
    OrderEvent,
    Paid,
    Refused,
    Ship,
    World,
    correlate,
    evolve,
    react,
    rest,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, set_back = ManualClock(1_000_000), [0]
    async with Journal.open("memory://", clock=lambda: round(clock.now() * 1_000_000) - set_back[0]) as journal:
        yield World(journal, clock, set_back)


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
