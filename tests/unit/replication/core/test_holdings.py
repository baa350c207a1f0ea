"""What is durable here, and what is on its way to the disk."""

from replication.core.holdings import Holdings
from tests.unit.replication.core.replicas import NOTHING, entries, entry, vector


def holdings() -> Holdings:
    return Holdings(NOTHING, NOTHING, 0)


def test_what_is_promised_is_not_held():
    held = holdings()
    held.wait(entry("ben~1", 1))
    assert (held.vector, held.promised("ben~1")) == (NOTHING, 1)


def test_what_has_failed_is_promised_no_more():
    held = holdings()
    held.hold([(1, entry("ben~1", 1))])
    held.wait(entry("ben~1", 2))
    held.forget_promises()
    assert held.promised("ben~1") == 1


def test_what_waits_for_the_disk_is_counted_until_it_waits_no_more():
    held, waiting = holdings(), entries("ben~1", 1, 3)
    for one in waiting:
        held.wait(one)
    assert held.waiting_bytes == sum(len(one.body) for one in waiting)
    held.waited(waiting)
    assert held.waiting_bytes == 0


def test_what_a_replica_wrote_and_is_on_its_way_is_known():
    held = holdings()
    held.wait(entry("ben~1", 1))
    assert held.awaits("ben")
    assert not held.awaits("carla")
    held.hold([(1, entry("ben~1", 1))])
    assert not held.awaits("ben")


def test_logs_that_have_grown_come_in_the_order_of_their_entries():
    grown = [(1, entry("zoe~1", 1)), (2, entry("anna~1", 1)), (3, entry("zoe~1", 2))]
    assert holdings().hold(grown) == ["zoe~1", "anna~1"]


def test_an_installed_cut_is_held_and_below_the_floor():
    held = holdings()
    held.hold([(1, entry("ben~1", 1))])
    held.is_whole = False
    held.install(vector(ben=3, carla=2))
    assert (held.vector, held.floor, held.is_whole) == (vector(ben=3, carla=2), vector(ben=3, carla=2), True)
    assert held.promised("ben~1") == 3


def test_a_vector_that_was_handed_out_does_not_change():
    held = holdings()
    before = held.vector
    held.hold([(1, entry("ben~1", 1))])
    assert before == NOTHING
