"""Peers are sent what they lack, in our log order, in batches and within a window, and nothing twice without need."""

import pytest

from replication.core.effects import Read
from replication.core.messages import Acknowledgement, Entries, Fence
from replication.core.settings import Settings
from tests.unit.replication.core.replicas import Replica, converse, digest, entries, entry, vector

BODY = len(entry("anna~1", 1).body)


def names(messages: list[Entries]) -> list[list[str]]:
    return [[f"{sent.log_id}:{sent.number}" for sent in message.entries] for message in messages]


def sent(replica: Replica, peer: str) -> list[list[str]]:
    return names(replica.messages(Entries, peer))


def test_what_becomes_durable_is_sent_at_once():
    anna = Replica().meet("ben").write()
    assert sent(anna, "ben") == [["anna~1:1"]]


def test_nothing_is_sent_before_it_is_durable():
    anna = Replica().meet("ben")
    anna.is_slow = True
    anna.write()
    assert anna.sent == []
    anna.store()
    assert sent(anna, "ben") == [["anna~1:1"]]


def test_nothing_is_sent_to_a_peer_before_it_has_said_what_it_holds():
    anna = Replica().write(2)
    anna.do(anna.core.connected(0.0, "ben"))
    assert sent(anna, "ben") == []
    anna.hear("ben", digest("ben", vector(anna=1)))
    assert sent(anna, "ben") == [["anna~1:2"]]


def test_a_peer_that_comes_late_is_sent_all_that_it_lacks_in_our_log_order():
    anna = Replica().write().meet("ben").hear("ben", Entries((entry("ben~1", 1),))).write()
    anna.do(anna.core.connected(0.0, "carla"))
    anna.take_sent()
    anna.hear("carla", digest("carla"))
    assert sent(anna, "carla") == [["anna~1:1", "ben~1:1", "anna~1:2"]]


def test_entries_of_others_are_handed_on_but_not_to_whoever_sent_them():
    anna = Replica().meet("ben").meet("carla").hear("ben", Entries((entry("dora~1", 1),)))
    assert [(peer, names([message])) for peer, message in anna.take_sent(Entries)] == [("carla", [["dora~1:1"]])]


def test_batches_are_bounded_in_bytes():
    anna = Replica(settings=Settings(batch_bytes=3 * BODY)).write(7)
    anna.do(anna.core.connected(0.0, "ben"))
    anna.hear("ben", digest("ben"))
    assert [len(batch) for batch in sent(anna, "ben")] == [3, 3, 1]


def test_a_single_entry_larger_than_a_batch_and_a_window_still_travels():
    anna = Replica(settings=Settings(batch_bytes=100, window_bytes=200)).meet("ben").write(size=5_000)
    assert sent(anna, "ben") == [["anna~1:1"]]


def test_what_is_on_its_way_to_a_peer_is_bounded_until_it_acknowledges():
    anna = Replica(settings=Settings(window_bytes=2 * BODY)).meet("ben").write(5)
    assert sent(anna, "ben") == [["anna~1:1"], ["anna~1:2"]]
    anna.hear("ben", Acknowledgement(vector(anna=1)))
    assert sent(anna, "ben") == [["anna~1:3"]]
    anna.hear("ben", Acknowledgement(vector(anna=3)))
    assert sent(anna, "ben") == [["anna~1:4", "anna~1:5"]]


def test_one_slow_peer_does_not_hold_up_another():
    anna = Replica(settings=Settings(window_bytes=BODY)).meet("ben").meet("carla").write()
    anna.hear("carla", Acknowledgement(vector(anna=1)))
    anna.take_sent()
    anna.write()
    assert [peer for peer, _ in anna.take_sent(Entries)] == ["carla"]


def test_an_acknowledgement_stands_for_all_before_it():
    anna = Replica(settings=Settings(window_bytes=3 * BODY)).meet("ben").write(3)
    anna.take_sent()
    anna.hear("ben", Acknowledgement(vector(anna=3))).write(3)
    assert sent(anna, "ben") == [["anna~1:4"], ["anna~1:5"], ["anna~1:6"]]


