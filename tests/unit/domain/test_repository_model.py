"""Repositories beside a model, a list of events for each aggregate: whoever executes, the outcome is the same."""

from dataclasses import dataclass

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calliope import ExpectedVersionError, Journal
from calliope.domain import Rejection, Repository
from tests.unit.domain.accounts import ACCOUNT, Account, AccountEvent, Command, Deposit, Open, Withdraw, accounts


@dataclass(frozen=True)
class Sent:
    """A command as somebody sends it."""

    repository: int
    stream_id: str
    command: Command
    command_id: str | None
    expected_version: int | None


@dataclass(frozen=True)
class Result:
    """What comes back."""

    events: tuple[AccountEvent, ...]
    state: Account
    version: int
    duplicate: bool


class Model:
    """What a repository promises, without a journal, a cache, snapshots or retries."""

    def __init__(self) -> None:
        self._events: dict[str, list[AccountEvent]] = {}
        self._carried_out: dict[tuple[str, str], tuple[AccountEvent, ...]] = {}

    def execute(self, sent: Sent) -> Result:
        events = self._events.setdefault(sent.stream_id, [])
        name = (sent.stream_id, sent.command_id or "")
        if sent.command_id and name in self._carried_out:
            return Result(self._carried_out[name], ACCOUNT.state_of(events), len(events), duplicate=True)
        if sent.expected_version is not None and sent.expected_version != len(events):
            raise ExpectedVersionError(sent.expected_version, len(events))
        decided = ACCOUNT.events_of(sent.command, ACCOUNT.state_of(events))
        events += decided
        if decided and sent.command_id:
            self._carried_out[name] = decided
        return Result(decided, ACCOUNT.state_of(events), len(events), duplicate=False)


commands = st.one_of(
    st.builds(Open, st.just("Ada")),
    st.builds(Deposit, st.integers(0, 3)),
    st.builds(Withdraw, st.integers(0, 3)),
)
sendings = st.builds(
    Sent,
    repository=st.integers(0, 2),
    stream_id=st.sampled_from(["a", "b"]),
    command=commands,
    command_id=st.none() | st.sampled_from(["c-1", "c-2", "c-3"]),
    expected_version=st.none() | st.none() | st.integers(0, 4),
)


async def executed(repository: Repository[Account, Command, AccountEvent], sent: Sent) -> Result:
    outcome = await repository.execute(
        sent.stream_id, sent.command, command_id=sent.command_id, expected_version=sent.expected_version
    )
    return Result(outcome.events, outcome.state, outcome.version, outcome.duplicate)


async def compare(story: list[Sent], snapshot_every: int) -> None:
    model = Model()
    async with Journal.open("memory://") as journal:
        repositories = [
            accounts(journal, state_type=Account, snapshot_every=snapshot_every, cached_aggregates_max=kept)
            for kept in (0, 1, 9)
        ]
        for sent in story:
            try:
                expected = model.execute(sent)
            except (Rejection, ExpectedVersionError) as refusal:
                with pytest.raises(type(refusal)):
                    await executed(repositories[sent.repository], sent)
            else:
                assert await executed(repositories[sent.repository], sent) == expected


@given(st.lists(sendings, max_size=20), st.integers(0, 3))
def test_repositories_do_what_the_model_does(story: list[Sent], snapshot_every: int) -> None:
    anyio.run(compare, story, snapshot_every)
