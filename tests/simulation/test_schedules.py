"""Random schedules: whatever a seed does to replicas, no promise is broken, and when it heals they become equal."""

import doctest
import os
import subprocess
import sys
import time

import pytest

import replication.testing
from replication.testing import Schedule, SimulationError, draw, draw_newcomers

QUICK_SEEDS = 96
SOAK_SEEDS = 4000
SOAK_SEEDS_OF_NEWCOMERS = 1000
SOAK_PARTS = 20

BROKEN_ONCE = [47, 70, 91, 237, 262, 367, 629, 722, 744, 770, 855]
"""The seeds of newcomers, of the first thousand, under which replicas never became equal when states were merged as
they came, before all of a snapshot was there."""


def run_all(seeds, draw_plan=draw):
    """Run schedules; tell which fail, and how much faster than real time they were."""
    began, seconds, failures, agreements = time.process_time(), 0.0, [], 0
    for seed in seeds:
        try:
            report = Schedule(seed, draw_plan=draw_plan).run()
        except SimulationError as error:
            failures.append(str(error))
        else:
            seconds += report.seconds
            agreements += report.agreements
    speed = seconds / (time.process_time() - began)
    print(f"{len(seeds)} schedules from seed {seeds[0]}: {speed:,.0f} times real time")
    assert not failures, f"{len(failures)} of {len(seeds)} seeds fail; the first:\n{failures[0]}"
    assert agreements > len(seeds)  # quorums were met, so that there was something to check
    return speed


@pytest.mark.parametrize("part", range(4))
def test_no_promise_is_broken_under_the_first_seeds(part):
    run_all(range(part, QUICK_SEEDS, 4))


def test_no_promise_is_broken_while_snapshots_are_cut_off_all_the_time():
    run_all(BROKEN_ONCE, draw_newcomers)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(SOAK_PARTS))
def test_no_promise_is_broken_under_five_thousand_seeds(part):
    size = SOAK_SEEDS // SOAK_PARTS
    run_all(range(part * size, (part + 1) * size))
    size = SOAK_SEEDS_OF_NEWCOMERS // SOAK_PARTS
    run_all(range(part * size, (part + 1) * size), draw_newcomers)


def test_the_seeds_draw_everything_that_can_go_wrong():
    plans = [draw(seed) for seed in range(QUICK_SEEDS)]
    assert {len(plan.names) for plan in plans} == set(range(3, 10))
    assert {plan.shape for plan in plans} == {"mesh", "ring", "line", "star"}
    assert {plan.settings.ordered for plan in plans} == {True, False}
    assert {plan.has_crdts for plan in plans} == {True, False}
    for trouble in {name for plan in plans for name in plan.weights}:
        assert any(plan.weights[trouble] > 0 for plan in plans), trouble
    assert any(plan.skew > 0.1 for plan in plans)
    assert any(plan.faults.loss > 0.2 for plan in plans)
    assert any(plan.faults.loss > 0.005 for plan in plans if plan.settings.ordered)


def replayed(seed, hash_seed):
    command = [sys.executable, "-m", "replication.testing", str(seed)]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return run.stdout


def test_a_seed_shows_the_same_trace_in_every_process():
    seed = next(seed for seed in range(QUICK_SEEDS) if draw(seed).has_crdts and len(draw(seed).names) > 4)
    first, second = replayed(seed, "1"), replayed(seed, "2")
    assert first == second
    assert "sends" in first
    assert Schedule(seed, is_detailed=True).run().trace_hash in first


def test_the_example_in_the_docstring_is_true():
    assert doctest.testmod(replication.testing).failed == 0
    assert doctest.testmod(replication.testing).attempted > 10
