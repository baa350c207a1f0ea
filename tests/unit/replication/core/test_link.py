"""What is known of one connected peer."""

from replication.core.link import Link
from tests.unit.replication.core.replicas import entries, vector


def test_what_arrives_makes_room_on_the_way():
    link = Link("ben", 1)
    first, second = list(entries("anna~1", 1, 2)), list(entries("anna~1", 3, 3))
    link.send(first, 1.0)
    link.send(second, 2.0)
    assert link.oldest_sent_at == 1.0
    link.hold(vector(anna=1))
    assert link.oldest_sent_at == 1.0
    link.hold(vector(anna=2))
    assert (link.oldest_sent_at, link.byte_count) == (2.0, len(second[0].body))
    link.hold(vector(anna=3))
    assert (link.oldest_sent_at, link.byte_count) == (None, 0)


def test_a_new_beginning_forgets_what_was_on_its_way():
    link = Link("ben", 1, reading=True, fetching=True, cursor=7)
    link.send(list(entries("anna~1", 1, 2)), 1.0)
    link.begin(vector(anna=1), 2)
    assert (link.epoch, link.have, link.cursor, link.byte_count) == (2, vector(anna=1), 0, 0)
    assert not link.reading
    assert not link.fetching


def test_the_cursor_moves_as_far_as_the_peer_holds_our_log():
    link = Link("ben", 1)
    link.move(5, vector(anna=5))
    assert (link.cursor, link.mark) == (0, (5, vector(anna=5)))  # it held nothing then
    link.move(7, vector(anna=7))
    assert link.cursor == 0
    link.hold(vector(anna=6))
    link.move(9, vector(anna=9))
    assert link.cursor == 5
    link.hold(vector(anna=10))
    link.move(10, vector(anna=10))
    assert (link.cursor, link.looked) == (10, 10)


def test_what_a_peer_has_sent_it_has():
    link = Link("ben", 1)
    link.has("ben~1", 3)
    link.has("ben~1", 2)
    assert link.have == vector(ben=3)
    assert link.said == vector()


def test_looking_again_keeps_what_is_on_its_way():
    link = Link("ben", 1, cursor=2, looked=9, passed_over=True)
    link.send(list(entries("anna~1", 1, 2)), 1.0)
    before = link.byte_count
    link.look_again()
    assert (link.looked, link.passed_over, link.eager, link.byte_count) == (2, False, True, before)
