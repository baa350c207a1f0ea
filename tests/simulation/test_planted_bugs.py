"""The checks find bugs: each one that is planted breaks the promise that it should, within a few hundred seeds."""

import pytest

from replication.testing import Schedule, SimulationError
from tests.simulation.planted_bugs import PLANTED

SEEDS_MAX = 300
"""Within so many random schedules each bug is caught; most are by the first or second."""

CAUGHT_AT_ONCE = [
    "acknowledged before it is durable",
    "a clock advanced early",
    "a digest off by one",
    "an fsync left out",
    "a number left out",
    "a duplicate applied",
    "an operation not applied",
    "an entry relayed before its past",
    "others said to hold what we hold",
    "a stable version too high",
]


def broken_promise(bug, seeds):
    """Run schedules until one fails; return the promise that was broken, or None."""
    for seed in range(bug.first_seed, bug.first_seed + seeds):
        try:
            Schedule(seed, draw_plan=bug.draw_plan, core_type=bug.core_type, disk_type=bug.disk_type).run()
        except SimulationError as error:
            return error.promise
    return None


def test_at_least_twenty_bugs_are_planted():
    assert len({bug.name for bug in PLANTED}) == len(PLANTED) >= 20


@pytest.mark.parametrize("name", CAUGHT_AT_ONCE)
def test_a_gross_bug_is_caught_at_once_by_the_check_that_is_meant_for_it(name):
    bug = next(bug for bug in PLANTED if bug.name == name)
    assert broken_promise(bug, 3) in bug.breaks


@pytest.mark.soak
@pytest.mark.parametrize("bug", PLANTED, ids=[bug.name.replace(" ", "-") for bug in PLANTED])
def test_a_bug_is_caught_by_a_check_that_is_meant_for_it(bug):
    assert broken_promise(bug, SEEDS_MAX) in bug.breaks
