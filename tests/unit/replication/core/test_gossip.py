"""Peers are told what is new to them, and otherwise only that we are alive."""

import pytest
from msgspec.structs import replace

from crdts import VersionVector
from replication.core.holdings import fingerprint
from replication.core.messages import Acknowledgement, Claim, Digest, Entries, Fence, Heard, Heartbeat, Introduction
from replication.core.settings import Settings
from replication.wire import encode
from tests.unit.replication.core.replicas import Replica, Told, digest, entry, vector


def told(replica: Replica, peer: str = "ben") -> list[type]:
    return [type(message) for receiver, message in replica.take_sent() if receiver == peer]


def test_where_nothing_is_new_a_heartbeat_is_sent():
    anna = Replica().meet("ben").wait(0.0)
    assert told(anna) == [Heartbeat]


def test_a_heartbeat_has_the_fingerprint_of_what_we_hold():
    anna = Replica().write().meet("ben", vector(anna=1)).wait(0.6)
    assert anna.messages(Heartbeat)[0].fingerprint == fingerprint(vector(anna=1))


def test_what_has_grown_is_told_by_the_next_digest_once():
    anna = Replica().meet("ben").write()
    anna.take_sent()
    anna.wait(0.6)
    assert told(anna) == [Digest, Heartbeat]


def test_a_heartbeat_that_does_not_fit_what_we_know_is_answered_by_a_question():
    anna = Replica().meet("ben", vector(ben=1))
    anna.hear("ben", Heartbeat(fingerprint(vector(ben=1))))
    assert anna.sent == []
    anna.hear("ben", Heartbeat(fingerprint(vector(ben=2))))
    assert [message.asks for message in anna.messages(Digest)] == [True]


def test_a_heartbeat_before_the_first_digest_is_answered_by_a_question():
    anna = Replica()
    anna.do(anna.core.connected(0.0, "ben"))
    anna.take_sent()
    anna.hear("ben", Heartbeat(fingerprint(vector())))
    assert [message.asks for message in anna.messages(Digest)] == [True]


def test_who_asks_is_answered_and_who_does_not_is_not():
    anna = Replica().meet("ben")
    anna.hear("ben", digest("ben"))
    assert anna.sent == []
    anna.hear("ben", digest("ben", asks=True))
    assert [message.asks for message in anna.messages(Digest)] == [False]


def test_fingerprints_do_not_depend_on_the_sequence_of_logs():
    one, other = VersionVector({"a~1": 1, "b~1": 2}), VersionVector({"b~1": 2, "a~1": 1})
    assert fingerprint(one) == fingerprint(other) != fingerprint(vector(a=1, b=3))


def test_an_acknowledgement_names_only_what_has_grown():
    anna = Replica().write().meet("ben", vector(anna=1)).hear("ben", Entries((entry("ben~1", 1),)))
    assert anna.messages(Acknowledgement) == [Acknowledgement(vector(ben=1))]


def test_where_messages_are_lost_it_names_everything():
    anna = Replica(settings=Settings(ordered=False)).write().meet("ben", vector(anna=1))
    anna.hear("ben", Entries((entry("ben~1", 1),)))
    assert anna.messages(Acknowledgement) == [Acknowledgement(vector(anna=1, ben=1))]


def test_nothing_is_acknowledged_before_the_first_digest_of_a_peer():
    anna = Replica()
    anna.do(anna.core.connected(0.0, "ben"))
    anna.take_sent()
    anna.hear("ben", Entries((entry("ben~1", 1),)))
    assert (anna.held, anna.sent) == (vector(ben=1), [])


def test_before_its_time_a_round_does_nothing():
    anna = Replica().meet("ben").wait(0.1)
    anna.take_sent()
    anna.do(anna.core.tick(anna.now))
    assert anna.sent == []


# What others have said ------------------------------------------------------------------------------------------------


def introduced(replica: Replica, peer: str = "ben") -> list[str]:
    """Return who was introduced to a peer."""
    return [told.replica_id for message in replica.messages(Digest, peer) for told in message.introductions]


