"""When callers commit by halves, in turn."""

import pytest

from calliope.stores.turns import SLOWER_AT_MOST, TURN_REQUESTS_MIN, Turns

TWO_HALVES = 2 * TURN_REQUESTS_MIN


def measured(*, gathering_seconds: float, waiting_seconds: float, callers: int = TWO_HALVES) -> Turns:
    """Return what so many callers have measured, if they all committed together."""
    turns = Turns()
    turns.gathered(callers, gathering_seconds)
    turns.waited(waiting_seconds)
    return turns


def test_as_long_as_nothing_is_measured_all_commit_together() -> None:
    assert Turns().share(10_000) == 10_000


def test_half_of_those_who_gathered_commit_where_the_database_is_faster_than_they_gather() -> None:
    turns = measured(gathering_seconds=0.002, waiting_seconds=0.001)
    assert turns.share(TWO_HALVES) == TURN_REQUESTS_MIN
    assert turns.share(1_001) == 501


def test_all_commit_together_where_the_database_is_slower() -> None:
    turns = measured(gathering_seconds=0.001, waiting_seconds=0.002)
    assert turns.share(TWO_HALVES) == TWO_HALVES
    assert turns.share(TURN_REQUESTS_MIN, committed=TURN_REQUESTS_MIN) == 0


def test_more_callers_take_longer_to_gather() -> None:
    turns = measured(gathering_seconds=0.001, waiting_seconds=0.002)
    assert turns.share(3 * TWO_HALVES) == 3 * TURN_REQUESTS_MIN


@pytest.mark.parametrize("callers", [1, 2, TURN_REQUESTS_MIN, TWO_HALVES - 1])
def test_few_commit_together_however_fast_the_database_is(callers: int) -> None:
    turns = measured(gathering_seconds=1.0, waiting_seconds=0.0)
    assert turns.share(callers) == callers
    assert turns.share(callers // 2, committed=callers - callers // 2) == 0


def test_the_other_half_follows_before_those_who_were_committed_are_told() -> None:
    turns = measured(gathering_seconds=0.002, waiting_seconds=0.001)
    assert turns.share(100, committed=100) == 100


def test_halves_that_differ_become_equal() -> None:
    turns = measured(gathering_seconds=0.002, waiting_seconds=0.001)
    assert turns.share(236, committed=20) == 128
    assert turns.share(TURN_REQUESTS_MIN, committed=1_000) == TURN_REQUESTS_MIN


def test_less_than_is_worth_a_commit_waits_for_those_who_were_committed() -> None:
    turns = measured(gathering_seconds=0.002, waiting_seconds=0.001)
    assert turns.share(TURN_REQUESTS_MIN - 1, committed=1_000) == 0


def test_one_slow_commit_changes_little_and_slow_ones_in_a_row_do() -> None:
    turns = measured(gathering_seconds=0.0015, waiting_seconds=0.001)
    turns.waited(10.0)
    assert 0.001 * SLOWER_AT_MOST < 0.0015
    assert turns.share(TWO_HALVES) == TURN_REQUESTS_MIN
    turns.waited(10.0)
    assert turns.share(TWO_HALVES) == TWO_HALVES
    turns.waited(0.001)
    assert turns.share(TWO_HALVES) == TURN_REQUESTS_MIN
