"""Later words replace earlier ones, also after a restart or when a disk went back in time."""

from replication.core.messages import Claim, Digest, Introduction
from replication.core.roster import INCARNATION_MAX
from replication.core.settings import Settings
from tests.unit.replication.core.replicas import Replica, Told, connect, converse, digest, disconnect, vector


def spoken(replica: Replica, peer: str = "ben") -> int:
    """Return the incarnation in which a replica speaks to a peer first."""
    replica.do(replica.core.connected(replica.now, peer))
    (said,) = replica.messages(Digest, peer)
    return said.own.incarnation


def test_each_start_counts_durably():
    anna = Replica()
    assert anna.facts["incarnation"] == b"1"
    anna.start()
    assert anna.facts["incarnation"] == b"2"


def test_what_is_said_after_a_start_is_later_than_what_was_said_before():
    anna = Replica()
    said = [spoken(anna, peer) for peer in ("ben", "carla")]
    anna.start()
    said += [spoken(anna, peer) for peer in ("ben", "carla")]
    assert said == [1, 1, 2, 2]


def test_a_word_of_ours_that_we_cannot_have_said_is_outdone_durably():
    anna = Replica().meet("ben").hear_of("ben", Told("anna", incarnation=7))
    assert anna.facts["incarnation"] == b"8"
    assert spoken(anna, "carla") == 8


def test_whoever_says_that_we_hold_what_we_do_not_is_outdone_and_told_at_the_next_round():
    anna = Replica().meet("ben", vector(ben=1))
    of_us = Claim(vector(ben=1), anna.bits("anna"))
    anna.hear("ben", digest("ben", vector(ben=1), rosters=anna.rosters, claims=[of_us]))
    assert anna.facts["incarnation"] == b"2"
    assert {message.own.incarnation for message in anna.wait(0.6).messages(Digest, "ben")} == {2}


def test_a_word_that_we_have_said_is_not_outdone():
    anna = Replica().meet("ben").write().hear_of("ben", Told("anna", vector(anna=1)))
    assert anna.facts["incarnation"] == b"1"


def test_an_incarnation_that_nobody_can_reach_is_not_outdone():
    anna = Replica().meet("ben").hear_of("ben", Told("anna", incarnation=INCARNATION_MAX + 1))
    assert anna.facts["incarnation"] == b"1"


def test_a_peer_that_speaks_in_an_earlier_incarnation_is_told_the_later_one_until_it_outdoes_it():
    anna = Replica().meet("ben").hear_of("ben", Told("ben", incarnation=7))
    anna.hear("ben", digest("ben")).wait(1.2)
    assert {told for message in anna.messages(Digest, "ben") for told in message.introductions} == {
        Introduction("ben", 7, "")
    }
    anna.hear("ben", digest("ben", incarnation=8)).wait(1.2)
    assert not any(message.introductions for message in anna.messages(Digest, "ben"))


def test_a_peer_is_told_what_others_say_that_it_holds_and_it_does_not_say_itself():
    anna = Replica().meet("ben", vector(ben=1)).meet("carla").hear_of("carla", Told("ben", vector(ben=5)))
    assert anna.core.members(0.0)[1].vector == vector(ben=1)
    anna.hear("ben", digest("ben", vector(ben=1), rosters=anna.rosters)).wait(0.6)
    told = [claim for message in anna.messages(Digest, "ben") for claim in message.claims]
    assert told == [Claim(vector(ben=5), anna.bits("ben"))]


def test_an_incarnation_that_nobody_can_reach_silences_nobody():
    anna = Replica().meet("ben").hear_of("ben", Told("carla", incarnation=INCARNATION_MAX + 1))
    anna.hear_of("ben", Told("dora", incarnation=INCARNATION_MAX))
    anna.meet("carla", vector(carla=1)).meet("dora", vector(dora=1), incarnation=INCARNATION_MAX + 1)
    assert [member.vector for member in anna.core.members(0.0)[2:]] == [vector(carla=1), vector(dora=1)]


def test_what_a_peer_is_said_to_hold_is_told_once_more_when_it_has_our_roster():
    anna = Replica().meet("ben", vector(ben=1)).meet("carla").hear_of("carla", Told("ben", vector(ben=5)))
    anna.hear("ben", digest("ben", vector(ben=1), rosters=(anna.rosters[0], 7))).wait(0.6)
    anna.take_sent()
    anna.hear("ben", digest("ben", vector(ben=1), rosters=anna.rosters)).wait(0.6)
    assert anna.messages(Digest, "ben")[0].claims == (Claim(vector(ben=5), anna.bits("ben")),)
    anna.hear("ben", digest("ben", vector(ben=1), rosters=anna.rosters, incarnation=2)).wait(1.2)
    assert not any(message.claims for message in anna.messages(Digest, "ben"))


def test_a_peer_that_says_less_than_was_told_of_it_before_it_came_is_told_what_that_is():
    anna = Replica().meet("carla").hear_of("carla", Told("ben", vector(carla=5))).meet("ben", vector(carla=1))
    anna.hear("ben", digest("ben", vector(carla=1), rosters=anna.rosters)).wait(0.6)
    assert anna.messages(Digest, "ben")[0].claims == (Claim(vector(carla=5), anna.bits("ben")),)


def test_two_replicas_of_which_one_went_back_agree_again():
    anna, ben, carla = Replica("anna"), Replica("ben"), Replica("carla")
    ben.start()
    connect(anna, ben)
    connect(ben, carla)
    for _ in range(8):
        for replica in (anna, ben, carla):
            replica.wait(0.6)
        converse(anna, ben, carla)
    ben.facts["incarnation"] = b"0"  # an old backup
    disconnect(anna, ben)
    disconnect(ben, carla)
    ben.start()
    assert ben.facts["incarnation"] == b"1"
    connect(anna, ben)
    connect(ben, carla)
    for _ in range(8):
        for replica in (anna, ben, carla):
            replica.wait(0.6)
        converse(anna, ben, carla)
    assert ben.facts["incarnation"] == b"3"
    assert anna.rosters == ben.rosters == carla.rosters


def test_a_peer_that_went_back_is_believed_on_its_own_connection():
    anna = Replica().meet("ben", vector(ben=5))
    anna.hear("ben", digest("ben", vector(ben=2)))
    assert anna.core.members(0.0)[1].vector == vector(ben=2)


def test_an_earlier_word_that_comes_through_others_is_not_believed():
    anna = Replica().meet("ben").hear_of("ben", Told("carla", vector(carla=5)))
    anna.hear_of("ben", Told("carla", vector(carla=2)))
    assert anna.core.members(0.0)[2].vector == vector(carla=5)
    anna.hear_of("ben", Told("carla", vector(carla=3), incarnation=2))
    assert anna.core.members(0.0)[2].vector == vector(carla=3)


def test_the_address_at_which_we_listen_is_told():
    anna = Replica(address="127.0.0.1:7")
    anna.core.address = "127.0.0.1:8"
    anna.do(anna.core.connected(0.0, "ben"))
    assert anna.messages(Digest)[0].own.address == "127.0.0.1:8"


def test_what_was_said_of_an_earlier_incarnation_and_was_overtaken_is_not_believed():
    anna = Replica(settings=Settings(ordered=False)).meet("ben").hear_of("ben", Told("carla", vector(carla=5)))
    late = digest("ben", rosters=anna.rosters, claims=[Claim(vector(carla=5), anna.bits("carla"))])
    anna.hear_of("ben", Told("carla", vector(carla=2), incarnation=2)).hear("ben", late)
    assert anna.core.members(0.0)[2].vector == vector(carla=2)