def claimed(replica: Replica, peer: str = "ben") -> list[tuple[str, VersionVector]]:
    """Return what a peer was told that members hold."""
    return [
        (name, claim.vector)
        for message in replica.messages(Digest, peer)
        for claim in message.claims
        for name in replica.named(claim.members)
    ]


def agree(replica: Replica, *peers: str, **more: object) -> Replica:
    """Have peers say that they have the replica's roster by now."""
    for peer in peers:
        replica.hear(peer, digest(peer, rosters=replica.rosters, **more))
    replica.take_sent()
    return replica


def test_whoever_is_new_is_introduced_to_all_others_at_once_and_once():
    anna = Replica().meet("ben")
    anna.do(anna.core.connected(0.0, "carla"))
    anna.take_sent()
    anna.hear("carla", digest("carla"))
    assert introduced(anna) == ["carla"]
    anna.hear("carla", digest("carla", vector(carla=1))).wait(2.0)
    assert introduced(anna) == []


def test_of_several_who_are_new_one_after_the_other_the_later_wait_for_a_round():
    anna = Replica().meet("ben")
    for peer in ("carla", "dora", "emil"):
        anna.do(anna.core.connected(0.0, peer))
        anna.hear(peer, digest(peer))
    assert introduced(anna) == ["carla"]
    anna.wait(1.2)
    assert introduced(anna) == ["dora", "emil"]


def test_who_introduced_somebody_is_not_introduced_to_him_and_others_are():
    anna = Replica().meet("ben").meet("dora").hear_of("ben", Told("carla"))
    anna.wait(1.2)
    assert {peer for peer, message in anna.take_sent(Digest) if message.introductions} == {"dora"}


def test_a_new_start_is_introduced():
    anna = Replica().meet("ben").meet("carla").wait(1.2)
    anna.take_sent()
    anna.hear("carla", digest("carla", incarnation=2))
    assert introduced(anna) == ["carla"]


def test_what_members_hold_is_told_to_who_does_not_hear_them_itself_and_only_when_it_changes():
    anna = agree(Replica().meet("ben").meet("carla").meet("dora"), "ben", neighbours=["anna", "carla"])
    for peer in ("carla", "dora"):
        anna.hear(peer, digest(peer, vector(dora=1)))
    assert claimed(anna.wait(1.2)) == [("dora", vector(dora=1))]
    anna.hear("dora", digest("dora", vector(dora=1)))
    assert claimed(anna.wait(1.2)) == []
    anna.hear("dora", digest("dora", vector(dora=2)))
    assert claimed(anna.wait(1.2)) == [("dora", vector(dora=2))]


def test_members_that_hold_the_same_are_told_together():
    peers = ["carla", "dora", "emil"]
    anna = Replica().meet("ben")
    for peer in peers:
        anna.meet(peer, vector(carla=1))
    (message,) = [m for m in agree(anna, "ben").wait(1.2).messages(Digest, "ben") if m.claims]
    ((claim),) = message.claims
    assert (claim.vector, anna.named(claim.members)) == (vector(carla=1), peers)


def test_nothing_is_told_by_numbers_while_a_peer_has_another_roster():
    anna = Replica().meet("ben").meet("carla", vector(carla=1)).wait(1.2)
    assert claimed(anna) == []
    anna.hear("ben", Heartbeat(0, *anna.rosters)).wait(1.2)
    assert claimed(anna) == [("carla", vector(carla=1))]


def test_what_is_told_by_other_numbers_is_not_believed():
    anna = Replica().meet("ben").meet("carla").meet("dora")
    told = {"claims": [Claim(vector(dora=1), anna.bits("dora"))], "heard": [Heard(0.0, anna.bits("dora"))]}
    others = anna.rosters[0] + 1, anna.rosters[1] + 1
    anna.now = 60.0
    anna.hear("ben", digest("ben", rosters=others, **told), Heartbeat(0, *others, told["heard"]))
    dora = anna.core.members(60.0)[-1]
    assert (dora.vector, dora.age_seconds) == (vector(), 60.0)


