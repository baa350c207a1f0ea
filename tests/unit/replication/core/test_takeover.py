"""A snapshot is staged apart from all else, left without a trace if nobody can complete it, and then made ours."""

import pytest

from calliope.stores.replica_store import LogPage
from crdts import VersionVector
from replication.core.effects import Install, MergeStates, Read, ReadStates, Remember, Stage
from replication.core.messages import Cursor, Digest, Entries, Fence, SnapshotChunk, SnapshotRequest
from tests.unit.replication.core.replicas import Replica, connect, converse, digest, disconnect, entry, vector
from tests.unit.replication.core.test_snapshots import (
    CUT,
    STATES,
    asking,
    assert_equal,
    chunk,
    new,
    old,
    staged,
    step_until,
)

ALL_STATES = Cursor(None, 0)


def half_through() -> Replica:
    """A replica that has staged a state of anna's, and knows ben, who forgot nothing."""
    return asking().hear("anna", chunk(states=(STATES["a"],), following=Cursor("a")))


def in_the_middle_of_it() -> Replica:
    """A replica that has staged a whole snapshot, and has made nothing of it ours yet."""
    zoe = half_through()
    zoe.is_slow = True
    zoe.hear("anna", chunk(Cursor("a"), states=(STATES["b"],), following=ALL_STATES))
    zoe.store_until(MergeStates)
    zoe.hear("anna", chunk(ALL_STATES, entries=(entry("anna~1", 4, "events"),)))
    zoe.store_until(MergeStates)
    assert isinstance(zoe.waiting[0], MergeStates)
    return zoe


def test_while_it_is_made_ours_nothing_else_is_taken_and_all_begin_again_after_it():
    """What states contain would come after what was written after them, and be handed on in that order."""
    zoe = in_the_middle_of_it()
    zoe.take_sent()
    zoe.hear("ben", Entries((entry("ben~1", 1),)))
    zoe.is_slow = False
    zoe.store()
    assert zoe.held["anna~1"] >= 4
    assert zoe.held["ben~1"] == 0
    beginning = max(message.beginning for message in zoe.messages(Digest, "ben"))
    zoe.hear("ben", Entries((entry("ben~1", 1),), beginning))
    assert zoe.held["ben~1"] == 1


# Staging --------------------------------------------------------------------------------------------------------------


def test_states_are_ours_only_when_all_of_them_have_come():
    anna, zoe = old(), new()
    connect(anna, zoe)
    step_until(anna, zoe, lambda: len(zoe.parts) == 3)
    assert (zoe.states, zoe.held) == ({}, vector())
    converse(anna, zoe)
    assert_equal(anna, zoe)
    zoe.wait(1.0)
    assert (zoe.parts, "bootstrap" in zoe.facts) == ({}, False)


def test_who_is_half_through_a_snapshot_hands_on_what_it_writes_and_gives_snapshots():
    zoe = half_through()
    zoe.take_sent()
    zoe.write()
    assert [[sent.number for sent in message.entries] for message in zoe.messages(Entries, "ben")] == [[1]]
    zoe.hear("ben", SnapshotRequest(Cursor()))
    assert [given.states for given in zoe.messages(SnapshotChunk)] == [()]


def test_after_a_crash_what_is_staged_is_not_asked_for_again():
    anna, zoe = old(), new()
    connect(anna, zoe)
    step_until(anna, zoe, lambda: len(zoe.parts) == 2)
    disconnect(anna, zoe)
    zoe.start()
    zoe.meet("ben").do(zoe.core.connected(0.0, "anna"))
    zoe.hear("anna", digest("anna", vector(anna=5), floor=vector(anna=3)))
    assert zoe.messages(SnapshotRequest) == [SnapshotRequest(Cursor("b"), vector(anna=5))]