def test_over_an_unordered_transport_one_batch_is_on_its_way_at_a_time():
    anna = Replica(settings=Settings(ordered=False)).meet("ben").write(3)
    assert sent(anna, "ben") == [["anna~1:1"]]
    anna.hear("ben", Acknowledgement(vector(anna=1)))
    assert sent(anna, "ben") == [["anna~1:2", "anna~1:3"]]


def test_what_a_peer_has_sent_us_meanwhile_is_not_sent_back():
    anna = Replica().meet("ben")
    anna.hear("ben", Entries(entries("ben~1", 1, 2)))
    anna.do(anna.core.connected(0.0, "carla"))
    (link,) = [link for link in anna.core._parts.neighbours if link.peer == "carla"]
    read = Read("carla", vector(), 0, 1_000, link.epoch)
    page = anna.log.page(vector(), 0, 1_000)
    anna.hear("carla", Entries(entries("ben~1", 1, 1)))
    anna.take_sent()
    anna.do(anna.core.loaded(0.0, read, page))
    assert sent(anna, "carla") == [["ben~1:2"]]


def test_what_was_forgotten_between_reading_and_sending_is_not_jumped_over():
    anna = Replica().meet("ben").write(3)
    anna.take_sent()
    anna.log.forget_operations(2)
    anna.hear("ben", digest("ben", beginning=1))
    assert sent(anna, "ben") == []
    anna.core.compacted(anna.log.state.floor)
    anna.hear("ben", Acknowledgement(vector(anna=2)))
    anna.wait(3.0)
    assert sent(anna, "ben") == [["anna~1:3"]]


# What a nearer one sends ----------------------------------------------------------------------------------------------


@pytest.fixture
def anna() -> Replica:
    """Connected with ben and carla, who are connected with one another and alive."""
    anna = Replica().meet("ben", neighbours=["anna", "carla"]).meet("carla", neighbours=["anna", "ben"])
    return anna.wait(0.5)


def test_what_its_writer_sends_itself_is_passed_over(anna):
    anna.take_sent()
    anna.hear("ben", Entries((entry("ben~1", 1),)))
    assert anna.take_sent(Entries) == []


def test_what_was_passed_over_is_sent_before_anything_that_follows_it(anna):
    """It may be the past of what follows."""
    anna.hear("ben", Entries((entry("ben~1", 1),)))
    anna.take_sent()
    anna.write()
    assert sent(anna, "carla") == [["ben~1:1", "anna~1:1"]]


def test_what_was_passed_over_is_sent_when_it_does_not_arrive_otherwise(anna):
    anna.hear("ben", Entries((entry("ben~1", 1),)))
    anna.take_sent()
    anna.wait(2.0)
    assert sent(anna, "carla") == [["ben~1:1"]]
    anna.hear("ben", Entries((entry("ben~1", 2),)))
    assert sent(anna, "carla") == [["ben~1:2"]]  # nothing is left to others any more


def test_when_a_peer_has_caught_up_others_are_relied_upon_again(anna):
    anna.hear("ben", Entries((entry("ben~1", 1),))).wait(2.0)
    anna.hear("carla", Acknowledgement(vector(ben=1))).wait(1.0)
    anna.take_sent()
    anna.hear("ben", Entries((entry("ben~1", 2),)))
    assert anna.take_sent(Entries) == []


def test_what_was_passed_over_and_has_arrived_is_not_sent(anna):
    anna.hear("ben", Entries((entry("ben~1", 1),))).hear("carla", Acknowledgement(vector(ben=1)))
    anna.take_sent()
    anna.wait(3.0).write()
    assert sent(anna, "carla") == [["anna~1:1"]]


def test_a_writer_that_is_silent_is_not_relied_upon(anna):
    anna.wait(4.0).hear("carla", digest("carla", neighbours=["anna", "ben"])).meet("dora")
    anna.hear("dora", Entries((entry("ben~1", 1),)))
    assert sent(anna, "carla") == [["ben~1:1"]]


