"""Commands are carried out or refused, one after the other, each as if it were alone."""

from datetime import UTC, datetime, timedelta, timezone

import anyio
import pytest
from anyio.lowlevel import checkpoint

from calliope import EventEncodingError, ExpectedVersionError, Journal, JournalClosedError, caused_by
from calliope.domain import CommandExpiredError, ConflictError, Decider, Identifier, Rejection, Repository
from calliope.stores.memory import MemoryStore
from tests.unit.domain.accounts import (
    ACCOUNT,
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

NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)


async def test_a_command_leads_to_events_and_a_state(journal: Journal):
    repository = accounts(journal)
    opened = await repository.execute("a", Open("Ada"))
    assert (opened.events, opened.state, opened.version) == ((Opened("Ada"),), Account("Ada"), 1)
    await repository.execute("a", Deposit(5))
    executed = await repository.execute("a", Withdraw(2))
    assert executed.events == (Withdrawn(1), Withdrawn(1))
    assert (executed.state, executed.version, executed.duplicate) == (Account("Ada", 3), 4, False)
    assert await events_of(journal, "a") == [Opened("Ada"), Deposited(5), Withdrawn(1), Withdrawn(1)]


async def test_the_position_is_that_of_the_last_event(journal: Journal):
    repository = accounts(journal)
    for stream_id, command in [("a", Deposit(1)), ("b", Deposit(1)), ("a", Deposit(2)), ("a", Withdraw(2))]:
        executed = await repository.execute(stream_id, command)
        last = (await journal.records(event_type=AccountEvent).run_collect())[-1]
        assert (executed.position, executed.version) == (last.position, last.sequence_number)


async def test_a_rejection_is_raised_as_it_is_and_nothing_is_stored(journal: Journal):
    repository = accounts(journal)
    with pytest.raises(Overdraft) as caught:
        await repository.execute("a", Withdraw(1))
    assert caught.value.reasons == ("the balance is 0",)
    await repository.execute("a", Deposit(1))
    with pytest.raises(Overdraft, match="the balance is 1"):
        await repository.execute("a", Withdraw(2))
    assert await events_of(journal, "a") == [Deposited(1)]


async def test_any_exception_of_the_decider_is_raised_as_it_is(memory_journal: Journal):
    def decide(command: str, state: int) -> Deposited:
        raise LookupError(command)

    repository = Repository(memory_journal, Decider(0, decide, lambda state, event: state), Deposited)
    with pytest.raises(LookupError, match="nobody"):
        await repository.execute("a", "nobody")


async def test_a_command_may_change_nothing(journal: Journal):
    repository = accounts(journal)
    nothing = await repository.execute("a", Deposit(0))
    assert (nothing.events, nothing.state, nothing.version, nothing.position) == ((), Account(), 0, 0)
    first = await repository.execute("a", Deposit(1))
    await repository.execute("b", Deposit(1))
    again = await repository.execute("a", Deposit(0))
    assert (again.events, again.state, again.version, again.position) == ((), Account("", 1), 1, first.position)


async def test_loading_gives_the_state_and_the_version(journal: Journal):
    repository = accounts(journal)
    assert (await repository.load("a")).state == Account()
    assert (await repository.load("a")).version == 0
    await journal.event_stream("a", AccountEvent).persist([Opened("Ada"), Deposited(3)])
    for fresh in (repository, accounts(journal)):
        loaded = await fresh.load("a")
        assert (loaded.state, loaded.version) == (Account("Ada", 3), 2)


async def test_commands_given_at_once_are_carried_out_one_after_the_other(journal: Journal):
    repository = accounts(journal, conflict_retries=0)
    accepted, refused = [], []

    async def withdraw(amount: int) -> None:
        try:
            accepted.append((await repository.execute("a", Withdraw(amount))).version)
        except Overdraft:
            refused.append(amount)

    await repository.execute("a", Deposit(10))
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(withdraw, 1)
    assert (accepted, len(refused)) == (list(range(2, 12)), 10)
    assert len(await events_of(journal, "a")) == 11


async def test_commands_for_one_aggregate_are_carried_out_in_the_order_in_which_they_came(journal: Journal):
    repository = accounts(journal)

    async def deposit(amount: int) -> None:
        await repository.execute("a", Deposit(amount))

    async with anyio.create_task_group() as tasks:
        for amount in range(1, 21):
            tasks.start_soon(deposit, amount)
            await checkpoint()
    assert await events_of(journal, "a") == [Deposited(amount) for amount in range(1, 21)]


async def test_two_repositories_share_aggregates_without_losing_anything(journal: Journal):
    """As two processes would: each has what it holds in memory, and the journal says who was first."""
    repositories = [accounts(journal, conflict_retries=100) for _ in range(2)]

    async def work(repository: Repository, commands: int) -> None:
        for number in range(commands):
            await repository.execute(f"a-{number % 3}", Deposit(1))

    async with anyio.create_task_group() as tasks:
        for repository in repositories:
            for _ in range(4):
                tasks.start_soon(work, repository, 15)
    for number in range(3):
        assert (await repositories[0].load(f"a-{number}")).state.balance == 40
        assert (await repositories[1].load(f"a-{number}")).version == 40