def test_operations_after_the_cut_that_states_contain_come_as_entries():
    zoe = asking()
    zoe.hear("anna", chunk(states=(STATES["a"],), following=ALL_STATES, reach=vector(anna=6)))
    zoe.hear("anna", chunk(ALL_STATES))
    assert (staged(zoe), zoe.held) == (["a"], vector())
    zoe.hear("anna", digest("anna", vector(anna=6), floor=vector(anna=3)))
    zoe.wait(1.0)
    assert zoe.messages(SnapshotRequest)[-1] == SnapshotRequest(ALL_STATES, CUT)
    zoe.hear("anna", chunk(ALL_STATES, entries=(entry("anna~1", 6),)))
    assert (zoe.held, zoe.states) == (vector(anna=6), {"a": STATES["a"]})


def test_an_entry_that_came_in_another_way_is_not_staged():
    zoe = asking()
    zoe.hear("anna", chunk(states=(STATES["a"],), following=ALL_STATES))
    zoe.hear("ben", Entries((entry("anna~1", 1, "events"),)))
    given = (entry("anna~1", 1, "events"), entry("anna~1", 2, "events"))
    zoe.hear("anna", chunk(ALL_STATES, entries=given, following=Cursor(None, 2)))
    assert [sent.number for sent in zoe.parts[2].entries] == [2]


def test_a_peer_that_cannot_go_on_is_asked_to_begin_once_nothing_has_come_for_a_while():
    zoe = half_through()
    zoe.do(zoe.core.disconnected(zoe.now, "anna"))
    zoe.meet("carla", vector(anna=4), floor=vector(anna=3))
    zoe.wait(4.0)
    assert zoe.take_sent(SnapshotRequest) == []
    zoe.wait(2.0)
    assert zoe.take_sent(SnapshotRequest) == [("carla", SnapshotRequest(Cursor()))]
    assert "bootstrap" not in zoe.facts
    zoe.hear("carla", chunk(cut=vector(anna=4), states=(STATES["c"],), reach=vector(anna=4)))
    assert (zoe.states, zoe.held) == ({"c": STATES["c"]}, vector(anna=4))


def test_a_peer_that_has_forgotten_operations_after_the_cut_cannot_go_on():
    zoe = half_through()
    zoe.do(zoe.core.disconnected(zoe.now, "anna"))
    zoe.meet("carla", vector(anna=9), floor=vector(anna=6))
    zoe.wait(6.0)
    assert zoe.take_sent(SnapshotRequest) == [("carla", SnapshotRequest(Cursor()))]


def test_what_reaches_beyond_the_fence_of_a_removed_replica_is_dropped():
    """Nobody who stays will ever take it: it would be in our states, and nowhere else."""
    zoe = asking()
    zoe.hear("anna", chunk(states=(STATES["a"],), following=Cursor("a"), reach=vector(anna=5, carla=2)))
    zoe.do(zoe.core.disconnected(zoe.now, "anna"))
    zoe.meet("ben", fences=[Fence("carla", vector(carla=1))])
    zoe.wait(1.0)
    assert ("bootstrap" in zoe.facts, zoe.wait(1.0).parts) == (False, {})


@pytest.mark.parametrize(
    "beyond", [chunk(reach=vector(anna=5, carla=2)), chunk(entries=(entry("carla~1", 1, "events"),))]
)
def test_what_reaches_beyond_a_fence_is_not_taken(beyond):
    zoe = asking()
    zoe.hear("ben", digest("ben", fences=[Fence("carla", vector())]))
    zoe.hear("anna", beyond)
    assert (zoe.parts, zoe.held, zoe.refused) == ({}, vector(), [])


def test_a_snapshot_whose_cut_came_in_another_way_is_forgotten():
    zoe = half_through()
    zoe.do(zoe.core.disconnected(zoe.now, "anna"))
    zoe.wait(1.0)
    assert "bootstrap" in zoe.facts
    zoe.hear("ben", Entries(tuple(entry("anna~1", number) for number in range(1, 6))))
    zoe.wait(2.0)
    assert (zoe.parts, "bootstrap" in zoe.facts) == ({}, False)