def test_of_a_long_log_what_precedes_its_tail_is_not_passed_over():
    anna = Replica(settings=Settings(batch_bytes=BODY))
    anna.meet("ben", neighbours=["anna", "carla"]).hear("ben", Entries(entries("ben~1", 1, 3)))
    anna.meet("carla", neighbours=["anna", "ben"])
    anna.hear("carla", digest("carla", beginning=1, neighbours=["anna", "ben"]))
    assert sent(anna, "carla") == [["ben~1:1"], ["ben~1:2"]]


# What is lost ---------------------------------------------------------------------------------------------------------


def test_what_is_not_acknowledged_in_time_is_sent_again():
    anna = Replica().meet("ben").write()
    assert sent(anna, "ben") == [["anna~1:1"]]
    anna.wait(4.0)
    assert sent(anna, "ben") == []
    anna.wait(3.0)
    assert sent(anna, "ben") == [["anna~1:1"]]


def test_a_peer_that_asks_to_begin_again_is_sent_all_that_it_lacks():
    anna = Replica().meet("ben").write(2)
    anna.take_sent()
    anna.hear("ben", digest("ben", vector(anna=1), beginning=1))
    (message,) = anna.messages(Entries)
    assert (names([message]), message.beginning) == ([["anna~1:2"]], 1)


def test_the_same_digest_twice_does_not_begin_again_twice():
    anna = Replica().meet("ben").write(2)
    again = digest("ben", beginning=1)
    anna.take_sent()
    anna.hear("ben", again, again)
    assert sent(anna, "ben") == [["anna~1:1", "anna~1:2"]]


def test_a_page_that_was_read_before_a_new_beginning_is_not_sent():
    anna = Replica().meet("ben").write(2)
    anna.take_sent()
    page = anna.log.page(vector(), 0, 1_000)
    anna.do(anna.core.loaded(0.0, Read("ben", vector(), 0, 1_000, epoch=0), page))
    anna.do(anna.core.loaded(0.0, Read("nobody", vector(), 0, 1_000, epoch=0), page))
    assert anna.sent == []


def test_a_removed_replica_sends_nothing_any_more():
    anna = Replica().meet("ben")
    anna.hear("ben", digest("ben", fences=[Fence("anna", vector())])).write()
    assert anna.core.is_removed
    assert sent(anna, "ben") == []


def test_a_peer_behind_the_floor_is_sent_no_entries_that_lack_their_past():
    anna = Replica().write(3).compact(2)
    anna.do(anna.core.connected(0.0, "ben"))
    anna.hear("ben", digest("ben"))
    assert sent(anna, "ben") == []
    anna.hear("ben", Acknowledgement(vector(anna=2)), digest("ben", vector(anna=2)))
    assert sent(anna, "ben") == [["anna~1:3"]]


def test_three_in_a_line_come_to_hold_the_same():
    anna, ben, carla = Replica("anna"), Replica("ben"), Replica("carla")
    for one, other in ((anna, ben), (ben, carla)):
        one.do(one.core.connected(0.0, other.replica_id))
        other.do(other.core.connected(0.0, one.replica_id))
    converse(anna, ben, carla)
    anna.write(3)
    carla.write(2)
    converse(anna, ben, carla)
    assert anna.held == ben.held == carla.held == vector(anna=3, carla=2)


def test_a_page_that_was_asked_for_before_operations_were_dropped_is_not_sent():
    anna = Replica().meet("carla").hear("carla", Entries((entry("carla~1", 1),))).write()
    anna.core.connected(0.0, "ben")
    (read,) = anna.core.receive(0.0, "ben", digest("ben")).read
    anna.compact(1)
    page = anna.log.page(read.have, read.after, read.bytes_max)
    assert [f"{read.log_id}:{read.number}" for read in page.entries] == ["anna~1:1"]  # what came before it is gone
    assert anna.core.loaded(0.0, read, page).send == []
