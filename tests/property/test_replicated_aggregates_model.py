"""Three replicas carry out commands and exchange their logs in any order: equal events make equal states."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from calliope import Journal
from calliope.domain import Change, Decider, Rejection, Repository
from calliope.domain.replicated_history import History, changes_in
from tests.unit.calliope.replicas import store_of

REPLICAS = ("berlin", "paris", "rome")
SEATS = 6
NOON_MICROSECONDS = 1_767_268_800_000_000


@dataclass(frozen=True)
class Taken:
    """A seat was taken."""

    guest: str
    seat: int


@dataclass(frozen=True)
class Take:
    """Take the first so many seats that are free, all or none."""

    guest: str
    count: int


Seating = tuple[Taken, ...]


def decide(command: Take, seating: Seating) -> list[Taken]:
    free = [seat for seat in range(SEATS) if seat not in {taken.seat for taken in seating}]
    if len(free) < command.count:
        raise Rejection("there are not so many")
    return [Taken(command.guest, seat) for seat in free[: command.count]]


def if_free(seating: Seating, change: Change[Taken]) -> Sequence[Taken]:
    free = {taken.seat for taken in seating}.isdisjoint(event.seat for event in change.events)
    return change.events if free else ()


HALL = Decider[Seating, Take, Taken]((), decide, lambda seating, taken: (*seating, taken))


class Seats(RuleBasedStateMachine):
    """Guests take seats at several replicas; no seat is ever taken twice, and all replicas agree who has which."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.journals: dict[str, Journal] = {}
        self.halls: dict[str, Repository[Seating, Take, Taken]] = {}

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    @initialize()
    def open(self) -> None:
        for hour, replica_id in enumerate(REPLICAS):  # their clocks say nothing about what was before what
            opening = Journal.open("memory://", clock=lambda time=-hour * 3_600_000_000: NOON_MICROSECONDS + time)
            journal = self.journals[replica_id] = self.run(self.stack.enter_async_context(opening))
            self.halls[replica_id] = self.hall(journal, replica_id)

    def hall(self, journal: Journal, replica_id: str) -> Repository[Seating, Take, Taken]:
        return Repository(journal, HALL, Taken, replica_id=replica_id, conflict_policy=if_free)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.loop.close()

    @rule(
        replica_id=st.sampled_from(REPLICAS),
        count=st.integers(1, 2),
        command_id=st.none() | st.sampled_from(["a", "b", "c"]),
    )
    def take(self, replica_id: str, count: int, command_id: str | None) -> None:
        hall = self.halls[replica_id]
        try:
            done = self.run(hall.execute("hall", Take(replica_id, count), command_id=command_id))
        except Rejection:
            seating = self.run(hall.load("hall")).state
            assert len(seating) + count > SEATS
            return
        if not done.duplicate:
            assert done.state[-count:] == done.events, "what was decided on everything that is known here counts here"
        self.check(done.state)

    @rule(origin=st.sampled_from(REPLICAS), receiver=st.sampled_from(REPLICAS), entry_count=st.integers(1, 3))
    def send(self, origin: str, receiver: str, entry_count: int) -> None:
        self.run(self.send_entries(origin, receiver, entry_count))

    async def send_entries(self, origin: str, receiver: str, entry_count: int) -> None:
        source, target = store_of(self.journals[origin]), store_of(self.journals[receiver])
        page = await source.read_log(have=target.vector, after=0, bytes_max=1_000_000)
        await target.receive(page.entries[:entry_count])

    @rule(replica_id=st.sampled_from(REPLICAS))
    def start_again(self, replica_id: str) -> None:
        """A program that starts folds everything at once, and has what its predecessor folded bit by bit."""
        known = self.run(self.halls[replica_id].load("hall"))
        self.halls[replica_id] = self.hall(self.journals[replica_id], replica_id)
        assert self.run(self.halls[replica_id].load("hall")) == known

    @rule()
    def converge(self) -> None:
        for origin in REPLICAS * 2:
            for receiver in REPLICAS:
                self.run(self.send_entries(origin, receiver, 1_000_000))
        states = {self.run(hall.load("hall")).state for hall in self.halls.values()}
        assert len(states) == 1
        self.check(states.pop())

    @rule(replica_id=st.sampled_from(REPLICAS), changes_max=st.integers(1, 3))
    def remember_little(self, replica_id: str, changes_max: int) -> None:
        """However little a history remembers, it has the same state or says that it needs everything."""
        self.run(self.folded_one_by_one(self.journals[replica_id], changes_max))

    async def folded_one_by_one(self, journal: Journal, changes_max: int) -> None:
        reader = journal.replicated_event_stream("hall", Taken, replica_id="reader")
        changes = changes_in(await reader.records().run_collect())
        history, whole = History(HALL, if_free, changes_max), History(HALL, if_free)
        for count, change in enumerate(changes, 1):
            if not history.add([change]):
                history.begin(changes[:count])
            whole.begin(reversed(changes[:count]))
            assert history.state == whole.state

    def check(self, seating: Seating) -> None:
        seats = [taken.seat for taken in seating]
        assert len(seats) == len(set(seats))


QUICK = settings(max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TestSeats = Seats.TestCase
TestSeats.settings = QUICK


@pytest.mark.soak
def test_seats_at_length() -> None:
    run_state_machine_as_test(Seats, settings=settings(QUICK, max_examples=300, stateful_step_count=50))
