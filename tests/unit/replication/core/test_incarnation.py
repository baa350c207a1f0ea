"""Later words replace earlier ones, also after a restart or when a disk went back in time."""

from replication.core.messages import Digest
from tests.unit.replication.core.replicas import Replica, digest, row, vector


def spoken(replica: Replica, peer: str = "ben") -> tuple[int, int]:
    """Return incarnation and sequence of what a replica says first to a peer."""
    replica.do(replica.core.connected(replica.now, peer))
    (said,) = replica.messages(Digest, peer)
    return said.own.incarnation, said.own.sequence


def test_each_start_counts_durably():
    anna = Replica()
    assert anna.facts["incarnation"] == b"1"
    anna.start()
    assert anna.facts["incarnation"] == b"2"


def test_each_word_is_later_than_the_one_before():
    anna = Replica()
    said = [spoken(anna, peer) for peer in ("ben", "carla")]
    anna.start()
    said += [spoken(anna, peer) for peer in ("ben", "carla")]
    assert said == sorted(set(said))


def test_a_word_of_ours_that_we_cannot_have_said_is_outdone_durably():
    anna = Replica().meet("ben", rows=[row("anna", incarnation=7, sequence=3)])
    assert anna.facts["incarnation"] == b"8"
    assert spoken(anna, "carla") > (7, 3)


def test_a_word_that_we_have_said_is_not_outdone():
    anna = Replica().meet("ben", rows=[row("anna", incarnation=1, sequence=1)])
    assert anna.facts["incarnation"] == b"1"


def test_a_peer_that_went_back_is_believed_on_its_own_connection():
    anna = Replica().meet("ben", vector(ben=5), sequence=9)
    anna.hear("ben", digest("ben", vector(ben=2), sequence=1))
    assert anna.core.members(0.0)[1].vector == vector(ben=2)


def test_an_earlier_word_that_comes_through_others_is_not_believed():
    anna = Replica().meet("ben", rows=[row("carla", vector(carla=5), sequence=9)])
    anna.hear("ben", digest("ben", rows=[row("carla", vector(carla=2), sequence=8)]))
    assert anna.core.members(0.0)[2].vector == vector(carla=5)
    anna.hear("ben", digest("ben", rows=[row("carla", vector(carla=3), incarnation=2)]))
    assert anna.core.members(0.0)[2].vector == vector(carla=3)


def test_the_address_at_which_we_listen_is_told():
    anna = Replica(address="127.0.0.1:7")
    anna.core.address = "127.0.0.1:8"
    anna.do(anna.core.connected(0.0, "ben"))
    assert anna.messages(Digest)[0].own.address == "127.0.0.1:8"
