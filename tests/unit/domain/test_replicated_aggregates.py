"""Aggregates on replicated streams: decided everywhere, equal everywhere, by a policy that says what counts."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from calliope import Journal, RecordedEvent
from calliope.domain import (
    Change,
    ConflictError,
    Effect,
    Process,
    ProcessManager,
    Repository,
    Send,
    all_stand,
    first_stands,
)
from calliope.domain.process_events import CommandDelivered
from calliope.domain.replicated_history import CHANGES_MAX
from tests.unit.calliope.replicas import exchange, opened_journals, send
from tests.unit.domain.accounts import (
    ACCOUNT,
    Account,
    AccountEvent,
    Deposit,
    Open,
    Opened,
    Overdraft,
    Withdraw,
    Withdrawn,
)

pytestmark = pytest.mark.anyio

DEPOSITS = 2 * CHANGES_MAX + 8
"""More than are remembered."""

Accounts = Repository[Account, Any, AccountEvent]


def covered(account: Account, change: Change[AccountEvent]) -> Sequence[AccountEvent]:
    """Let a change stand if the account still has what it takes."""
    taken = sum(event.amount for event in change.events if isinstance(event, Withdrawn))
    return change.events if taken <= account.balance else ()


@pytest.fixture
async def journals(tmp_path: Path, anyio_backend: str) -> AsyncIterator[list[Journal]]:
    async with opened_journals("memory", tmp_path, "bl") as journals:
        yield journals


def accounts(journal: Journal, replica_id: str, policy: Any = all_stand, **options: Any) -> Accounts:
    return Repository(journal, ACCOUNT, AccountEvent, replica_id=replica_id, conflict_policy=policy, **options)


async def with_balance(journals: Sequence[Journal], balance: int, policy: Any = all_stand) -> tuple[Accounts, Accounts]:
    """Return an account's repositories on two replicas that both know it."""
    berlin, lisbon = accounts(journals[0], "berlin", policy), accounts(journals[1], "lisbon", policy)
    await berlin.execute("account-1", Open("Ada"))
    await berlin.execute("account-1", Deposit(balance))
    await exchange(*journals)
    return berlin, lisbon


async def states_of(*repositories: Accounts) -> list[Account]:
    return [(await repository.load("account-1")).state for repository in repositories]


async def versions_of(*repositories: Accounts) -> list[int]:
    return [(await repository.load("account-1")).version for repository in repositories]


async def test_what_one_replica_decided_the_other_decides_upon(journals: list[Journal]):
    berlin, lisbon = await with_balance(journals, 5)
    done = await lisbon.execute("account-1", Withdraw(3))
    assert (done.state.balance, done.version, done.duplicate) == (2, 5, False)
    await send(journals[1], journals[0])
    with pytest.raises(Overdraft):
        await berlin.execute("account-1", Withdraw(3))
    assert (await berlin.execute("account-1", Withdraw(2))).state.balance == 0


async def test_by_default_everything_that_was_decided_counts(journals: list[Journal]):
    both = await with_balance(journals, 5)
    for repository in both:
        await repository.execute("account-1", Withdraw(4))
    await exchange(*journals)
    assert await states_of(*both) == [Account("Ada", -3)] * 2


async def test_a_policy_says_which_of_concurrent_changes_stand(journals: list[Journal]):
    both = berlin, lisbon = await with_balance(journals, 5, covered)
    first = await berlin.execute("account-1", Withdraw(4))
    second = await lisbon.execute("account-1", Withdraw(3))
    assert (first.state.balance, second.state.balance) == (1, 2)
    await exchange(*journals)
    assert await states_of(*both) == [Account("Ada", 1)] * 2, "a change counts as a whole or not at all"
    await lisbon.execute("account-1", Withdraw(1))
    await exchange(*journals)
    assert await states_of(*both) == [Account("Ada", 0)] * 2


async def test_what_was_built_upon_a_change_that_does_not_stand_is_judged_too(journals: list[Journal]):
    both = berlin, lisbon = await with_balance(journals, 5, first_stands)
    await berlin.execute("account-1", Withdraw(4))
    await lisbon.execute("account-1", Withdraw(5))
    await lisbon.execute("account-1", Deposit(100))
    await exchange(*journals)
    assert await states_of(*both) == [Account("Ada", 1)] * 2
    await lisbon.execute("account-1", Deposit(7))
    await exchange(*journals)
    assert await states_of(*both) == [Account("Ada", 8)] * 2, "who knows of the conflict is in none"


async def test_what_goes_on_after_a_change_that_stands_is_in_no_conflict_with_one_that_does_not(
    journals: list[Journal],
):
    both = berlin, lisbon = await with_balance(journals, 5, first_stands)
    await berlin.execute("account-1", Withdraw(4))
    await lisbon.execute("account-1", Withdraw(5))
    await berlin.execute("account-1", Deposit(10))
    await exchange(*journals)
    assert await states_of(*both) == [Account("Ada", 11)] * 2


