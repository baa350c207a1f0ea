"""States for whoever lacks what the log no longer has: in chunks, resumably, and from anybody who can go on."""

from collections.abc import Callable

import pytest

from calliope.stores.replica_store import LogPage, StoredState
from calliope.stores.versioned import LogEntry
from replication.core.effects import Install, MergeStates, Read, Receive, Stage
from replication.core.messages import (
    Acknowledgement,
    Cursor,
    Digest,
    Entries,
    Heartbeat,
    Question,
    SnapshotChunk,
    SnapshotRequest,
)
from replication.core.settings import Settings
from tests.unit.replication.core.replicas import Replica, connect, converse, digest, disconnect, entry, vector

STATES = {key: StoredState(key, "gcounter", key.encode()) for key in ("a", "b", "c", "d", "e")}


def old(replica_id: str = "anna", settings: Settings | None = None) -> Replica:
    """A replica that has forgotten its operations 1 to 3, written between two events; its states contain them."""
    old = Replica(replica_id, settings=settings)
    old.write_event().write(2).write_event().write()
    old.states = dict(STATES)
    return old.compact(3)


def new(settings: Settings | None = None) -> Replica:
    return Replica("zoe", settings=settings)


def step(*replicas: Replica, steps: int) -> None:
    """Deliver so many messages."""
    converse(*replicas, steps=steps)


def step_until(one: Replica, other: Replica, has_come: Callable[[], bool]) -> None:
    """Deliver messages until something is so."""
    for _ in range(100):
        if has_come():
            return
        step(one, other, steps=1)
    raise AssertionError("it never came")


def assert_equal(one: Replica, other: Replica) -> None:
    assert one.held == other.held
    assert one.states == other.states
    assert events(one) == events(other)
    assert one.refused == other.refused == []


def events(replica: Replica) -> list[tuple[str, int]]:
    page = replica.log.page(vector(), 0, 1 << 30)
    return [(entry.log_id, entry.number) for entry in page.entries if entry.kind == "events"]


# From beginning to end ------------------------------------------------------------------------------------------------


def test_a_new_replica_takes_states_then_events_then_what_follows():
    anna, zoe = old(), new()
    connect(anna, zoe)
    converse(anna, zoe)
    assert_equal(anna, zoe)
    assert zoe.held == vector(anna=5)
    assert events(zoe) == [("anna~1", 1), ("anna~1", 4)]
    assert zoe.log.state.floor == vector(anna=5)
    anna.write()
    zoe.write()
    converse(anna, zoe)
    assert_equal(anna, zoe)


def test_a_replica_that_was_away_takes_them_as_well():
    anna, zoe = Replica(), new()
    connect(anna, zoe)
    anna.write_event().write()
    converse(anna, zoe)
    disconnect(anna, zoe)
    anna.write(4).write_event()
    anna.states = dict(STATES)
    anna.compact(5)
    zoe.write(2)
    connect(anna, zoe)
    converse(anna, zoe)
    assert_equal(anna, zoe)
    assert zoe.held == vector(anna=7, zoe=2)


def test_who_lacks_nothing_that_was_forgotten_asks_for_no_states():
    anna, zoe = old(), new()
    connect(anna, zoe)
    converse(anna, zoe)
    disconnect(anna, zoe)
    connect(anna, zoe)
    assert all(not isinstance(message, SnapshotRequest) for _, message in zoe.take_sent())


def test_states_come_in_chunks():
    anna, zoe = old(), new()
    connect(anna, zoe)
    counts = [
        len(persist.states)
        for persist in zoe.stored_while(lambda: converse(anna, zoe))
        if isinstance(persist, MergeStates)
    ]
    assert counts == [2, 2, 1]
    assert zoe.states == STATES


def test_nothing_is_handed_on_before_all_is_there():
    """What is written meanwhile may build on what only the states contain."""
    anna, zoe, ben = old(), new(), Replica("ben")
    connect(zoe, ben)
    converse(zoe, ben)
    connect(anna, zoe)
    for _ in range(30):
        if "bootstrap" in zoe.facts:
            assert not [message for peer, message in zoe.sent if peer == "ben" and isinstance(message, Entries)]
        step(anna, zoe, ben, steps=1)
    assert "bootstrap" not in zoe.facts
    assert zoe.held == vector(anna=5)
    converse(anna, zoe, ben)
    assert_equal(zoe, ben)


