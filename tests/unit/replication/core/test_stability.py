"""The stable version: what no operation still to come can be concurrent to."""

from replication.core import stability
from replication.core.effects import Stable
from replication.core.messages import Acknowledgement, Entries
from tests.unit.replication.core.replicas import Replica, Told, entries, vector


def stable(replica: Replica) -> list[object]:
    """Let a round pass, and return the stable versions that were announced."""
    replica.announced.clear()
    replica.wait(0.6)
    return [said.vector for said in replica.announced if isinstance(said, Stable)]


def test_alone_everything_is_stable():
    anna = Replica().write()
    assert stable(anna) == [vector(anna=1)]
    assert anna.core.stable == vector(anna=1)


def test_what_all_members_hold_is_stable_and_said_once():
    anna = Replica().meet("ben").write(2)
    assert stable(anna) == []
    anna.hear("ben", Acknowledgement(vector(anna=1)))
    assert stable(anna) == [vector(anna=1)]
    assert stable(anna) == []


def test_a_silent_member_holds_everything_up():
    anna = Replica().meet("ben").meet("carla").write().hear("ben", Acknowledgement(vector(anna=1))).wait(60.0)
    assert anna.core.stable == vector()


def test_a_member_that_was_never_heard_holds_nothing():
    anna = Replica().meet("ben").write().hear("ben", Acknowledgement(vector(anna=1)))
    anna.start()
    assert anna.wait(1.0).core.stable == vector()


def test_replicas_that_are_expected_and_unknown_hold_everything_up():
    anna = Replica(expected=3).meet("ben").write().hear("ben", Acknowledgement(vector(anna=1)))
    assert stable(anna) == []
    anna.meet("carla", vector(anna=1))
    assert stable(anna) == [vector(anna=1)]


def test_a_member_counts_only_when_all_is_here_that_it_had_written():
    """It may have written something that has not arrived here, after it had seen only a part."""
    anna = Replica().write(2).meet("ben", vector(anna=2, ben=1))
    assert stable(anna) == []
    anna.hear("ben", Entries(entries("ben~1", 1, 1)))
    assert stable(anna) == [vector(anna=2, ben=1)]


def test_a_member_whose_disk_went_back_counts_only_when_all_is_here_that_others_hold_of_it():
    anna = Replica().write().meet("carla", vector(anna=1, ben=2)).meet("ben", vector(anna=1, ben=1))
    anna.hear("carla", Entries(entries("ben~1", 1, 1)))
    assert stable(anna) == []
    anna.hear("carla", Entries(entries("ben~1", 2, 2)))
    anna.hear("ben", Acknowledgement(vector(ben=2)))
    assert stable(anna) == [vector(anna=1, ben=2)]


def test_nothing_becomes_stable_while_others_hold_more_of_our_own_log():
    anna = Replica().meet("ben").write(2)
    anna.start()
    anna.meet("ben", vector(anna=3))
    assert stable(anna) == []
    anna.hear("ben", Entries(entries("anna~1", 3, 3)))
    assert stable(anna) == [vector(anna=3)]


def test_a_removed_replica_holds_nothing_up():
    anna = Replica().meet("ben").meet("carla").write().hear("ben", Acknowledgement(vector(anna=1)))
    assert stable(anna) == []
    anna.do(anna.core.remove(anna.now, "carla"))
    assert stable(anna) == [vector(anna=1)]


def test_the_stable_version_never_goes_back():
    anna = Replica().meet("ben").write().hear("ben", Acknowledgement(vector(anna=1)))
    stable(anna)
    anna.hear_of("ben", Told("carla"))
    assert stable(anna) == []
    assert anna.core.stable == vector(anna=1)


def test_in_a_large_cluster_it_is_looked_more_seldom(monkeypatch):
    monkeypatch.setattr(stability, "COMPARED_A_ROUND", 1)
    anna = Replica().meet("ben").meet("carla").write()
    assert stable(anna) == []
    anna.hear("ben", Acknowledgement(vector(anna=1))).hear("carla", Acknowledgement(vector(anna=1)))
    anna.wait(2.0)
    assert anna.core.stable == vector(anna=1)