def test_a_chunk_on_its_way_to_the_disk_outlives_its_connection_and_another_peer_goes_on():
    zoe = asking()
    zoe.is_slow = True
    zoe.hear("anna", chunk(states=(STATES["a"],), following=Cursor("a")))
    zoe.do(zoe.core.disconnected(0.0, "anna"))
    zoe.is_slow = False
    zoe.store()
    assert staged(zoe) == ["a"]
    assert zoe.messages(SnapshotRequest) == []
    zoe.meet("ben", vector(anna=5))
    zoe.hear("ben", digest("ben", vector(anna=5), floor=vector(anna=3)))
    assert zoe.messages(SnapshotRequest, "ben") == [SnapshotRequest(Cursor("a"), vector(anna=5))]


def test_a_peer_is_told_how_far_parts_reach_and_does_not_write_those_numbers_again():
    zoe = half_through()
    (told,) = {message.staged for message in zoe.wait(1.0).messages(Digest)}
    assert told == CUT
    anna = Replica()
    anna.write(4)
    anna.facts["members"] = b"\x81\xa3zoe\xa0"
    anna.start()
    anna.do(anna.core.connected(0.0, "zoe"))
    said = digest("zoe", vector(anna=4))
    anna.hear("zoe", Digest(said.own, said.floor, staged=vector(anna=5)))
    assert anna.core.log_id == "anna~2"


# Making it ours -------------------------------------------------------------------------------------------------------


def test_who_makes_a_snapshot_its_own_hands_nothing_on_and_gives_none():
    zoe = in_the_middle_of_it()
    zoe.take_sent()
    zoe.hear("ben", SnapshotRequest(Cursor()), digest("ben"))
    assert zoe.take_sent(SnapshotChunk) == []
    zoe.hear("anna", digest("anna", vector(anna=9), floor=vector(anna=8)))
    assert zoe.take_sent(SnapshotRequest) == []
    zoe.is_slow = False
    zoe.store()
    assert (zoe.held, sorted(zoe.states)) == (vector(anna=5), ["a", "b"])


@pytest.mark.parametrize("merges", range(3))
def test_a_replica_that_crashes_meanwhile_needs_nobody_to_go_on(merges):
    zoe = in_the_middle_of_it()
    for _ in range(merges):
        zoe.do(zoe.core.merged(zoe.now, zoe.waiting.pop(0))) if merges == 1 else zoe.store_until(Install)
    zoe.is_slow = False
    zoe.start()
    assert zoe.core._parts.holdings.is_whole is False
    zoe.wait(0.0)
    assert (zoe.held, sorted(zoe.states)) == (vector(anna=5), ["a", "b"])
    assert zoe.core._parts.holdings.is_whole
    assert "bootstrap" not in zoe.facts


def test_a_part_that_cannot_be_read_is_tried_again_in_the_next_round():
    zoe = in_the_middle_of_it()
    part = zoe.parts.pop(2)
    zoe.is_slow = False
    zoe.store()
    assert (sorted(zoe.states), zoe.held) == (["a"], vector())
    zoe.parts[2] = part
    zoe.wait(1.0)
    assert (sorted(zoe.states), zoe.held) == (["a", "b"], vector(anna=5))


def test_nothing_is_made_ours_before_it_is_remembered_that_all_has_come():
    zoe = half_through()
    zoe.is_slow = True
    part = zoe.parts.pop(1)
    zoe.hear("anna", chunk(Cursor("a")))
    (remember,) = zoe.waiting
    assert isinstance(remember, Remember)
    zoe.waiting.clear()
    zoe.do(zoe.core.failed(zoe.now, remember))
    zoe.do(zoe.core.part_loaded(zoe.now, part))
    assert zoe.waiting == []
    zoe.parts[1] = part
    zoe.is_slow = False
    zoe.wait(1.0)
    assert (zoe.held, zoe.states) == (vector(anna=5), {"a": STATES["a"]})