def test_who_told_what_a_member_holds_is_not_told_the_same_again_and_others_are():
    anna = agree(Replica().meet("ben").meet("dora").hear_of("ben", Told("carla")), "ben", "dora")
    anna.hear_of("ben", Told("carla", vector(carla=1))).wait(1.2)
    assert {(peer) for peer, message in anna.take_sent(Digest) if message.claims} == {"dora"}


def test_who_told_what_a_member_holds_is_told_when_it_comes_back():
    anna = Replica().meet("ben").hear_of("ben", Told("carla", vector(carla=1)))
    anna.do(anna.core.disconnected(anna.now, "ben"))
    anna.do(anna.core.connected(anna.now, "ben"))
    agree(anna, "ben").wait(1.2)
    assert claimed(anna) == [("carla", vector(carla=1))]


def test_a_peer_that_loses_a_neighbour_is_told_of_it():
    anna = agree(Replica().meet("ben").meet("dora", vector(dora=1)), "ben", neighbours=["anna", "dora"]).wait(1.2)
    assert claimed(anna) == []
    anna.hear("ben", digest("ben", rosters=anna.rosters, neighbours=["anna"])).wait(1.2)
    assert claimed(anna) == [("dora", vector(dora=1))]


def test_the_introductions_of_a_digest_are_bounded_and_the_rest_follows():
    anna = Replica(settings=Settings(introductions_max=2)).meet("ben").wait(0.6)
    anna.hear("ben", digest("ben", introductions=[Introduction(name, 1, "") for name in ("carla", "dora")]))
    others = [Introduction(name, 1, "") for name in ("emil", "frida", "gustav")]
    anna.hear("ben", digest("ben", introductions=others)).take_sent()
    anna.do(anna.core.connected(0.6, "hanna"))
    anna.hear("hanna", digest("hanna")).wait(2.5)
    counts = [len(message.introductions) for message in anna.messages(Digest, "hanna")]
    assert max(counts) == 2
    assert len(anna.core.members(0.0)) == 7  # gustav was beyond what is taken of one digest


def test_the_claims_of_a_digest_are_bounded_and_the_rest_follows():
    anna = Replica(settings=Settings(claims_max=1)).meet("ben")
    for number, peer in enumerate(["carla", "dora", "emil"], 1):
        anna.meet(peer, vector(carla=number))
    messages = agree(anna, "ben").wait(3.0).messages(Digest, "ben")
    assert [len(message.claims) for message in messages] == [1, 1, 1]
    assert {claim.vector for message in messages for claim in message.claims} == {vector(carla=n) for n in (1, 2, 3)}


def heard(replica: Replica, message: Digest | Heartbeat) -> dict[str, float]:
    """Return how long ago a message says that members were heard."""
    return {name: told.age_seconds for told in reversed(message.heard) for name in replica.named(told.members)}


def test_what_is_told_keeps_its_age():
    anna = Replica().meet("ben").hear_of("ben", Told("carla", age=2.5))
    anna.now = 0.25
    anna.do(anna.core.connected(0.25, "dora"))
    (message,) = anna.messages(Digest, "dora")
    assert heard(anna, message) == {"ben": 0.25, "carla": 2.75}


def test_heartbeats_tell_how_long_others_were_silent():
    anna = agree(Replica().meet("ben").meet("dora"), "ben").wait(1.2)
    anna.take_sent()
    anna.wait(0.6)
    assert heard(anna, anna.messages(Heartbeat, "ben")[-1]) == {"dora": pytest.approx(anna.now, abs=0.6)}


def test_who_was_heard_is_told_no_more_often_than_it_is_told_apart():
    settings = Settings(gossip_interval_seconds=0.1, suspect_after_seconds=16.0, dead_after_seconds=32.0)
    anna = agree(Replica(settings=settings).meet("ben").meet("dora"), "ben")
    told = [message for message in anna.wait(5.0).messages(Heartbeat, "ben") if message.heard]
    assert 3 <= len(told) <= 6


def test_a_member_that_was_not_heard_since_our_start_is_told_by_its_name():
    anna = Replica().meet("ben")
    anna.start()
    anna.do(anna.core.connected(0.0, "carla"))
    (message,) = anna.messages(Digest)
    assert [(told.replica_id, told.incarnation) for told in message.introductions] == [("ben", 0)]
    carla = Replica("carla")
    carla.do(carla.core.connected(0.0, "anna"))
    carla.hear("anna", message)
    assert [(member.replica_id, member.state) for member in carla.core.members(0.0)[1:]] == [
        ("anna", "alive"),
        ("ben", "suspect"),
    ]


