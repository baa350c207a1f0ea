"""Who belongs to the cluster, who is silent, and who was removed for ever."""

import pytest

from replication.core import members
from replication.core.effects import MemberChanged, Remember
from replication.core.members import Members
from replication.core.messages import Claim, Digest, Entries, Fence, Heard, Heartbeat, Introduction
from replication.core.settings import Settings
from tests.unit.replication.core.replicas import Replica, Told, digest, entries, entry, vector


def states(replica: Replica) -> dict[str, str]:
    return {member.replica_id: member.state for member in replica.core.members(replica.now)}


def test_we_are_the_first_of_all_that_are_known():
    anna = Replica(address="127.0.0.1:7").write()
    (ourselves,) = anna.core.members(0.0)
    assert (ourselves.replica_id, ourselves.state, ourselves.address) == ("anna", "alive", "127.0.0.1:7")
    assert (ourselves.vector, ourselves.age_seconds, ourselves.lag) == (vector(anna=1), 0.0, 0)


def test_a_member_that_is_heard_is_alive_at_once():
    anna = Replica().meet("ben")
    assert states(anna)["ben"] == "alive"
    assert anna.announced == [MemberChanged("ben", "alive")]


def test_a_member_that_was_not_heard_yet_is_suspect():
    anna = Replica()
    anna.do(anna.core.connected(0.0, "ben"))
    assert states(anna)["ben"] == "suspect"


def test_a_silent_member_is_suspect_then_dead_and_alive_again_when_it_is_heard():
    anna = Replica().meet("ben").wait(3.6)
    assert states(anna)["ben"] == "suspect"
    anna.wait(7.0)
    assert states(anna)["ben"] == "dead"
    anna.hear("ben", Heartbeat(0))
    assert states(anna)["ben"] == "alive"
    assert [change.state for change in anna.announced] == ["alive", "suspect", "dead", "alive"]


def test_nothing_is_known_of_a_stranger_of_whom_anything_is_told():
    members = Members("anna", Settings())
    members.hear("ben", 1.0)
    members.hear_of([Heard(1.0, b"\xff")], 2.0)
    members.believe(Claim(vector(anna=1), b"\xff"), 0)
    members.say(digest("ben").own, 1.0)
    assert ("ben" in members, members.judge(100.0), members.holders("anna~1", 1)) == (False, [], set())


def test_a_member_that_others_hear_is_alive():
    anna = Replica().meet("ben").hear_of("ben", Told("carla", age=1.0)).wait(0.1)
    assert states(anna)["carla"] == "alive"
    anna.wait(1.8)
    carla, all_bits = anna.bits("carla"), b"\xff" * 9
    anna.hear("ben", Heartbeat(0, *anna.rosters, (Heard(0.1, carla),))).wait(2.0)
    assert states(anna)["carla"] == "alive"
    anna.hear("ben", Heartbeat(0, *anna.rosters, (Heard(60.0, all_bits),))).wait(2.0)
    assert states(anna) == {"anna": "alive", "ben": "alive", "carla": "suspect"}


def test_what_passes_through_others_does_not_become_younger():
    anna = Replica().meet("ben").hear_of("ben", Told("carla", age=20.0)).wait(0.1)
    assert states(anna)["carla"] == "dead"
    assert anna.core.members(anna.now)[2].age_seconds == pytest.approx(20.1)


def test_how_far_a_member_is_behind_is_known():
    anna = Replica().write(3).meet("ben", vector(anna=1, ben=4))
    assert anna.core.members(0.0)[1].lag == 2


def test_members_and_their_addresses_are_known_again_after_a_restart():
    anna = Replica().meet("ben")
    anna.start()
    assert states(anna) == {"anna": "alive", "ben": "suspect"}
    assert anna.core.member_count == 2


def test_more_replicas_may_be_expected_than_are_known():
    assert Replica(expected=5).meet("ben").core.member_count == 5


# Removal --------------------------------------------------------------------------------------------------------------


def test_a_removed_replica_is_no_member_and_is_refused():
    anna = Replica().meet("ben").meet("carla")
    anna.do(anna.core.remove(0.0, "ben"))
    assert states(anna) == {"anna": "alive", "carla": "alive", "ben": "removed"}
    assert anna.core.member_count == 2
    assert MemberChanged("ben", "removed") in anna.announced
    assert anna.refused == [("ben", "'ben' was removed from the cluster")]
    anna.hear("ben", Entries((entry("ben~1", 1),)))
    anna.do(anna.core.connected(0.0, "ben"))
    assert len(anna.refused) == 3
    assert anna.held == vector()


def test_a_removal_is_told_at_once():
    anna = Replica().meet("ben").meet("carla")
    anna.do(anna.core.remove(0.0, "ben"))
    assert [message.fences for message in anna.messages(Digest, "carla")] == [(Fence("ben", vector()),)]


def test_a_removal_survives_a_restart():
    anna = Replica().meet("ben")
    anna.hear("ben", Entries((entry("ben~1", 1),)))
    anna.do(anna.core.remove(0.0, "ben"))
    anna.start()
    assert states(anna) == {"anna": "alive", "ben": "removed"}
    assert anna.core.members(0.0)[1].vector == vector(ben=1)


