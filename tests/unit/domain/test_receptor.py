"""Receptors: events of one part become commands of another, in order, at the pace of the slower."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from calliope import Journal, RecordedEvent
from calliope.domain import Decider, Rejection, Repository
from calliope.domain.delivering import routed
from calliope.domain.process import Send
from calliope.domain.receptor import Receptor
from calliope.domain.receptor_events import ReceptorEvent, ReceptorParked, ReceptorRejected
from calliope.flow import Backoff
from calliope.flow.clock import settle
from calliope.testing import ManualClock

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Ordered:
    number: int
    customer: str = "ada"


@dataclass(frozen=True)
class Bill:
    number: int


@dataclass(frozen=True)
class Billed:
    number: int


@dataclass(frozen=True)
class Greet:
    customer: str


def decide(command: Bill, state: int) -> Billed:
    if command.number < 0:
        raise Rejection("no such order")
    return Billed(command.number)


ledger: Decider[int, Bill, Billed] = Decider(0, decide, lambda state, event: state + 1)


def bill(record: RecordedEvent[Ordered]) -> Send | None:
    return Send(Bill(record.data.number), to=f"ledger-{record.data.customer}") if record.data.number else None


@dataclass
class Office:
    """Takes commands and may be told to fail."""

    failures: list[Exception] = field(default_factory=list)
    taken: list[Any] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    async def __call__(self, stream_id: str, command: Any, /, *, command_id: str) -> None:
        self.ids.append(command_id)
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(command)


@pytest.fixture
async def journal() -> AsyncIterator[Journal]:
    async with Journal.open("memory://") as journal:
        yield journal


def receptor(journal: Journal, react: Any = bill, **options: Any) -> Receptor[Ordered]:
    options = {"deliver": Repository(journal, ledger, Billed).execute, "backoff": Backoff(1, 1, jitter=0), **options}
    return Receptor(journal, "billing", react, events=Ordered, commands=Bill | Greet, **options)


async def order(journal: Journal, *events: Ordered) -> list[RecordedEvent[Ordered]]:
    reply = await journal.event_stream("orders", Ordered).persist(events)
    await rest()
    return list(reply.records)


async def rest() -> None:
    for _ in range(20):
        await settle()


async def billed(journal: Journal, customer: str = "ada") -> list[int]:
    return [event.number async for event in journal.event_stream(f"ledger-{customer}", Billed).query()]


async def test_events_become_commands_in_their_order(journal: Journal) -> None:
    await order(journal, Ordered(3), Ordered(1))
    async with receptor(journal).running():
        await order(journal, Ordered(2), Ordered(0), Ordered(5))
    assert await billed(journal) == [3, 1, 2, 5]


async def test_it_goes_on_where_it_stopped(journal: Journal) -> None:
    office = Office()
    for number in (1, 2, 3):
        async with receptor(journal, deliver=office).running():
            await order(journal, Ordered(number))
    assert office.taken == [Bill(1), Bill(2), Bill(3)]


async def test_what_is_delivered_again_is_recognised_by_its_id(journal: Journal) -> None:
    for _ in range(2):
        async with receptor(journal).running():
            await order(journal, Ordered(7))
        await journal.snapshots.delete_snapshots("billing/checkpoint")
    async with receptor(journal).running(), receptor(journal).running():
        await rest()
    assert await billed(journal) == [7, 7]


async def test_it_waits_for_the_commands_of_what_it_read(journal: Journal) -> None:
    gate = anyio.Event()
    started: list[int] = []

    async def slow(stream_id: str, command: Bill, /, *, command_id: str) -> None:
        started.append(command.number)
        await gate.wait()

    async with receptor(journal, deliver=slow, parallelism=2).running():
        await order(journal, *[Ordered(number, str(number)) for number in range(1, 6)])
        assert started == [1, 2]
        gate.set()
        await rest()
    assert sorted(started) == [1, 2, 3, 4, 5]


async def test_a_slow_aggregate_does_not_hold_up_the_others_of_a_chunk(journal: Journal) -> None:
    taken: list[Bill] = []

    async def stuck_with_ada(stream_id: str, command: Bill, /, *, command_id: str) -> None:
        if stream_id == "ledger-ada":
            await anyio.sleep_forever()
        taken.append(command)

    await order(journal, Ordered(1), Ordered(2, "bob"), Ordered(3, "cyd"))
    async with receptor(journal, deliver=stuck_with_ada).running():
        await rest()
    assert set(taken) == {Bill(2), Bill(3)}


async def test_a_rejection_is_recorded_and_the_next_event_carried(journal: Journal) -> None:
    async with receptor(journal).running():
        [cause, _] = await order(journal, Ordered(-1), Ordered(2))
    [rejected] = await journal.event_stream("billing", ReceptorEvent).records().run_collect()
    assert isinstance(rejected.data, ReceptorRejected)
    assert rejected.data.reasons == ("no such order",)
    assert rejected.metadata["causation_id"] == cause.id
    assert await billed(journal) == [2]


async def test_what_fails_for_good_is_parked_and_can_be_retried(journal: Journal) -> None:
    clock = ManualClock()
    office = Office([OSError("unplugged")] * 4)
    carrying = receptor(journal, deliver=office, attempts=3, clock=clock)
    async with carrying.running():
        await order(journal, Ordered(1), Ordered(2))
        await clock.advance(10)
        await rest()
    assert office.taken == [Bill(2)]
    [parked] = await carrying.parked()
    assert isinstance(parked.data, ReceptorParked)
    assert parked.data.error == "OSError: unplugged"
    assert await carrying.retry(parked)
    assert await carrying.parked() == []
    assert office.taken == [Bill(2), Bill(1)]
    assert len(set(office.ids)) == 2


async def test_a_retry_that_fails_leaves_the_command_parked(journal: Journal) -> None:
    office = Office([OSError("unplugged")] * 2)
    carrying = receptor(journal, deliver=office, attempts=1)
    async with carrying.running():
        await order(journal, Ordered(1))
    [parked] = await carrying.parked()
    assert not await carrying.retry(parked)
    assert len(await carrying.parked()) == 1


async def test_what_is_parked_or_rejected_again_is_recorded_once(journal: Journal) -> None:
    await order(journal, Ordered(1), Ordered(2))
    for _ in range(2):
        office = Office([OSError("unplugged"), Rejection("no such order")])
        async with receptor(journal, deliver=office, attempts=1).running():
            await rest()
        await journal.snapshots.delete_snapshots("billing/checkpoint")
    recorded = await journal.event_stream("billing", ReceptorEvent).query().run_collect()
    assert [type(event) for event in recorded] == [ReceptorParked, ReceptorRejected]


async def test_what_a_command_does_is_caused_by_the_event(journal: Journal) -> None:
    async with receptor(journal).running():
        [cause] = await order(journal, Ordered(1))
    [effect] = await journal.event_stream("ledger-ada", Billed).records().run_collect()
    assert effect.metadata["causation_id"] == cause.id


async def test_commands_find_who_takes_their_class(journal: Journal) -> None:
    bills, greetings = Office(), Office()

    def both(record: RecordedEvent[Ordered]) -> list[Send]:
        return [Send(Bill(record.data.number), to="ledger"), Send(Greet(record.data.customer), to="desk")]

    async with receptor(journal, both, deliver=routed({Bill: bills, Greet: greetings})).running():
        await order(journal, Ordered(1))
    assert (bills.taken, greetings.taken) == ([Bill(1)], [Greet("ada")])


async def test_a_command_that_nobody_takes_is_parked_with_that_error(journal: Journal) -> None:
    carrying = receptor(journal, deliver=routed({Greet: Office()}), attempts=1)
    async with carrying.running():
        await order(journal, Ordered(1))
    assert [record.data.error for record in await carrying.parked()] == [
        "TypeError: nobody takes Bill; known are Greet"
    ]


async def test_a_function_that_raises_stops_the_run_and_says_at_what(journal: Journal) -> None:
    await order(journal, Ordered(1))
    with pytest.raises(TypeError, match="must return Send") as caught:
        await receptor(journal, lambda record: ["bill it"]).run()
    assert "while receptor 'billing' received" in caught.value.__notes__[0]