async def test_a_policy_may_put_other_events_in_the_place_of_a_change(journals: list[Journal]):
    def as_far_as_there_is(account: Account, change: Change[AccountEvent]) -> Sequence[AccountEvent]:
        return change.events[: max(account.balance, 0)]

    both = berlin, lisbon = await with_balance(journals, 5, as_far_as_there_is)
    await berlin.execute("account-1", Withdraw(4))
    await lisbon.execute("account-1", Withdraw(3))
    await exchange(*journals)
    assert await states_of(*both) == [Account("Ada", 0)] * 2


async def test_a_command_is_recognised_where_its_events_are(journals: list[Journal]):
    both = berlin, _ = await with_balance(journals, 5)
    await berlin.execute("account-1", Withdraw(4), command_id="rent")
    await exchange(*journals)
    for repository in both:
        for command in (Withdraw(4), Withdraw(1)):  # one is refused by now, the other is not
            again = await repository.execute("account-1", command, command_id="rent")
            assert (again.duplicate, len(again.events), again.state.balance) == (True, 4, 1)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_command_that_two_replicas_carried_out_at_once_counts_once(kind: str, tmp_path: Path):
    async with opened_journals(kind, tmp_path, "bl") as journals:
        both = await with_balance(journals, 10)
        for repository in both:
            assert not (await repository.execute("account-1", Withdraw(4), command_id="rent")).duplicate
        await exchange(*journals)
        assert await states_of(*both) == [Account("Ada", 6)] * 2
        for repository in both:
            again = await repository.execute("account-1", Withdraw(4), command_id="rent")
            assert (again.duplicate, again.state.balance) == (True, 6)


async def test_what_arrives_late_and_belongs_far_back_changes_all_that_follows(memory_journal: Journal):
    async with Journal.open("memory://") as other:
        journals = [memory_journal, other]
        both = berlin, lisbon = await with_balance(journals, 5, covered)
        await lisbon.execute("account-1", Withdraw(5))
        for _ in range(DEPOSITS):
            await berlin.execute("account-1", Deposit(1))
        await berlin.execute("account-1", Withdraw(DEPOSITS + 5))
        await exchange(*journals)
        anew = accounts(other, "another", covered)
        assert await states_of(*both, anew) == [Account("Ada", DEPOSITS)] * 3


async def test_programs_that_share_a_replica_take_over_from_each_other(journals: list[Journal]):
    one, other = accounts(journals[0], "berlin"), accounts(journals[0], "berlin")
    await one.execute("account-1", Open("Ada"))
    for number in range(1, 4):
        for repository in (one, other):
            assert (await repository.execute("account-1", Deposit(1))).version == 2 * number + (repository is other)
    assert await states_of(one, other) == [Account("Ada", 6)] * 2
    never = accounts(journals[0], "berlin", conflict_retries=0)
    await never.load("account-1")
    await one.execute("account-1", Deposit(1))
    with pytest.raises(ConflictError):
        await never.execute("account-1", Deposit(1))


async def test_an_aggregate_that_is_not_kept_goes_on_where_it_was(journals: list[Journal]):
    berlin = accounts(journals[0], "berlin", cached_aggregates_max=0)
    await berlin.execute("account-1", Open("Ada"))
    assert (await berlin.execute("account-1", Deposit(5))).version == 2
    assert (await berlin.load("account-1")).state == Account("Ada", 5)


async def test_arguments_that_do_not_go_together_are_refused(memory_journal: Journal):
    with pytest.raises(ValueError, match="no snapshots"):
        accounts(memory_journal, "berlin", state_type=Account, snapshot_every=5)
    with pytest.raises(ValueError, match="needs a replica_id"):
        Repository(memory_journal, ACCOUNT, AccountEvent, conflict_policy=first_stands)
    with pytest.raises(ValueError, match="~"):
        accounts(memory_journal, "berlin~1")


async def test_a_process_that_runs_on_every_replica_does_everything_once(journals: list[Journal]):
    def correlate(record: RecordedEvent[Opened]) -> str:
        return record.data.owner

    def react(state: str, opened: Opened) -> Effect:
        return Send(Deposit(5), to="account-1")

    welcome = Process[str, Opened]("", correlate, react, lambda state, opened: opened.owner)
    both = berlin, _ = accounts(journals[0], "berlin"), accounts(journals[1], "lisbon")
    await berlin.execute("account-1", Open("Ada"))
    await exchange(*journals)
    for journal, repository in zip(journals, both, strict=True):
        manager = ProcessManager(
            journal, "welcome", welcome, events=Opened, commands=Deposit, deliver=repository.execute
        )
        async with manager.running():
            await journal.live_records(types=CommandDelivered, event_type=CommandDelivered).run_first()
    assert await versions_of(*both) == [2, 2], "each has done it, neither knows of the other"
    await exchange(*journals)
    assert await states_of(*both) == [Account("Ada", 5)] * 2
    assert await versions_of(*both) == [3, 3]
