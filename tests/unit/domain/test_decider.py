"""A decider is one value and two functions."""

import pytest

from calliope.domain import Decider
from tests.unit.domain.accounts import (
    ACCOUNT,
    Account,
    Deposit,
    Deposited,
    Open,
    Opened,
    Overdraft,
    Withdraw,
    Withdrawn,
)


@pytest.mark.parametrize(
    ("command", "events"),
    [
        (Open("Ada"), (Opened("Ada"),)),
        (Withdraw(2), (Withdrawn(1), Withdrawn(1))),
        (Withdraw(0), ()),
        (Deposit(0), ()),
    ],
)
def test_one_event_several_or_none_are_a_tuple(command, events):
    assert ACCOUNT.events_of(command, Account("", 2)) == events


def test_a_refusal_passes_through():
    with pytest.raises(Overdraft, match="the balance is 2"):
        ACCOUNT.events_of(Withdraw(3), Account("", 2))


def test_the_state_is_the_fold_of_the_events():
    assert ACCOUNT.state_of([Opened("Ada"), Deposited(5), Withdrawn(1)]) == Account("Ada", 4)
    assert ACCOUNT.state_after([Withdrawn(1)], Account("Ada", 4)) == Account("Ada", 3)
    assert ACCOUNT.state_of([]) == Account()


def test_a_decider_says_of_which_types_it_is():
    counter = Decider[int, str, str](0, lambda command, state: command, lambda state, event: state + 1)
    assert counter.state_of(counter.events_of("count", 0)) == 1