# Cut off --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(1, 16))
def test_a_snapshot_that_is_cut_off_goes_on_where_it_was(steps):
    anna, zoe = old(), new()
    connect(anna, zoe)
    step(anna, zoe, steps=steps)
    taken = set(zoe.states)
    disconnect(anna, zoe)
    anna.write()
    connect(anna, zoe)
    requests = [message for _, message in zoe.sent if isinstance(message, SnapshotRequest)]
    assert all(taken - {"a", "b"} <= {"c", "d", "e"} for _ in requests)
    converse(anna, zoe)
    assert_equal(anna, zoe)


@pytest.mark.parametrize("steps", range(1, 16))
def test_a_snapshot_goes_on_after_a_crash(steps):
    anna, zoe = old(), new()
    connect(anna, zoe)
    step(anna, zoe, steps=steps)
    disconnect(anna, zoe)
    zoe.start()
    connect(anna, zoe)
    converse(anna, zoe)
    assert_equal(anna, zoe)


def test_what_is_not_answered_is_asked_again():
    zoe = new().meet("anna", vector(anna=5))
    zoe.hear("anna", digest("anna", vector(anna=5), floor=vector(anna=3)))
    assert zoe.messages(SnapshotRequest) == [SnapshotRequest(Cursor())]
    zoe.wait(4.0)
    assert zoe.messages(SnapshotRequest) == []
    zoe.wait(2.0)
    assert zoe.messages(SnapshotRequest) == [SnapshotRequest(Cursor())]


def test_who_does_not_answer_is_not_waited_for_if_somebody_else_has_states():
    """It may be half through a snapshot itself, and wait for ours."""
    zoe = asking_one_of_two()
    zoe.wait(6.0)
    assert zoe.take_sent(SnapshotRequest) == [("ben", SnapshotRequest(Cursor()))]
    zoe.hear("ben", chunk(states=(STATES["a"],), following=Cursor("a")))
    assert zoe.take_sent(SnapshotRequest) == [("ben", SnapshotRequest(Cursor("a"), CUT))]
    zoe.wait(6.0)
    assert zoe.take_sent(SnapshotRequest) == [("anna", SnapshotRequest(Cursor("a"), CUT))]
    zoe.wait(6.0)
    assert zoe.take_sent(SnapshotRequest) == [("ben", SnapshotRequest(Cursor("a"), CUT))]
    zoe.hear("ben", chunk(Cursor("a"), following=Cursor(None, 0))).hear("ben", chunk(Cursor(None, 0)))
    assert (zoe.held, "bootstrap" in zoe.facts) == (vector(anna=5), False)


def test_a_late_answer_counts_though_somebody_else_was_asked_meanwhile():
    zoe = asking_one_of_two()
    zoe.wait(6.0)
    zoe.take_sent()
    zoe.hear("anna", chunk(states=(STATES["a"],), following=Cursor("a")))
    zoe.hear("ben", chunk(states=(STATES["b"],), following=Cursor("b")))
    assert staged(zoe) == ["a"]
    assert zoe.take_sent(SnapshotRequest) == [("anna", SnapshotRequest(Cursor("a"), CUT))]


def test_who_lacks_the_cut_is_not_asked_to_go_on():
    zoe = asking()
    zoe.meet("carla", vector(anna=4), floor=vector(anna=3))
    zoe.hear("anna", chunk(states=(STATES["a"],), following=Cursor("a")))
    zoe.take_sent()
    zoe.wait(6.0)
    assert zoe.take_sent(SnapshotRequest) == [("anna", SnapshotRequest(Cursor("a"), CUT))]


def test_only_who_gave_a_page_of_events_is_asked_for_the_next():
    zoe = asking_one_of_two()
    zoe.hear("anna", chunk(following=Cursor(None, 0)))
    zoe.hear("anna", chunk(Cursor(None, 0), entries=(entry("anna~1", 1, "events"),), following=Cursor(None, 2)))
    assert zoe.take_sent(SnapshotRequest)[-1] == ("anna", SnapshotRequest(Cursor(None, 2), CUT, vector(anna=1)))
    zoe.hear("ben", chunk(Cursor(None, 2), following=None))
    zoe.wait(6.0)
    assert zoe.take_sent(SnapshotRequest) == [("ben", SnapshotRequest(Cursor(None, 0), CUT, vector(anna=1)))]


