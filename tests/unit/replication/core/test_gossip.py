"""Peers are told what is new to them, and otherwise only that we are alive."""

import pytest

from crdts import VersionVector
from replication.core.holdings import fingerprint
from replication.core.messages import Acknowledgement, Digest, Entries, Fence, Heartbeat, Row
from replication.core.settings import Settings
from replication.wire import encode
from tests.unit.replication.core.replicas import Replica, digest, entry, row, vector


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
    anna.hear("ben", digest("ben", sequence=2))
    assert anna.sent == []
    anna.hear("ben", digest("ben", sequence=3, asks=True))
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


def rows(replica: Replica, peer: str = "ben") -> list[str]:
    return [row.replica_id for message in replica.messages(Digest, peer) for row in message.rows]


def test_a_peer_is_told_of_those_it_is_not_connected_with():
    anna = Replica().meet("ben", neighbours=["anna", "carla"]).meet("carla").meet("dora").wait(1.2)
    assert rows(anna) == ["dora"]


def test_rows_are_told_again_only_when_they_change():
    anna = Replica().meet("ben").meet("dora").wait(1.2)
    assert rows(anna) == ["dora"]
    anna.wait(1.2).hear("dora", digest("dora", sequence=2)).wait(1.2)
    assert rows(anna) == []
    anna.hear("dora", digest("dora", vector(dora=1), sequence=3)).wait(1.2)
    assert rows(anna) == ["dora"]


def test_who_told_of_a_member_is_not_told_the_same_again_and_others_are():
    anna = Replica().meet("ben").meet("dora")
    anna.hear("ben", digest("ben", rows=[row("carla", vector(carla=1))], sequence=2)).wait(1.0)
    assert {(peer, told.replica_id) for peer, told in rows_sent(anna) if told.replica_id == "carla"} == {
        ("dora", "carla")
    }
    anna.hear("dora", digest("dora", rows=[row("carla", vector(carla=2), sequence=2)], sequence=2)).wait(1.0)
    assert {(peer, told.vector) for peer, told in rows_sent(anna)} == {("ben", vector(carla=2))}


def test_who_told_of_a_member_is_told_of_it_when_it_comes_back():
    anna = Replica().meet("ben", rows=[row("carla", vector(carla=1))])
    anna.do(anna.core.disconnected(anna.now, "ben"))
    anna.meet("dora").do(anna.core.connected(anna.now, "ben"))
    assert ("ben", "carla") in {(peer, told.replica_id) for peer, told in rows_sent(anna)}


def rows_sent(replica: Replica) -> list[tuple[str, Row]]:
    """Return the rows that were told to whom."""
    return [(peer, told) for peer, message in replica.take_sent(Digest) for told in message.rows]


def test_a_peer_that_loses_a_neighbour_is_told_of_it():
    anna = Replica().meet("ben", neighbours=["anna", "dora"]).meet("dora").wait(1.2)
    anna.take_sent()
    anna.hear("ben", digest("ben", neighbours=["anna"], sequence=2)).wait(0.6)
    assert rows(anna) == ["dora"]


def test_the_rows_of_a_digest_are_bounded_and_the_rest_follows():
    anna = Replica(settings=Settings(rows_max=2)).meet("ben").wait(0.6)
    anna.take_sent()
    anna.hear("ben", digest("ben", rows=[row("carla"), row("dora")], sequence=2))
    anna.hear("ben", digest("ben", rows=[row("emil"), row("frida"), row("gustav")], sequence=3))
    anna.meet("hanna").wait(1.7)
    counts = [len(message.rows) for message in anna.messages(Digest, "hanna")]
    assert max(counts) == 2
    assert len(anna.core.members(0.0)) == 7  # gustav was beyond what is taken of one digest


def test_what_is_told_keeps_its_age():
    anna = Replica().meet("ben", rows=[row("carla", age=5.0)])
    anna.now = 2.0
    anna.do(anna.core.connected(2.0, "dora"))
    (message,) = anna.messages(Digest, "dora")
    ages = {row.replica_id: row.age_seconds for row in message.rows}
    assert ages == {"ben": 2.0, "carla": 7.0}


def test_heartbeats_tell_how_long_others_were_silent():
    anna = Replica().meet("ben").meet("dora").wait(1.2)
    anna.take_sent()
    anna.wait(0.6)
    ((replica_id, age),) = anna.messages(Heartbeat, "ben")[-1].ages
    assert (replica_id, age) == ("dora", pytest.approx(anna.now, abs=0.6))


def test_ages_are_bounded_and_others_follow_the_next_time():
    anna = Replica(settings=Settings(ages_max=2)).meet("ben").meet("carla").meet("dora").meet("emil").wait(2.0)
    anna.take_sent()
    anna.wait(2.0)
    ages = [{name for name, _ in message.ages} for message in anna.messages(Heartbeat, "ben")]
    assert max(map(len, ages)) == 2
    assert set().union(*ages) == {"carla", "dora", "emil"}


def test_a_member_that_was_not_heard_since_our_start_is_told_by_its_name():
    anna = Replica().meet("ben")
    anna.start()
    anna.do(anna.core.connected(0.0, "carla"))
    (message,) = anna.messages(Digest)
    assert [(told.replica_id, told.incarnation) for told in message.rows] == [("ben", 0)]
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
        anna.hear(peer, digest(peer, held, neighbours=["anna", *peers], sequence=2))
    anna.wait(5.0)
    anna.take_sent()
    anna.wait(20.0)
    messages = [message for _, message in anna.take_sent()]
    assert {type(message) for message in messages} == {Heartbeat}
    assert sum(len(encode(message)) for message in messages) < 20 * 200


def test_where_messages_are_lost_everything_is_told_again_from_time_to_time():
    anna = Replica(settings=Settings(ordered=False)).meet("ben").meet("dora").wait(1.2)
    assert rows(anna) == ["dora"]
    anna.wait(12.0)
    assert rows(anna) == ["dora", "dora"]


def test_nothing_is_told_again_before_all_was_told_once():
    settings = Settings(ordered=False, rows_max=1, resend_after_seconds=0.1)
    anna = Replica(settings=settings).meet("ben")
    for peer in ("carla", "dora", "emil", "frida"):
        anna.meet(peer)
    anna.wait(6.0)
    assert {"carla", "dora", "emil", "frida"} <= set(rows(anna))