def test_what_survivors_hold_of_a_removed_replica_is_taken_and_nothing_beyond():
    anna = Replica().meet("ben").meet("carla", vector(ben=3)).hear("ben", Entries((entry("ben~1", 1),)))
    anna.hear("carla", digest("carla", vector(ben=3), fences=[Fence("ben", vector(ben=3))]))
    assert states(anna)["ben"] == "removed"
    anna.hear("carla", Entries(entries("ben~1", 2, 4)))
    assert anna.held == vector(ben=3)
    assert [peer for peer, _ in anna.refused] == ["ben"]


def test_a_fence_is_raised_by_what_is_known_on_both_sides():
    anna = Replica().meet("ben").meet("carla").hear("ben", Entries(entries("ben~1", 1, 2)))
    anna.do(anna.core.remove(0.0, "ben"))
    anna.take_sent()
    anna.hear("carla", digest("carla", fences=[Fence("ben", vector(ben=1))])).wait(0.6)
    assert [message.fences for message in anna.messages(Digest, "carla")] == []
    anna.hear("carla", digest("carla", vector(ben=5), fences=[Fence("ben", vector(ben=5))])).wait(0.6)
    assert [message.fences for message in anna.messages(Digest, "carla")] == [(Fence("ben", vector(ben=5)),)]


def test_what_was_on_its_way_to_the_disk_when_its_writer_was_removed_counts():
    anna = Replica().meet("ben").meet("carla")
    anna.is_slow = True
    anna.hear("ben", Entries((entry("ben~1", 1),)))
    anna.do(anna.core.remove(0.0, "ben"))
    anna.is_slow = False
    anna.store()
    assert anna.core.members(0.0)[-1].vector == vector(ben=1)


def test_a_peer_that_tells_of_its_own_removal_is_refused():
    anna = Replica().meet("ben")
    anna.hear("ben", digest("ben", fences=[Fence("ben", vector())], asks=True))
    assert anna.refused == [("ben", "'ben' was removed from the cluster")]


def test_a_removed_replica_does_not_come_back_through_others():
    anna = Replica().meet("ben").meet("carla")
    anna.do(anna.core.remove(0.0, "ben"))
    anna.hear_of("carla", Told("ben"))
    assert states(anna)["ben"] == "removed"


@pytest.mark.parametrize(("whom", "why"), [("anna", "this replica itself"), ("nobody", "no member of the cluster")])
def test_only_another_member_can_be_removed(whom, why):
    anna = Replica().meet("ben")
    with pytest.raises(ValueError, match=why):
        anna.core.remove(0.0, whom)
    assert states(anna) == {"anna": "alive", "ben": "alive"}


def test_a_removed_replica_learns_of_it():
    anna = Replica().meet("ben")
    anna.hear("ben", digest("ben", fences=[Fence("anna", vector())]))
    assert anna.core.is_removed


# Connections ----------------------------------------------------------------------------------------------------------


def test_a_peer_must_not_speak_as_somebody_else():
    anna = Replica().meet("ben").hear("ben", digest("carla", vector(carla=9)))
    assert anna.refused == [("ben", "speaks as 'carla'")]
    assert "carla" not in states(anna)


def test_what_comes_from_a_peer_that_is_not_connected_is_passed_over():
    anna = Replica().meet("ben")
    anna.do(anna.core.disconnected(0.0, "ben"))
    anna.take_sent()
    anna.hear("ben", Entries((entry("ben~1", 1),)), digest("ben", asks=True))
    assert (anna.held, anna.sent, anna.refused) == (vector(), [], [])


def test_who_is_connected_is_told():
    anna = Replica().meet("carla").meet("ben")
    anna.do(anna.core.connected(0.0, "dora"))
    assert anna.messages(Digest, "dora")[0].neighbours == ("ben", "carla", "dora")
    anna.do(anna.core.disconnected(0.0, "carla"))
    anna.wait(0.0)
    assert anna.messages(Digest, "ben")[0].neighbours == ("ben", "dora")


# Facts ----------------------------------------------------------------------------------------------------------------


def test_members_and_fences_that_could_not_be_remembered_are_remembered_at_the_next_round():
    anna = Replica().meet("carla")
    anna.is_slow = True
    anna.meet("ben")
    anna.do(anna.core.remove(0.0, "carla"))
    anna.fail()
    anna.is_slow = False
    anna.wait(0.0)
    anna.start()
    assert states(anna) == {"anna": "alive", "ben": "suspect", "carla": "removed"}


def test_many_new_members_of_one_digest_are_remembered_together():
    anna = Replica().meet("ben")
    digests = digest("ben", introductions=[Introduction(name, 1, "") for name in ("carla", "dora", "emil")])
    stored = anna.stored_while(lambda: anna.hear("ben", digests))
    assert [persist.name for persist in stored if isinstance(persist, Remember)] == ["members"]


def test_a_start_that_could_not_be_counted_does_no_harm():
    anna = Replica()
    anna.is_slow = True
    anna.do(anna.core.start(0.0))
    anna.fail()
    anna.is_slow = False
    assert anna.wait(1.0).facts["incarnation"] == b"1"


def test_nobody_is_taken_in_by_anothers_word_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(members, "INTRODUCED_MAX", 2)
    anna = Replica().meet("ben").hear_of("ben", Told("carla"))
    anna.hear("ben", digest("ben", introductions=[Introduction("dora", 1, "")]))
    assert len(anna.core.members(0.0)) == 3
    anna.meet("dora")
    assert len(anna.core.members(0.0)) == 4