def asking_one_of_two() -> Replica:
    """A replica that has asked anna for states, and could as well have asked ben."""
    zoe = new().meet("anna", vector(anna=5), floor=vector(anna=3))
    return zoe.meet("ben", vector(anna=5), floor=vector(anna=3))


@pytest.mark.parametrize("kind", [Stage, MergeStates, Receive, Install])
def test_what_could_not_be_stored_of_a_snapshot_is_begun_again_where_it_was_cut_off(kind):
    anna, zoe = old(), new()
    connect(anna, zoe)
    zoe.is_slow = True
    for _ in range(50):
        zoe.store_until(kind)
        if zoe.waiting:
            break
        step(anna, zoe, steps=1)
    assert isinstance(zoe.waiting[0], kind)
    zoe.fail()
    zoe.is_slow = False
    zoe.wait(1.0)
    converse(anna, zoe)
    assert_equal(anna, zoe)


# Answers that are none ------------------------------------------------------------------------------------------------


def asking() -> Replica:
    """A replica that has asked anna for states."""
    zoe = new().meet("anna", vector(anna=5), floor=vector(anna=3))
    zoe.meet("ben")
    return zoe


BEGINNING, CUT = Cursor(), vector(anna=5)


def chunk(cursor=BEGINNING, cut=CUT, states=(), entries=(), following=None, reach=CUT) -> SnapshotChunk:
    return SnapshotChunk(cursor, cut, tuple(states), tuple(entries), following, reach)


def staged(replica: Replica) -> list[str]:
    """Return the keys whose states are staged, and not merged."""
    assert replica.states == {}
    return [state.key for part in replica.parts.values() for state in part.states]


def test_a_chunk_that_nobody_asked_for_is_passed_over():
    zoe = asking()
    states = (STATES["a"],)
    zoe.hear("ben", chunk(states=states)).hear("anna", chunk(Cursor("q"), states=states))
    assert (zoe.parts, zoe.refused) == ({}, [])
    zoe.hear("anna", chunk(states=states, following=Cursor("a")))
    zoe.hear("anna", chunk(Cursor("a"), vector(anna=6), states=(STATES["b"],)))
    zoe.hear("anna", chunk(states=(STATES["c"],)))
    assert (staged(zoe), zoe.refused) == (["a"], [])
    assert new().meet("anna").hear("anna", chunk(states=states)).parts == {}


def test_a_chunk_that_comes_twice_is_stored_once():
    zoe = asking()
    zoe.is_slow = True
    zoe.hear("anna", *[chunk(states=(STATES["a"],), following=Cursor("a"))] * 2)
    assert [type(persist) for persist in zoe.waiting].count(Stage) == 1


WRONG = LogEntry("anna~1", 1, "events", 0, b"")


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (chunk(cut=vector(zoe=1)), "zoe~1 has a number that was never written"),
        (chunk(entries=(WRONG,)), "with a wrong checksum"),
        (chunk(reach=vector(zoe=1)), "zoe~1 has a number that was never written"),
        (chunk(entries=(entry("anna~1", 7, "events"),)), "sent anna~1:7 outside of its snapshot"),
        (chunk(entries=(entry("anna~1", 2, "operations"),)), "sent anna~1:2 outside of its snapshot"),
    ],
    ids=["our future", "wrong checksum", "our future in states", "a gap", "operations"],
)
def test_a_chunk_that_lies_costs_its_sender_the_connection_and_us_nothing(lie, why):
    zoe = asking().hear("anna", lie)
    ((peer, reason),) = zoe.refused
    assert peer == "anna"
    assert why in reason
    assert (zoe.parts, zoe.states, zoe.held, "bootstrap" in zoe.facts) == ({}, {}, vector(), False)


def test_an_empty_snapshot_is_installed_at_once():
    zoe = asking().hear("anna", chunk())
    assert zoe.held == vector(anna=5)
    assert "bootstrap" not in zoe.facts


# Who is asked ---------------------------------------------------------------------------------------------------------


