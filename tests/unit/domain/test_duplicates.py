"""A command with an id is carried out once, whoever sends it again and whatever has happened since."""

from datetime import UTC, datetime
from uuid import uuid4

import anyio
import pytest

from calliope import ExpectedVersionError, Journal
from calliope.domain import Rejection
from tests.unit.domain.accounts import (
    Account,
    AccountEvent,
    Deposit,
    Deposited,
    Open,
    Opened,
    Overdraft,
    Withdraw,
    Withdrawn,
    accounts,
    events_of,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["the same repository", "another repository"])
def again(request, journal):
    """Who is sent the command for the second time; another repository is what another process would have."""
    first = accounts(journal)
    return first, first if request.param == "the same repository" else accounts(journal)


async def test_a_duplicate_returns_the_events_of_the_first_time(journal: Journal, again):
    first, second = again
    executed = await first.execute("a", Deposit(5), command_id="c-1")
    duplicate = await second.execute("a", Deposit(5), command_id="c-1")
    assert (executed.duplicate, duplicate.duplicate) == (False, True)
    assert duplicate.events == executed.events == (Deposited(5),)
    assert (duplicate.state, duplicate.version, duplicate.position) == (Account("", 5), 1, executed.position)
    assert await events_of(journal, "a") == [Deposited(5)]


async def test_a_duplicate_is_recognised_after_other_commands(journal: Journal, again):
    first, second = again
    executed = await first.execute("a", Deposit(5), command_id="c-1")
    await first.execute("a", Withdraw(2), command_id="c-2")
    duplicate = await second.execute("a", Deposit(5), command_id="c-1")
    assert (duplicate.duplicate, duplicate.events, duplicate.position) == (True, (Deposited(5),), executed.position)
    assert (duplicate.state, duplicate.version) == (Account("", 3), 3)
    assert len(await events_of(journal, "a")) == 3


async def test_a_duplicate_is_recognised_though_it_would_be_rejected_now(journal: Journal, again):
    first, second = again
    await first.execute("a", Open("Ada"), command_id="open")
    await first.execute("a", Deposit(2), command_id="deposit")
    await first.execute("a", Withdraw(2), command_id="withdraw")
    duplicate = await second.execute("a", Withdraw(2), command_id="withdraw")
    assert (duplicate.duplicate, duplicate.events) == (True, (Withdrawn(1), Withdrawn(1)))
    assert (await second.execute("a", Open("Ada"), command_id="open")).events == (Opened("Ada"),)
    with pytest.raises(Overdraft):
        await second.execute("a", Withdraw(2), command_id="another")
    assert len(await events_of(journal, "a")) == 4


async def test_a_duplicate_is_recognised_whatever_version_or_time_it_was_for(journal: Journal, again):
    first, second = again
    await first.execute("a", Deposit(1), command_id="c-1", expected_version=0)
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    duplicate = await second.execute("a", Deposit(1), command_id="c-1", expected_version=0, deadline=long_ago)
    assert duplicate.duplicate
    with pytest.raises(ExpectedVersionError):
        await second.execute("a", Deposit(1), command_id="c-2", expected_version=0)


async def test_another_repository_that_holds_less_recognises_a_duplicate_and_catches_up(journal: Journal):
    first, second = accounts(journal), accounts(journal)
    await second.execute("a", Deposit(1))
    await first.execute("a", Deposit(2), command_id="c-1")
    duplicate = await second.execute("a", Deposit(2), command_id="c-1")
    assert (duplicate.duplicate, duplicate.state, duplicate.version) == (True, Account("", 3), 2)
    assert (await second.execute("a", Deposit(4))).state == Account("", 7)


async def test_the_same_command_sent_many_times_at_once_is_carried_out_once(journal: Journal):
    repositories = [accounts(journal) for _ in range(3)]
    outcomes = []

    async def execute(number: int) -> None:
        outcomes.append(await repositories[number % 3].execute("a", Withdraw(2), command_id="c-1"))

    await repositories[0].execute("a", Deposit(3))
    async with anyio.create_task_group() as tasks:
        for number in range(9):
            tasks.start_soon(execute, number)
    assert sorted(outcome.duplicate for outcome in outcomes) == [False] + [True] * 8
    assert {outcome.events for outcome in outcomes} == {(Withdrawn(1), Withdrawn(1))}
    assert await events_of(journal, "a") == [Deposited(3), Withdrawn(1), Withdrawn(1)]


async def test_a_command_whose_caller_was_cancelled_is_carried_out_once(journal: Journal):
    repository = accounts(journal)
    for number in range(20):
        with anyio.move_on_after(0):
            await repository.execute("a", Deposit(1), command_id=f"c-{number}")
        executed = await repository.execute("a", Deposit(1), command_id=f"c-{number}")
        assert (executed.events, executed.version) == ((Deposited(1),), number + 1)
    assert len(await events_of(journal, "a")) == 20


async def test_a_command_id_belongs_to_its_aggregate(journal: Journal):
    repository = accounts(journal)
    for stream_id in ("a", "b"):
        assert not (await repository.execute(stream_id, Deposit(1), command_id="c-1")).duplicate
    records = await journal.records(event_type=AccountEvent).run_collect()
    assert len({record.id for record in records}) == 2


async def test_commands_without_ids_are_all_carried_out(journal: Journal):
    repository = accounts(journal)
    for _ in range(2):
        assert not (await repository.execute("a", Deposit(1))).duplicate
    assert (await repository.load("a")).version == 2


async def test_what_led_to_nothing_is_decided_anew(journal: Journal):
    repository = accounts(journal)
    with pytest.raises(Rejection):
        await repository.execute("a", Withdraw(1), command_id="c-1")
    await repository.execute("a", Deposit(1))
    assert (await repository.execute("a", Withdraw(1), command_id="c-1")).events == (Withdrawn(1),)


async def test_events_say_which_command_they_came_from(journal: Journal):
    command_id = uuid4()
    await accounts(journal).execute("a", Deposit(1), command_id=command_id, metadata={"user": "ada"})
    (record,) = await journal.event_stream("a", AccountEvent).records().run_collect()
    assert record.metadata["command_id"] == str(command_id)
    assert record.metadata["user"] == "ada"
    assert (await accounts(journal).execute("a", Deposit(1), command_id=str(command_id))).duplicate


async def test_the_id_of_a_commands_first_event_stays_the_same_for_ever(memory_journal: Journal):
    """Duplicates of commands from before an update are recognised by it."""
    await accounts(memory_journal).execute("account-1", Deposit(1), command_id="c-1")
    (record,) = await memory_journal.event_stream("account-1", AccountEvent).records().run_collect()
    assert record.id == "439f84b9-c3a4-581d-86e0-33eba6e30d44"
