"""A thousand replicas, each connected with about four others, become equal."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from replication.core.settings import Settings
from replication.testing import Change, NetworkFaults, Simulation
from replication.testing.network import topology

WRITERS = 20


def converged(count, seconds_max):
    """Have a few of many write on both sides of a partition; return how long it took, virtually and really."""
    names = [f"replica {number:04}" for number in range(count)]
    random = Random(count)
    settings = Settings(gossip_interval_seconds=20.0, suspect_after_seconds=200.0, dead_after_seconds=600.0)
    faults = NetworkFaults((0.001, 0.05))
    began = time.process_time()
    simulation = Simulation(count, topology("random", names, random), settings=settings, faults=faults)
    for name in names:
        simulation.join(name)
    simulation.run_for(5.0)
    for one in names[: count // 2]:
        for other in names[count // 2 :]:
            if simulation.network.is_connected(one, other):
                simulation.network.block(one, other)
                simulation.network.block(other, one)
    for name in random.sample(names, WRITERS):
        simulation.write(name, Change("visits", "increment", 1))
        simulation.run_for(1.0)
    simulation.run_for(30.0)
    assert simulation.differences()
    simulation.network.heal()
    while simulation.differences():
        assert simulation.time.now < seconds_max, simulation.differences()
        simulation.run_for(10.0)
    assert len(simulation.replicas["replica 0000"].disk.vector) == WRITERS
    assert not simulation.losses()
    return simulation.time.now, time.process_time() - began


def test_thirty_replicas_become_equal():
    converged(30, 300.0)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Leave a million rows in peace, all of which are in use: looking through them takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.soak
def test_a_thousand_replicas_become_equal():
    with without_garbage_collection():
        virtual, real = converged(1000, 3600.0)
    print(f"1,000 replicas are equal after {virtual:.0f} virtual seconds, {real:.1f} real ones: {virtual / real:.1f}")