def test_what_a_removed_replica_wrote_counts_when_a_snapshot_that_contains_it_is_ours():
    zoe = asking()
    zoe.hear("anna", chunk(states=(STATES["a"],), following=Cursor("a"), reach=vector(anna=5)))
    zoe.is_slow = True
    zoe.hear("anna", chunk(Cursor("a")))
    zoe.hear("ben", digest("ben", fences=[Fence("anna", vector(anna=2))]))
    zoe.is_slow = False
    zoe.store()
    assert zoe.held == vector(anna=5)
    (removed,) = [member for member in zoe.core.members(0.0) if member.state == "removed"]
    assert removed.vector == vector(anna=5)


def test_entries_that_came_in_another_way_are_not_received_again():
    zoe = half_through()
    zoe.hear("anna", chunk(Cursor("a"), following=ALL_STATES))
    zoe.is_slow = True
    zoe.hear("anna", chunk(ALL_STATES, entries=(entry("anna~1", 1, "events"),)))
    zoe.hear("ben", Entries((entry("anna~1", 1, "events"),)))
    zoe.is_slow = False
    zoe.store()
    assert zoe.held == vector(anna=5)
    assert [entry.number for entry in zoe.log.page(VersionVector(), 0, 1 << 30).entries] == [1]


def test_what_became_of_a_snapshot_that_is_over_changes_nothing():
    zoe = new().meet("anna").wait(0.0)
    merge, stage = MergeStates((STATES["a"],)), Stage("anna", 1, chunk())
    for effects in (
        zoe.core.staged(0.0, stage),
        zoe.core.merged(0.0, merge),
        zoe.core.failed(0.0, merge),
        zoe.core.part_loaded(0.0, None),
    ):
        assert (effects.persist, effects.read, effects.send) == ([], [], [])
    assert zoe.wait(1.0).refused == []


# Giving ---------------------------------------------------------------------------------------------------------------


def _epoch(replica: Replica) -> int:
    """Return the name of a replica's only connection, as a read would bear it."""
    (link,) = replica.core._parts.neighbours
    return link.epoch


def load(anna: Replica, read: ReadStates) -> None:
    anna.do(anna.core.states_loaded(0.0, read, [STATES["a"]], "a", anna.held, complete=True))


def test_what_was_read_for_a_connection_that_is_gone_is_not_sent():
    anna = old().meet("zoe")
    read = ReadStates("zoe", "", 1_000, _epoch(anna))
    anna.do(anna.core.disconnected(0.0, "zoe"))
    load(anna, read)
    anna.meet("zoe")
    load(anna, read)
    load(anna, ReadStates("zoe", "", 1_000, _epoch(anna)))
    asked_by_nobody = Read("zoe", vector(), 0, 1_000, _epoch(anna), for_snapshot=True)
    anna.do(anna.core.loaded(0.0, asked_by_nobody, LogPage([], 5, 5)))
    assert anna.take_sent() == []


def test_nothing_is_sent_of_what_was_read_if_operations_after_the_cut_are_forgotten_by_then():
    anna = old().meet("zoe").hear("zoe", SnapshotRequest(Cursor(), vector(anna=4)))
    anna.take_sent()
    anna.compact(5)
    load(anna, ReadStates("zoe", "", 1_000, _epoch(anna)))
    read = Read("zoe", vector(), 0, 1_000, _epoch(anna), for_snapshot=True)
    anna.do(anna.core.loaded(0.0, read, LogPage([], 5, 5)))
    anna.hear("zoe", SnapshotRequest(Cursor(), vector(anna=4)))
    assert anna.take_sent(SnapshotChunk) == []


def test_states_are_given_with_what_they_may_contain():
    anna = old().meet("zoe")
    anna.hear("zoe", SnapshotRequest(Cursor(), vector(anna=4)))
    (given,) = anna.messages(SnapshotChunk)
    assert (given.cut, given.reach) == (vector(anna=4), vector(anna=5))
