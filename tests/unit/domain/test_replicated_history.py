"""A history of changes forgets what is far back, and knows when it is needed again."""

from datetime import UTC, datetime

from calliope.domain import Change, Decider, all_stand
from calliope.domain.replicated_history import History
from crdts import VersionVector

BALANCE = Decider[int, int, int](0, lambda command, balance: command, lambda balance, amount: balance + amount)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def change(amount: int, version: dict[str, int], replica_id: str, name: str = "") -> Change[int]:
    """Return a change of one event, whose writer had observed a version."""
    place = sum(version.values())
    change_id = name or f"{replica_id}-{version[replica_id]}"
    return Change(
        change_id, (amount,), replica_id, NOON, {}, VersionVector(version), (place, NOON, replica_id, change_id)
    )


def covered(balance: int, asked: Change[int]) -> tuple[int, ...]:
    return asked.events if balance + asked.events[0] >= 0 else ()


def test_a_command_that_was_carried_out_far_back_and_elsewhere_is_recognised() -> None:
    changes = [change(5, {"berlin": number}, "berlin", "rent" if number == 1 else "") for number in range(1, 6)]
    twin = change(5, {"lisbon": 9}, "lisbon", "rent")
    history = History(BALANCE, all_stand, changes_max=1)
    history.begin(changes)
    assert not history.add([twin]), "it cannot tell any more"
    assert history.state == 25
    history.begin([*changes, twin])
    assert history.state == 25


def test_what_comes_before_changes_that_did_not_count_may_make_them_count() -> None:
    opened, asked = change(5, {"berlin": 1}, "berlin"), [change(-9, {"lisbon": n}, "lisbon") for n in (3, 4, 5)]
    history = History(BALANCE, covered, changes_max=1)
    history.begin([opened, *asked])
    assert history.state == 5
    paid_in = change(10, {"berlin": 2}, "berlin")
    assert not history.add([paid_in])
    history.begin([*asked, paid_in, opened])
    assert history.state == 6


def test_what_has_observed_all_that_counts_needs_nothing_again() -> None:
    history = History(BALANCE, all_stand, changes_max=1)
    for number in range(1, 9):
        assert history.add([change(1, {"berlin": number}, "berlin")])
    assert history.state == 8


def test_a_twin_that_is_folded_anew_is_recognised_again() -> None:
    carried_out, twin = change(5, {"berlin": 1}, "berlin", "rent"), change(5, {"lisbon": 3}, "lisbon", "rent")
    history = History(BALANCE, all_stand)
    history.begin([carried_out, twin])
    assert history.state == 5
    assert history.add([change(1, {"rome": 2}, "rome")]), "it comes between the two"
    assert history.state == 6
