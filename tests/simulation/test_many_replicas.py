"""A thousand replicas, each connected with about four others: a day of devices that gossip every five minutes."""

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
HOUR = 3600.0
SETTINGS = Settings(
    gossip_interval_seconds=300.0, fanout=1, suspect_after_seconds=4 * HOUR, dead_after_seconds=12 * HOUR
)


def a_day(count):
    """Have a few of many write on both sides of a partition, restart some, write again; return how long it took."""
    names = [f"replica {number:04}" for number in range(count)]
    random = Random(count)
    began = time.process_time()
    edges = topology("random", names, random)
    simulation = Simulation(count, edges, settings=SETTINGS, faults=NetworkFaults((0.001, 0.05)))
    for name in names:
        simulation.join(name)
    simulation.run_for(3 * HOUR)
    assert states(simulation, names) == {"alive"}
    part(simulation, names)
    write(simulation, random.sample(names, WRITERS))
    simulation.run_for(0.5 * HOUR)
    assert simulation.differences()
    simulation.network.heal()
    simulation.run_for(0.5 * HOUR)
    assert not simulation.differences()
    for name in random.sample(names, WRITERS):
        simulation.crash(name)
        simulation.start(name)
    simulation.run_for(4 * HOUR)
    assert {len(replica.running.stable) for replica in simulation.up} == {WRITERS}
    write(simulation, random.sample(names, WRITERS))
    simulation.run_for(24 * HOUR - simulation.time.now)
    assert not simulation.differences()
    assert not simulation.losses()
    assert states(simulation, names) == {"alive"}
    assert {replica.running.stable for replica in simulation.up} == {simulation.up[0].disk.vector}
    return simulation.time.now, time.process_time() - began


def part(simulation, names):
    """Let nothing pass between the halves."""
    middle = len(names) // 2
    for one in names[:middle]:
        for other in names[middle:]:
            if simulation.network.is_connected(one, other):
                simulation.network.block(one, other)
                simulation.network.block(other, one)


def write(simulation, writers):
    for name in writers:
        simulation.write(name, Change("visits", "increment", 1))
        simulation.run_for(1.0)


def states(simulation, names):
    """Return how replicas judge one another."""
    looked = [simulation.replicas[name] for name in names[:: len(names) // 10]]
    return {member.state for replica in looked for member in replica.running.members(replica.now)}


def test_thirty_replicas_agree_all_day():
    a_day(30)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Leave millions of objects in peace, all of which are in use: looking through them takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.soak
def test_a_thousand_replicas_agree_all_day():
    with without_garbage_collection():
        virtual, real = a_day(1000)
    print(f"a day of 1,000 replicas takes {real:.1f} seconds: {virtual / real:,.0f} times as fast")
