"""Snapshots make loading short, and change nothing else."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from calliope import Journal, UnreadableSnapshotWarning
from calliope.domain import Decider, Repository, UnsavedSnapshotWarning
from tests.unit.domain.accounts import ACCOUNT, Account, AccountEvent, Deposit, Deposited, Withdraw, accounts

pytestmark = pytest.mark.anyio


def counting(journal: Journal, **options) -> tuple[Repository, list[AccountEvent]]:
    """Return a repository, and the events that it had to evolve."""
    evolved: list[AccountEvent] = []

    def evolve(state: Account, event: AccountEvent) -> Account:
        evolved.append(event)
        return ACCOUNT.evolve(state, event)

    decider = Decider(ACCOUNT.initial, ACCOUNT.decide, evolve)
    return Repository(journal, decider, AccountEvent, state_type=Account, **options), evolved


async def versions(journal: Journal) -> list[int]:
    return [summary.sequence_number for summary in await journal.snapshots.list_snapshots("a")]


async def test_a_snapshot_is_saved_every_so_many_events_and_two_are_kept(journal: Journal):
    repository = accounts(journal, state_type=Account, snapshot_every=3)
    seen = []
    for amount in range(1, 11):
        await repository.execute("a", Deposit(amount))
        seen.append(await versions(journal))
    assert seen == [[], [], [3], [3], [3], [6, 3], [6, 3], [6, 3], [9, 6], [9, 6]]


async def test_a_command_of_many_events_has_one_snapshot(journal: Journal):
    repository = accounts(journal, state_type=Account, snapshot_every=3)
    await repository.execute("a", Deposit(10))
    await repository.execute("a", Withdraw(10))
    assert await versions(journal) == [11]


async def test_loading_begins_with_the_snapshot(journal: Journal):
    await accounts(journal, state_type=Account, snapshot_every=4).execute("a", Deposit(4))
    last = await accounts(journal, state_type=Account, snapshot_every=4).execute("a", Withdraw(4))
    repository, evolved = counting(journal, snapshot_every=4)
    executed = await repository.execute("a", Deposit(0))
    assert (executed.state, executed.version, executed.position, evolved) == (Account(), 5, last.position, [])
    await journal.event_stream("a", AccountEvent).persist(Deposited(7))
    repository, evolved = counting(journal)
    assert (await repository.load("a")).state == Account("", 7)
    assert evolved == [Deposited(7)]


async def test_the_next_snapshot_is_counted_from_the_one_that_was_loaded(journal: Journal):
    for amount in range(1, 8):
        await accounts(journal, state_type=Account, snapshot_every=3).execute("a", Deposit(amount))
    assert await versions(journal) == [6, 3]


async def test_a_snapshot_that_cannot_be_read_is_passed_over(journal: Journal):
    await accounts(journal).execute("a", Deposit(4))
    await journal.snapshots.save_snapshot("a", {"balance": "much"}, sequence_number=1)
    with pytest.warns(UnreadableSnapshotWarning):
        loaded = await accounts(journal, state_type=Account).load("a")
    assert loaded.state == Account("", 4)


async def test_a_snapshot_of_events_that_the_stream_does_not_hold_is_not_believed(journal: Journal):
    await accounts(journal).execute("a", Deposit(4))
    await journal.snapshots.save_snapshot("a", Account("", 99), sequence_number=9)
    repository = accounts(journal, state_type=Account)
    assert (await repository.load("a")).state == Account("", 4)
    assert (await repository.execute("a", Deposit(1))).version == 2


@dataclass(frozen=True)
class Unsaveable:
    function: Callable[[], None]


async def test_a_state_that_cannot_be_saved_is_a_warning_and_the_events_are_stored(memory_journal: Journal):
    decider = Decider(Unsaveable(lambda: None), lambda command, state: command, lambda state, event: state)
    repository = Repository(memory_journal, decider, Deposited, state_type=Unsaveable, snapshot_every=2)
    await repository.execute("a", Deposited(1))
    with pytest.warns(UnsavedSnapshotWarning, match="the snapshot of 'a' at 2 could not be saved"):
        executed = await repository.execute("a", Deposited(2))
    assert executed.version == 2
    await repository.execute("a", Deposited(3))
    assert (await repository.load("a")).version == 3