def test_a_request_is_answered_only_when_it_is_known_what_the_peer_holds():
    """In an unordered network it may overtake the first digest, and what is known is of an earlier life."""
    anna = old()
    anna.do(anna.core.connected(0.0, "zoe"))
    anna.take_sent()
    anna.hear("zoe", SnapshotRequest(Cursor()))
    assert anna.take_sent() == []
    anna.hear("zoe", digest("zoe"), SnapshotRequest(Cursor()))
    assert len(anna.take_sent(SnapshotChunk)) == 1


def test_a_cut_that_is_not_held_is_not_answered():
    anna = old().meet("zoe").hear("zoe", SnapshotRequest(Cursor("c"), vector(anna=6)))
    assert anna.sent == []


def test_entries_that_states_do_not_contain_are_given_and_none_that_the_peer_has():
    anna = old().meet("zoe")
    anna.hear("zoe", SnapshotRequest(Cursor(None, 0), vector(anna=4), vector(anna=1)))
    (given,) = anna.messages(SnapshotChunk)
    assert [sent.number for sent in given.entries] == [4, 5]
    assert given.following is None


def test_events_come_in_pages():
    anna = Replica(settings=Settings(batch_bytes=50))
    anna.write_event().write().write_event().write_event()
    anna.compact(2)
    anna.meet("zoe").hear("zoe", SnapshotRequest(Cursor(None, 0), vector(anna=4)))
    (first,) = anna.messages(SnapshotChunk)
    assert ([sent.number for sent in first.entries], first.following) == ([1], Cursor(None, 2))


def test_a_request_that_is_repeated_while_events_are_read_is_answered_by_events_only():
    """The second page must not be taken for one of the ordinary exchange: what it holds may lack its past."""
    anna = old().meet("zoe")
    page = LogPage([entry("anna~1", 4, "events")], 5, 5)
    first, second = (Read("zoe", vector(), 0, 1_000, _epoch(anna), for_snapshot=True) for _ in range(2))
    anna.hear("zoe", SnapshotRequest(Cursor(None, 0), vector(anna=5)))
    anna.take_sent()
    anna.do(anna.core.loaded(0.0, first, page))
    anna.do(anna.core.loaded(0.0, second, page))
    assert {type(message) for _, message in anna.take_sent()} == {SnapshotChunk}


def _epoch(replica: Replica) -> int:
    """Return the name of a replica's only connection, as a read would bear it."""
    (link,) = replica.core._parts.neighbours
    return link.epoch


def test_a_snapshot_that_is_installed_makes_everybody_begin_again():
    zoe = asking()
    zoe.take_sent()
    zoe.hear("anna", chunk())
    assert {(message.beginning, message.own.vector) for message in zoe.messages(Digest)} == {(1, vector(anna=5))}
    assert zoe.wait(0.0).take_sent(Heartbeat) != []


def test_how_far_a_snapshot_has_come_is_remembered_again_if_it_could_not_be():
    zoe = asking()
    zoe.is_slow = True
    zoe.hear("anna", chunk(states=(STATES["a"],), following=Cursor("a")))
    remember = zoe.waiting.pop(0)
    zoe.do(zoe.core.failed(0.0, remember))
    zoe.is_slow = False
    zoe.store()
    assert "bootstrap" not in zoe.facts
    zoe.wait(0.0)
    assert "bootstrap" in zoe.facts


def test_an_acknowledgement_may_lift_a_peer_over_the_floor():
    anna = old().meet("zoe")
    assert anna.take_sent(Entries) == []
    anna.hear("zoe", Acknowledgement(vector(anna=4)))
    (message,) = anna.messages(Entries)
    assert [sent.number for sent in message.entries] == [5]


def test_a_question_may_lift_a_peer_over_the_floor():
    anna = old().meet("zoe").hear("zoe", Question("zoe", 1, vector(anna=4)))
    (message,) = anna.messages(Entries)
    assert [sent.number for sent in message.entries] == [5]


def test_a_snapshot_whose_last_chunk_is_on_its_way_to_the_disk_is_not_asked_for_again():
    zoe = asking()
    zoe.is_slow = True
    zoe.hear("anna", chunk(states=(STATES["a"],)))
    zoe.take_sent()
    zoe.wait(20.0)
    assert zoe.messages(SnapshotRequest) == []
