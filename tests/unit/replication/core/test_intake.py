"""What peers send is stored if it is the next; what cannot be taken is asked for again, or its sender's fault."""

import pytest

from replication.core.effects import Receive
from replication.core.messages import Acknowledgement, Cursor, Digest, Entries, Fence, SnapshotChunk
from replication.core.settings import Settings
from tests.unit.replication.core.replicas import Replica, digest, entries, entry, vector

UNORDERED = Settings(ordered=False)
SMALL = Settings(incoming_bytes=100)


def test_entries_are_stored_and_then_acknowledged():
    anna = Replica().meet("ben")
    anna.is_slow = True
    anna.hear("ben", Entries(entries("ben~1", 1, 3)))
    assert [type(persist) for persist in anna.waiting] == [Receive]
    assert anna.sent == []
    anna.store()
    assert anna.take_sent() == [("ben", Acknowledgement(vector(ben=3)))]


def test_a_duplicate_is_passed_over():
    anna = Replica().meet("ben")
    anna.hear("ben", Entries(entries("ben~1", 1, 2)), Entries(entries("ben~1", 1, 3)), Entries(entries("ben~1", 2, 3)))
    assert anna.held == vector(ben=3)
    assert anna.log.state.position == 3
    assert anna.refused == []


def test_a_duplicate_that_comes_while_the_first_is_on_its_way_to_the_disk_is_passed_over():
    anna = Replica().meet("ben").meet("carla")
    anna.is_slow = True
    anna.hear("ben", Entries(entries("ben~1", 1, 2))).hear("carla", Entries(entries("ben~1", 1, 2)))
    assert len(anna.waiting) == 1


def test_over_an_ordered_transport_a_gap_is_the_fault_of_its_sender():
    anna = Replica().meet("ben").hear("ben", Entries((entry("ben~1", 1), entry("ben~1", 3))))
    assert anna.refused == [("ben", "sent ben~1:3 where 2 was next")]
    assert anna.held == vector(ben=1)


def test_over_an_unordered_transport_a_gap_is_asked_for_at_once():
    anna = Replica(settings=UNORDERED).meet("ben").hear("ben", Entries((entry("ben~1", 2),)))
    (asked,) = anna.messages(Digest)
    assert (asked.beginning, asked.own.vector, anna.refused) == (1, vector(), [])


def test_nothing_is_taken_that_was_sent_before_its_sender_has_begun_again():
    """It might be the next of its log, and its past in what was not taken."""
    anna = Replica(settings=UNORDERED).meet("ben").hear("ben", Entries((entry("ben~1", 2),)))
    anna.hear("ben", Entries((entry("carla~1", 1),)))
    assert anna.held == vector()
    anna.hear("ben", Entries((*entries("ben~1", 1, 2), entry("carla~1", 1)), beginning=1))
    assert anna.held == vector(ben=2, carla=1)


def test_a_wish_to_begin_again_that_may_be_lost_is_repeated():
    anna = Replica(settings=UNORDERED).meet("ben").hear("ben", Entries((entry("ben~1", 2),)))
    anna.take_sent()
    anna.hear("ben", Entries((entry("ben~1", 3),)))
    assert [asked.beginning for asked in anna.messages(Digest)] == [1]


def test_an_acknowledgement_that_may_be_lost_is_repeated():
    anna = Replica(settings=UNORDERED).meet("ben").hear("ben", Entries(entries("ben~1", 1, 2)))
    anna.take_sent()
    anna.hear("ben", Entries(entries("ben~1", 1, 2)))
    assert anna.messages(Acknowledgement) == [Acknowledgement(vector(ben=2))]


def test_over_an_ordered_transport_acknowledgements_are_not_repeated():
    anna = Replica().meet("ben").hear("ben", Entries(entries("ben~1", 1, 2)))
    anna.take_sent()
    anna.hear("ben", Entries(entries("ben~1", 1, 2)))
    assert anna.sent == []


def test_what_waits_for_the_disk_is_bounded_and_the_rest_is_asked_for_when_it_is_done():
    anna = Replica(settings=SMALL).meet("ben").wait(0.0)
    anna.is_slow = True
    anna.hear("ben", Entries(entries("ben~1", 1, 9, size=60)))
    (receive,) = anna.waiting
    assert len(receive.entries) == 2  # one more than fits, so that a large one travels
    anna.hear("ben", Entries((entry("ben~1", 10),))).wait(2.0)
    assert len(anna.waiting) == 1
    anna.is_slow = False
    anna.store()
    anna.take_sent()
    anna.wait(1.0)
    assert [(asked.beginning, asked.own.vector) for asked in anna.messages(Digest)] == [(1, vector(ben=2))]
    assert anna.refused == []


def test_what_could_not_be_stored_is_asked_of_everybody_again():
    anna = Replica().meet("ben").meet("carla")
    anna.is_slow = True
    anna.hear("ben", Entries(entries("ben~1", 1, 2)))
    anna.fail()
    anna.is_slow = False
    anna.wait(1.0)
    assert {asked.beginning for asked in anna.messages(Digest)} == {1}
    anna.hear("carla", Entries(entries("ben~1", 1, 2), beginning=1))
    assert anna.held == vector(ben=2)


def test_a_gap_after_something_was_not_taken_is_not_the_fault_of_its_sender():
    anna = Replica().meet("ben")
    anna.is_slow = True
    anna.hear("ben", Entries(entries("ben~1", 1, 2)))
    anna.fail()
    anna.hear("ben", Entries(entries("ben~1", 3, 4), beginning=1))
    assert anna.refused == []
    assert anna.waiting == []


@pytest.mark.parametrize("settings", [None, UNORDERED])
def test_nothing_behind_a_fence_is_taken(settings):
    anna = (
        Replica(settings=settings).meet("ben").meet("carla", vector(ben=1)).hear("carla", Entries((entry("ben~1", 1),)))
    )
    anna.hear("carla", digest("carla", vector(ben=1), fences=[Fence("ben", vector(ben=2))]))
    anna.hear("carla", Entries(entries("ben~1", 2, 3)))
    assert anna.held == vector(ben=2)
    assert [peer for peer, _ in anna.refused] == ["ben"]


def test_what_fails_of_a_peer_does_not_end_a_snapshot_of_another():
    anna = Replica().meet("ben").meet("carla", vector(carla=5), floor=vector(carla=3))
    anna.hear("carla", digest("carla", vector(carla=5), floor=vector(carla=3)))
    anna.is_slow = True
    anna.hear("ben", Entries((entry("ben~1", 1),)))
    anna.fail()
    anna.is_slow = False
    anna.hear("carla", SnapshotChunk(Cursor(), vector(carla=5), (), (), None))
    assert anna.held == vector(carla=5)


def test_a_message_without_anything_in_it_does_no_harm():
    anna = Replica(settings=UNORDERED).meet("ben").hear("ben", Entries(()))
    assert (anna.held, anna.refused) == (vector(), [])
