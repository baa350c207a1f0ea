"""The test kit: scenarios hold, fail, and tell what differed."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from calliope.domain import Rejection
from calliope.domain.testing import AsyncScenario, Scenario
from tests.unit.domain.accounts import (
    ACCOUNT,
    Deposit,
    Deposited,
    Open,
    Opened,
    Overdraft,
    Withdraw,
    Withdrawn,
)

account = Scenario(ACCOUNT)


def test_a_command_leads_to_events():
    account.given(Opened("Ada"), Deposited(5)).when(Withdraw(2)).then(Withdrawn(1), Withdrawn(1))
    account.given(Opened("Ada")).when(Deposit(5)).then(Deposited(5))
    account.when(Open("Ada")).then(Opened("Ada"))


def test_events_may_be_given_and_expected_as_lists():
    account.given([Opened("Ada"), Deposited(5)]).when(Withdraw(1)).then([Withdrawn(1)])
    account.given([]).when([Deposit(1), Deposit(2)]).then([Deposited(1), Deposited(2)])


def test_nothing_happens():
    account.given(Deposited(5)).when(Deposit(0)).then()
    account.given(Deposited(5)).when(Deposit(0)).then([])


def test_several_commands_are_decided_one_after_the_other():
    account.when(Deposit(1), Withdraw(1)).then(Deposited(1), Withdrawn(1))
    account.when(Deposit(1), Withdraw(1), Withdraw(1)).rejected("the balance is 0")


def test_a_command_is_rejected():
    account.given(Deposited(5)).when(Withdraw(9)).rejected()
    account.given(Deposited(5)).when(Withdraw(9)).rejected("the balance is 5")
    account.given(Deposited(5)).when(Withdraw(9)).rejected("the balance is 5", error=Overdraft)


def test_a_failure_tells_the_story_and_shows_the_difference():
    with pytest.raises(AssertionError) as caught:
        account.given(Opened("Ada"), Deposited(5)).when(Withdraw(2)).then(Withdrawn(1), Withdrawn(2))
    assert str(caught.value).splitlines() == [
        "it ended otherwise",
        "given",
        "    Opened(owner='Ada')",
        "    Deposited(amount=5)",
        "when",
        "    Withdraw(amount=2)",
        "expected (-), came (+)",
        "      Withdrawn(amount=1)",
        "    - Withdrawn(amount=2)",
        "    + Withdrawn(amount=1)",
    ]


@dataclass(frozen=True)
class Described:
    title: str
    text: str
    language: str


def test_a_difference_in_a_large_event_is_shown_by_its_field():
    described = Described("Emil and the detectives", "A boy travels to Berlin alone, and is robbed on the train", "en")
    other = Described("Emil and the detectives", "A boy travels to Berlin alone, and is robbed on the train", "de")
    echo = Scenario(Echo())
    with pytest.raises(AssertionError) as caught:
        echo.when(described).then(other)
    assert str(caught.value).splitlines()[-4:] == [
        "      Described(title='Emil and the detectives',",
        "                text='A boy travels to Berlin alone, and is robbed on the train',",
        "    -           language='de')",
        "    +           language='en')",
    ]


def test_what_reads_alike_and_is_not_equal_is_named():
    class Opaque:
        def __repr__(self) -> str:
            return "<opaque>"

    with pytest.raises(AssertionError, match="they read alike, and are not equal"):
        Scenario(Echo()).when(Opaque()).then(Opaque())


def test_nothing_expected_and_nothing_given_are_told():
    with pytest.raises(AssertionError, match=r"given\n    nothing\nwhen\n    Deposit\(amount=5\)\nexpected"):
        account.when(Deposit(5)).then()


def test_what_was_not_rejected_fails():
    with pytest.raises(AssertionError, match=r"expected Rejection\('no'\), came\n    Deposited\(amount=5\)"):
        account.when(Deposit(5)).rejected("no")


def test_other_reasons_fail_and_are_compared():
    with pytest.raises(AssertionError, match=r"reasons \(-\), came \(\+\)\n    - no\n    \+ the balance is 0"):
        account.when(Withdraw(5)).rejected("no")


def test_a_refusal_where_events_were_expected_is_raised_with_the_story():
    with pytest.raises(Overdraft) as caught:
        account.given(Deposited(1)).when(Withdraw(5)).then(Withdrawn(5))
    assert "Deposited(amount=1)" in caught.value.__notes__[0]


def test_an_error_that_is_no_rejection_does_not_pass_for_one():
    with pytest.raises(TypeError) as caught:
        account.when(Withdraw("5")).rejected()
    assert "expected Rejection()" in caught.value.__notes__[0]
    account.when(Withdraw("5")).rejected(error=TypeError)


def test_the_message_of_an_error_without_reasons_is_its_reason():
    def fail(command: str, state: None) -> None:
        raise LookupError("nobody")

    refusing = Scenario(type(ACCOUNT)(None, fail, lambda state, event: state))
    refusing.when("look").rejected("nobody", error=LookupError)
    with pytest.raises(AssertionError, match="somebody"):
        refusing.when("look").rejected("somebody", error=LookupError)


class Echo:
    """Answers with what comes."""

    def outcome(self, given: Sequence[object], when: Sequence[object], /) -> Sequence[object]:
        return when


class Balances:
    """A projection: the balances of accounts."""

    def outcome(self, given: Sequence[Deposited], when: Sequence[Deposited], /) -> Sequence[int]:
        return [sum(event.amount for event in [*given, *when])]


def test_a_projection_answers_with_its_view():
    balances = Scenario(Balances())
    balances.given(Deposited(5), Deposited(6)).then(11)
    balances.given(Deposited(5)).when(Deposited(6)).then(11)
    with pytest.raises(AssertionError, match=r"- 12\n    \+ 11"):
        balances.given(Deposited(5), Deposited(6)).then(12)


class Reminders:
    """A process that has to wait: it reacts to deposits with withdrawals of the same amount."""

    async def outcome(self, given: Sequence[Deposited], when: Sequence[Deposited], /) -> Sequence[Withdraw]:
        if any(event.amount < 0 for event in when):
            raise Rejection("below zero")
        return [Withdraw(event.amount) for event in when]


@pytest.mark.anyio
async def test_what_has_to_wait_is_awaited():
    process = AsyncScenario(Reminders())
    await process.given(Deposited(1)).when(Deposited(5), Deposited(6)).then(Withdraw(5), Withdraw(6))
    await process.when(Deposited(5)).then([Withdraw(5)])
    await process.given([Deposited(1)]).then()
    await process.when(Deposited(-5)).rejected("below zero")
    with pytest.raises(AssertionError, match=r"- Withdraw\(amount=6\)"):
        await process.when(Deposited(5)).then(Withdraw(6))
    with pytest.raises(AssertionError, match="expected Rejection"):
        await process.when(Deposited(5)).rejected()