async def test_what_is_in_memory_is_caught_up_and_not_read_again(memory_journal: Journal):
    evolved = []

    def evolve(state: Account, event: AccountEvent) -> Account:
        evolved.append(event)
        return ACCOUNT.evolve(state, event)

    decider = Decider(ACCOUNT.initial, ACCOUNT.decide, evolve)
    repository = Repository(memory_journal, decider, AccountEvent)
    await repository.execute("a", Open("Ada"))
    await repository.execute("a", Deposit(1))
    await memory_journal.event_stream("a", AccountEvent).persist(Deposited(2))
    executed = await repository.execute("a", Deposit(3))
    assert evolved == [Opened("Ada"), Deposited(1), Deposited(2), Deposited(3)]
    assert (executed.state.balance, executed.version) == (6, 4)


async def test_a_refusal_looks_at_what_others_wrote_first(journal: Journal):
    """A cache that is behind must not refuse what the journal would allow."""
    repository = accounts(journal)
    await repository.execute("a", Deposit(1))
    await accounts(journal).execute("a", Deposit(4))
    executed = await repository.execute("a", Withdraw(5))
    assert (executed.state, executed.version) == (Account(), 7)


async def test_that_nothing_happens_is_decided_on_what_others_wrote_too(journal: Journal):
    def decide(command: str, state: int) -> Deposited | None:
        return Deposited(1) if state == 2 else None

    repository = Repository(journal, Decider(0, decide, lambda state, event: state + 1), Deposited)
    assert (await repository.execute("a", "")).events == ()
    await journal.event_stream("a", Deposited).persist([Deposited(1), Deposited(1)])
    assert (await repository.execute("a", "")).events == (Deposited(1),)


async def test_a_conflict_is_retried_a_bounded_number_of_times(memory_journal: Journal):
    stream = memory_journal.event_stream("a", AccountEvent)
    decisions = 0

    class Intruder(MemoryStore):
        async def append(self, request):
            if request.expected_version is not None:
                nonlocal decisions
                decisions += 1
                await stream.persist(Deposited(1))
            return await super().append(request)

    store = Intruder()

    async def opened() -> MemoryStore:
        return store

    async with Journal(opened) as journal:
        stream = journal.event_stream("a", AccountEvent)
        with pytest.raises(ConflictError, match="decided 4 times") as caught:
            await accounts(journal, conflict_retries=3).execute("a", Deposit(7))
        assert (decisions, caught.value.attempts, caught.value.stream_id) == (4, 4, "a")
        assert await events_of(journal, "a") == [Deposited(1)] * 4


async def test_an_expected_version_is_held_and_not_retried(journal: Journal):
    repository = accounts(journal)
    await repository.execute("a", Deposit(1), expected_version=0)
    with pytest.raises(ExpectedVersionError) as caught:
        await repository.execute("a", Deposit(2), expected_version=0)
    assert (caught.value.expected, caught.value.actual) == (0, 1)
    await journal.event_stream("a", AccountEvent).persist(Deposited(5))
    with pytest.raises(ExpectedVersionError) as caught:
        await repository.execute("a", Deposit(2), expected_version=1)
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert await events_of(journal, "a") == [Deposited(1), Deposited(5)]


async def test_an_expected_version_may_be_newer_than_what_is_in_memory(journal: Journal):
    repository = accounts(journal)
    await repository.execute("a", Deposit(1))
    await journal.event_stream("a", AccountEvent).persist(Deposited(5))
    assert (await repository.execute("a", Deposit(2), expected_version=2)).version == 3


async def test_a_deadline_that_has_passed_stores_nothing(memory_journal: Journal):
    time = int(NOON.timestamp()) * 1_000_000
    repository = accounts(memory_journal, wall_clock=lambda: time)
    with pytest.raises(CommandExpiredError, match="was wanted until 2024-05-06T12:00:00") as caught:
        await repository.execute("a", Deposit(1), deadline=NOON)
    assert (caught.value.stream_id, caught.value.deadline) == ("a", NOON)
    assert await events_of(memory_journal, "a") == []
    elsewhere = (NOON + timedelta(microseconds=1)).astimezone(timezone(timedelta(hours=5)))
    assert (await repository.execute("a", Deposit(1), deadline=elsewhere)).version == 1