def test_fences_are_told_to_everybody():
    anna = Replica().meet("ben").meet("carla")
    anna.do(anna.core.remove(0.0, "carla"))
    (message,) = anna.messages(Digest, "ben")
    assert message.fences == (Fence("carla", vector()),)


# Whom, and when -------------------------------------------------------------------------------------------------------


def test_each_round_goes_to_a_few_peers_and_to_everybody_before_he_doubts_us():
    anna = Replica(settings=Settings(fanout=2, gossip_interval_seconds=1.0, suspect_after_seconds=12.0))
    peers = [f"peer{number}" for number in range(8)]
    for peer in peers:
        anna.meet(peer)
    heard = {peer for peer, _ in anna.wait(0.5).take_sent()}
    assert len(heard) == 2
    heard |= {peer for peer, _ in anna.wait(3.4).take_sent()}
    assert heard == set(peers)


def test_what_is_sent_while_idle_is_small():
    """Five replicas, connected each with each: less than 1 kB a second each."""
    anna = Replica().write()
    held = vector(anna=1, ben=9, carla=9, dora=9, emil=9)
    peers = ["ben", "carla", "dora", "emil"]
    for peer in peers:
        anna.meet(peer, vector(anna=1), neighbours=["anna", *(other for other in peers if other != peer)])
    anna._add([entry(f"{peer}~1", number) for peer in peers for number in range(1, 10)])
    for peer in peers:
        anna.hear(peer, digest(peer, held, neighbours=["anna", *peers]))
    anna.wait(5.0)
    anna.take_sent()
    anna.wait(20.0)
    messages = [message for _, message in anna.take_sent()]
    assert {type(message) for message in messages} == {Heartbeat}
    assert sum(len(encode(message)) for message in messages) < 20 * 200


def test_where_messages_are_lost_everything_is_told_again_from_time_to_time():
    anna = Replica(settings=Settings(ordered=False)).meet("ben").meet("dora", vector(dora=1)).wait(0.6)
    agree(anna, "ben").wait(1.2)
    assert claimed(anna) == [("dora", vector(dora=1))]
    assert claimed(anna.wait(7.0)) == [("dora", vector(dora=1))]


def test_nothing_is_told_again_before_all_was_told_once():
    settings = Settings(ordered=False, introductions_max=1, resend_after_seconds=0.1)
    anna = Replica(settings=settings).meet("ben")
    for peer in ("carla", "dora", "emil", "frida"):
        anna.meet(peer)
    anna.wait(6.0)
    assert {"dora", "emil", "frida"} <= set(introduced(anna))


def test_who_introduced_somebody_and_comes_back_is_introduced_to_him_again():
    anna = Replica().meet("ben").hear_of("ben", Told("carla"))
    anna.do(anna.core.disconnected(anna.now, "ben"))
    anna.take_sent()
    anna.do(anna.core.connected(anna.now, "ben"))
    assert introduced(anna) == ["carla"]


def test_what_a_peer_knows_is_noted_only_while_somebody_is_known_to_hold_it():
    anna = Replica(settings=Settings(claims_max=4)).meet("ben").meet("carla")
    for number in range(1, 50):  # carla says herself what she holds
        claims = [Claim(vector(dora=number), anna.bits("carla")), Claim(vector(emil=number), b"")]
        anna.hear("ben", digest("ben", rosters=anna.rosters, claims=claims))
    assert len(anna.core._parts.neighbours.get("ben").knows) < 10


def test_an_address_that_becomes_known_later_is_told_to_those_who_know_the_member():
    anna = agree(Replica().meet("ben").meet("carla"), "ben")
    told = digest("carla")
    anna.hear("carla", replace(told, own=replace(told.own, address="127.0.0.1:7")))
    assert introduced(anna.wait(1.2)) == ["carla"]
    assert introduced(anna.wait(1.2)) == []
