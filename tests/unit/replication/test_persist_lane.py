"""What effects persist is done in order, and what they send follows: over the connection for which it was meant."""

from random import Random

import anyio
import pytest

from calliope.stores.replica_store import StoredState
from crdts import GCounter, VersionVector
from replication.core.effects import Effects, MergeStates, Remember, Send, Stage, Unstage
from replication.core.messages import Acknowledgement, Cursor, SnapshotChunk
from replication.core.replica import ReplicaCore
from replication.persisting import PersistLane
from replication.staging import StagingArea
from tests.unit.replication.replicators import running, value_of

pytestmark = pytest.mark.anyio

NOTHING = VersionVector()
SAID = Acknowledgement(NOTHING)


def core_of(store) -> ReplicaCore:
    place = {"log_id": "", "fresh_log_id": "a~01", "vector": store.vector, "floor": store.floor, "head": 0}
    return ReplicaCore("a", **place, facts={}, random=Random(1), now=0.0)


async def carry_out(replica, *works, meanwhile=lambda lane: None) -> list[Effects]:
    """Have a lane do some work, after something has happened to the lane; return what it did of the rest."""
    store, rest = replica.store, []
    core = core_of(store)
    lane = PersistLane(core, store, StagingArea(store), lambda: 0.0, rest.append, lambda: None)
    async with anyio.create_task_group() as tasks:
        await lane.start(replica.replicator)
        for work in works:
            lane.do(work)
        meanwhile(lane)
        tasks.start_soon(lane.run)
        while not any(done is works[-1] for done in rest):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    return rest


async def test_what_waits_to_be_sent_over_a_connection_that_is_gone_is_not_sent_over_the_next():
    async with running() as a:
        waiting = Effects(persist=[Remember("x", b"1")], send=[Send("ben", SAID), Send("carla", SAID)])
        only = Effects(persist=[Remember("y", b"2")], send=[Send("ben", SAID)])
        rest = await carry_out(a, waiting, only, meanwhile=lambda lane: lane.forget("ben"))
        assert [send for done in rest for send in done.send] == [Send("carla", SAID)]
        assert {"x": b"1", "y": b"2"}.items() <= (await a.store.remembered()).items()


async def test_a_state_that_does_not_join_with_ours_is_left_out_and_the_others_are_ours(caplog):
    async with running(log_id="b~01") as b:
        value = await b.replicator.get("good", GCounter)
        value.increment(3)
        await b.replicator.update("good", value)
        (good,) = (await b.replicator.export_states("", 10**6)).states
    async with running() as a:
        bad = StoredState("bad", "gcounter", b"no state")
        await carry_out(a, Effects(persist=[MergeStates((bad, good)), Remember("done", b"1")]))
        assert await value_of(a, "good", GCounter) == 3
    assert "a state of a snapshot is left out" in caplog.text


async def test_a_part_that_cannot_be_read_costs_its_sender_the_connection_and_is_not_staged():
    async with running() as a:
        bad = SnapshotChunk(Cursor(), NOTHING, (StoredState("bad", "gcounter", b"no state"),), (), None)
        good = SnapshotChunk(Cursor(), NOTHING, (), (), None)
        rest = await carry_out(a, Effects(persist=[Stage("ben", 1, bad), Stage("ben", 2, good)]))
        assert [refusal.peer for done in rest for refusal in done.refuse] == ["ben"]
        assert [part.sequence_number for part in await a.store.list_snapshots("calliope~staged")] == [2]
        await carry_out(a, Effects(persist=[Unstage()]))
        assert await a.store.list_snapshots("calliope~staged") == []