async def test_a_deadline_that_passes_while_others_are_served_stores_nothing(memory_journal: Journal):
    time = int(NOON.timestamp()) * 1_000_000
    expired = []

    def decide(command: str, state: int) -> Deposited:
        nonlocal time
        time += 1
        return Deposited(time)

    decider = Decider(0, decide, lambda state, event: state + 1)
    repository = Repository(memory_journal, decider, Deposited, wall_clock=lambda: time)

    async def execute() -> None:
        try:
            await repository.execute("a", "", deadline=NOON + timedelta(microseconds=3))
        except CommandExpiredError as error:
            expired.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(execute)
    assert len(expired) == 2
    assert (await repository.load("a")).version == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"deadline": datetime(2024, 5, 6)}, ValueError, "deadline must be an aware datetime"),
        ({"deadline": 5.0}, TypeError, "deadline must be a datetime, not 5.0"),
        ({"command_id": ""}, ValueError, "command_id must not be empty"),
        ({"command_id": 7}, TypeError, "command_id must be a str, not 7"),
        ({"expected_version": -1}, ValueError, "expected_version must be from 0"),
        ({"metadata": 7}, TypeError, "metadata must be a mapping, not 7"),
        ({"metadata": {"a": object()}}, ValueError, "metadata .* cannot be stored"),
    ],
)
async def test_what_is_not_legal_is_refused_and_changes_nothing(memory_journal: Journal, options, error, message):
    with pytest.raises(error, match=message):
        await accounts(memory_journal).execute("a", Deposit(1), **options)
    assert await events_of(memory_journal, "a") == []


@pytest.mark.parametrize("stream_id", [None, 7, b"a"])
async def test_a_stream_id_is_text_or_an_identifier(memory_journal: Journal, stream_id):
    with pytest.raises(TypeError, match="stream_id must be a str or an Identifier"):
        await accounts(memory_journal).execute(stream_id, Deposit(1))
    with pytest.raises(ValueError, match="stream_id must not be empty"):
        await accounts(memory_journal).load("")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"snapshot_every": 5}, ValueError, "snapshots need a state_type"),
        ({"snapshot_every": -1}, ValueError, "snapshot_every"),
        ({"conflict_retries": 1.5}, TypeError, "conflict_retries"),
        ({"cached_aggregates_max": -1}, ValueError, "cached_aggregates_max"),
        ({"idle_seconds": 0}, ValueError, "idle_seconds"),
        ({"prefix": 7}, TypeError, "prefix"),
    ],
)
async def test_a_repository_of_nonsense_is_refused(memory_journal: Journal, options, error, message):
    with pytest.raises(error, match=message):
        accounts(memory_journal, **options)


async def test_ids_and_prefixes_name_streams(memory_journal: Journal):
    class AccountId(Identifier):
        prefix = "account"

    account_id = AccountId.from_name("first")
    await accounts(memory_journal).execute(account_id, Deposit(1))
    await accounts(memory_journal, prefix="savings-").execute("17", Deposit(2))
    assert await events_of(memory_journal, str(account_id)) == [Deposited(1)]
    assert await events_of(memory_journal, "savings-17") == [Deposited(2)]


async def test_events_carry_the_metadata_and_what_caused_them(memory_journal: Journal):
    cause = (await memory_journal.event_stream("causes", Deposited).persist(Deposited(1))).records[0]
    with caused_by(cause):
        await accounts(memory_journal).execute("a", Deposit(1), metadata={"user": "ada"})
    (record,) = await memory_journal.event_stream("a", AccountEvent).records().run_collect()
    assert record.metadata == {"user": "ada", "causation_id": cause.id, "correlation_id": cause.id}


async def test_events_that_cannot_be_stored_change_nothing(memory_journal: Journal):
    repository = accounts(memory_journal)
    await repository.execute("a", Deposit(1))
    with pytest.raises(EventEncodingError):
        await repository.execute("a", Deposit("much"))  # type: ignore[arg-type] # the mistake
    assert (await repository.execute("a", Deposit(1))).state.balance == 2


async def test_a_cancelled_caller_leaves_all_or_nothing_and_the_next_goes_on(journal: Journal):
    repository = accounts(journal)
    await repository.execute("a", Deposit(1))
    for _ in range(20):
        with anyio.move_on_after(0):
            await repository.execute("a", Deposit(1))
        executed = await repository.execute("a", Deposit(1))
        assert executed.state.balance == executed.version
    assert [event.amount for event in await events_of(journal, "a")] == [1] * executed.version


async def test_a_closed_journal_is_reported_and_holds_nobody_up(memory_journal: Journal):
    async with Journal.open("memory://") as journal:
        repository = accounts(journal)
        await repository.execute("a", Deposit(1))
    for _ in range(2):
        with pytest.raises(JournalClosedError):
            await repository.execute("a", Deposit(1))


async def test_a_rejection_may_be_of_any_size(memory_journal: Journal):
    def decide(command: int, state: int) -> Deposited:
        raise Rejection(*map(str, range(command)))

    repository = Repository(memory_journal, Decider(0, decide, lambda state, event: state), Deposited)
    with pytest.raises(Rejection) as caught:
        await repository.execute("a", 3)
    assert caught.value.reasons == ("0", "1", "2")
