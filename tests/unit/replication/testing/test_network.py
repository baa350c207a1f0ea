"""A simulated network delays, loses, repeats and overtakes as it is told; an ordered one only delays and breaks."""

from random import Random

import pytest

from crdts import VersionVector
from replication.core.messages import Acknowledgement
from replication.testing import NetworkFaults
from replication.testing.network import Network, topology
from replication.testing.virtual_time import VirtualTime


class Listener:
    """Writes down what arrives."""

    def __init__(self):
        self.arrived = []
        self.events = []

    def connected(self, sender, receiver):
        self.events.append(("connected", receiver))

    def disconnected(self, sender, receiver):
        self.events.append(("disconnected", receiver))

    def received(self, sender, receiver, message):
        assert ("connected", receiver) in self.events
        self.arrived.append(message.vector["anna~1"])

    def broken(self, one, other):
        self.events.append(("broken", one, other))


def sent_through(count, **faults):
    """Send numbered messages from anna to ben; return what arrives, and the listener."""
    time, listener = VirtualTime(), Listener()
    network = Network(time, Random(1), listener, NetworkFaults(**faults))
    network.connect("anna", "ben")
    for number in range(1, count + 1):
        network.send("anna", "ben", Acknowledgement(VersionVector({"anna~1": number})))
    time.run_until(10.0)
    return listener


def test_an_ordered_network_keeps_the_order_whatever_the_delays():
    assert sent_through(100, delay_seconds=(0.001, 1.0)).arrived == list(range(1, 101))


def test_an_ordered_network_ends_a_connection_instead_of_losing_a_message():
    listener = sent_through(100, loss=0.1)
    assert listener.arrived == []
    assert listener.events[-1] == ("broken", "anna", "ben")


def test_an_unordered_network_loses_repeats_and_overtakes():
    arrived = sent_through(200, delay_seconds=(0.001, 1.0), loss=0.3, duplication=0.3, ordered=False).arrived
    assert arrived != sorted(arrived)
    assert len(set(arrived)) < len(arrived)
    assert 100 < len(set(arrived)) < 180


def test_messages_are_the_same_after_they_were_bytes():
    assert sent_through(3, through_bytes=True).arrived == [1, 2, 3]


def test_what_was_sent_over_an_ended_connection_never_arrives():
    time, listener = VirtualTime(), Listener()
    network = Network(time, Random(1), listener, NetworkFaults())
    network.connect("anna", "ben")
    time.run_until(1.0)
    network.send("anna", "ben", Acknowledgement(VersionVector({"anna~1": 1})))
    network.disconnect("ben", "anna")
    time.run_until(2.0)
    assert network.connect("anna", "ben")
    time.run_until(3.0)
    assert listener.arrived == []
    assert network.is_connected("ben", "anna")


def test_a_blocked_direction_lets_nobody_connect_until_it_heals():
    network = Network(VirtualTime(), Random(1), Listener(), NetworkFaults())
    network.block("anna", "ben")
    assert not network.connect("ben", "anna")
    network.heal()
    assert network.connect("ben", "anna")


def test_topologies_connect_everybody():
    names = [f"replica {number}" for number in range(7)]
    assert len(topology("mesh", names)) == 21
    assert len(topology("ring", names)) == 7
    assert len(topology("line", names)) == len(topology("star", names)) == 6
    for shape in ("mesh", "ring", "line", "star", "random"):
        reached = {names[0]}
        for _ in names:
            reached |= {end for edge in topology(shape, names, Random(1)) if reached & set(edge) for end in edge}
        assert reached == set(names), shape
    assert topology("ring", names[:2]) == topology("line", names[:2])


def test_a_topology_that_does_not_exist_is_refused_by_its_name():
    with pytest.raises(ValueError, match="'torus'"):
        topology("torus", ["anna", "ben"])
