"""What a quorum promises: of nodes that are cut off, behind or restarted, and of updates with nothing to do."""

from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest

from calliope import Journal
from calliope.errors import StorageFullError
from crdts import GCounter, GSet
from replication import Node, QuorumTimeoutError, VersionToken
from replication.transports.memory import MemoryNetwork
from tests.unit.replication.replicators import running

pytestmark = pytest.mark.anyio

SOON = 0.05
"""Seconds that others are given who will not answer."""

LONG = 30.0
"""Seconds that nobody needs."""


@pytest.fixture
def anyio_backend() -> str:
    """Return one event loop: that nodes run on the other is tested elsewhere."""
    return "asyncio"


def add(element):
    return lambda elements: elements.add(element)


def add_unless_there(element):
    """A function that does nothing if there is nothing to do."""
    return lambda elements: elements.value >= {element} or elements.add(element)


def node_on(network, url, replica_id, *peers):
    transport = network.transport(replica_id, address=replica_id)
    return Node(Journal.open(url), transport, replica_id=replica_id, peers=peers)


@asynccontextmanager
async def cluster(*replica_ids):
    """Open nodes that all know one another, and are connected."""
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(MemoryNetwork())
        nodes = []
        for replica_id in replica_ids:
            peers = [other for other in replica_ids if other != replica_id]
            nodes.append(await stack.enter_async_context(node_on(network, "memory://", replica_id, *peers)))
        for node in nodes:
            await node.replicator.get("anything", GCounter, replicas="all", timeout=LONG)
        yield network, *nodes


def isolate(network, one, *others):
    for other in others:
        network.cut(one.replica_id, other.replica_id)


async def elements(node, replicas=1, timeout=LONG):
    return set((await node.replicator.get("set", GSet, replicas=replicas, timeout=timeout)).value)


# Updates with nothing to do ---------------------------------------------------------------------------------------


async def test_nothing_done_to_a_key_of_which_nothing_is_known_is_held_by_all_and_writes_nothing():
    async with cluster("a", "b") as (network, a, b):
        isolate(network, a, b)
        before = a.journal.store.vector
        token = await a.replicator.update("new", GCounter, lambda visits: None, replicas="all", timeout=SOON)
        await a.replicator.update("new", await a.replicator.get("new", GCounter), replicas="all", timeout=SOON)
        await a.replicator.delete("new", replicas="all", timeout=SOON)
        assert token == VersionToken(a.journal.store.log_id, before[a.journal.store.log_id])
        assert a.journal.store.vector == before


async def test_an_update_that_found_nothing_to_do_is_acknowledged_when_what_it_saw_is_held():
    async with cluster("a", "b", "c") as (network, a, b, c):
        isolate(network, c, a, b)
        await b.replicator.update("set", GSet, add("milk"), replicas=2, timeout=LONG)
        assert await elements(a) == {"milk"}
        value = await a.replicator.get("set", GSet)
        attempts = [
            lambda **asked: a.replicator.update("set", GSet, add_unless_there("milk"), **asked),
            lambda **asked: a.replicator.update("set", value, **asked),
        ]
        for attempt in attempts:
            await attempt(replicas=2, timeout=LONG)
            with pytest.raises(QuorumTimeoutError) as refused:
                await attempt(replicas=3, timeout=SOON)
            assert (refused.value.required, refused.value.acknowledged) == (3, ("a", "b"))
        network.heal()
        for attempt in attempts:
            await attempt(replicas=3, timeout=LONG)
        assert await elements(c) == {"milk"}


async def test_a_deletion_that_timed_out_is_waited_for_by_deleting_again():
    async with cluster("a", "b") as (network, a, b):
        await a.replicator.update("set", GSet, add("milk"), replicas=2, timeout=LONG)
        isolate(network, a, b)
        for _ in range(2):
            with pytest.raises(QuorumTimeoutError):
                await a.replicator.delete("set", replicas=2, timeout=SOON)
        network.heal()
        await a.replicator.delete("set", replicas=2, timeout=LONG)
        assert await elements(b) == set()


async def test_an_update_that_found_nothing_to_do_for_what_is_under_way_waits_for_it_and_fails_with_it():
    async with running() as a:
        outcomes = []

        async def update(function):
            try:
                outcomes.append(await a.replicator.update("set", GSet, function))
            except StorageFullError as error:
                outcomes.append(error)

        full = StorageFullError("the disk is full; nothing was written")
        for failure in (full, None):
            a.store.gate, a.store.error = anyio.Event(), failure
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(update, add("milk"))
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(update, add_unless_there("milk"))  # what it sees is with the store
                tasks.start_soon(update, add("tea"))
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(update, add_unless_there("tea"))  # what it sees gathers for the next commit
                await anyio.wait_all_tasks_blocked()
                early = list(outcomes)
                a.store.gate.set()
            assert early == []
            if failure:
                assert outcomes == [full] * 4
                outcomes.clear()
        assert sorted(outcome.number for outcome in outcomes) == [1, 1, 2, 2]


async def test_who_shares_a_value_is_told_when_what_he_did_is_durable_whoever_has_submitted_it():
    async with running() as a:
        outcomes = []
        value = await a.replicator.get("visits", GCounter)

        async def update():
            try:
                outcomes.append(await a.replicator.update("visits", value))
            except StorageFullError as error:
                outcomes.append(error)

        full = StorageFullError("the disk is full; nothing was written")
        for failure in (full, None):
            a.store.gate, a.store.error = anyio.Event(), failure
            value.increment()  # by two tasks, say, each of which updates then
            value.increment()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(update)
                tasks.start_soon(update)
                await anyio.wait_all_tasks_blocked()
                early = list(outcomes)
                a.store.gate.set()
            assert early == []
            if failure:
                assert outcomes == [full] * 2
                outcomes.clear()
        assert outcomes == [VersionToken("a~01", 1)] * 2
        assert (await a.replicator.get("visits", GCounter)).value == value.value == 4


# Reading at a quorum ----------------------------------------------------------------------------------------------


async def test_a_replica_that_is_behind_shows_at_a_quorum_what_the_others_know_and_never_less_afterwards():
    async with cluster("a", "b", "c") as (network, a, b, c):
        isolate(network, a, b, c)
        for element in range(20):
            await b.replicator.update("set", GSet, add(element), replicas=2, timeout=LONG)
        assert await elements(a) == set()
        with pytest.raises(QuorumTimeoutError) as refused:
            await elements(a, 2, SOON)
        assert (refused.value.required, refused.value.acknowledged) == (2, ("a",))
        assert await elements(a) == set()
        assert await elements(c, "majority") == set(range(20))
        network.heal()
        assert await elements(a, "majority") == set(range(20))
        isolate(network, a, b, c)
        assert await elements(a) == set(range(20))


async def test_when_what_the_others_hold_does_not_arrive_in_time_it_is_not_said_that_they_did_not_answer(monkeypatch):
    async with cluster("a", "b") as (_, a, b):

        async def receive(entries, snapshot=None):
            await anyio.sleep_forever()  # the disk is slow

        monkeypatch.setattr(a.journal.store, "receive", receive)
        await b.replicator.update("set", GSet, add("milk"))
        seconds, answered = SOON, ("a",)
        while answered == ("a",):  # on a busy machine the answer comes late, too
            with pytest.raises(QuorumTimeoutError) as refused:
                await elements(a, 2, seconds)
            seconds, answered = 2 * seconds, refused.value.acknowledged
        assert (refused.value.required, answered) == (2, ("a", "b"))
        assert str(refused.value).startswith("2 replicas answered in time (a, b), but not all that they hold has")


async def test_of_two_sides_of_a_partition_the_majority_reads_and_the_other_is_told_who_answered():
    async with cluster("a", "b", "c", "d", "e") as (network, *nodes):
        few, many = nodes[:2], nodes[2:]
        for node in few:
            isolate(network, node, *many)
        await few[0].replicator.update("set", GSet, add("few"), replicas=2, timeout=LONG)
        await many[0].replicator.update("set", GSet, add("many"), replicas="majority", timeout=LONG)
        assert await elements(many[2], "majority") == {"many"}
        for node in few:
            with pytest.raises(QuorumTimeoutError) as refused:
                await elements(node, "majority", SOON * 4)
            assert refused.value.required == 3
            assert set(refused.value.acknowledged) <= {"a", "b"}
        network.heal()
        assert await elements(few[1], "all") == {"few", "many"}


async def test_a_replica_reads_at_a_quorum_right_after_its_restart_what_was_written_meanwhile(tmp_path):
    async with MemoryNetwork() as network, node_on(network, "memory://", "a", "b") as a:
        async with node_on(network, tmp_path / "b.db", "b", "a") as b:
            await b.replicator.update("set", GSet, add("before"), replicas=2, timeout=LONG)
        await a.replicator.update("set", GSet, add("meanwhile"))
        async with node_on(network, tmp_path / "b.db", "b", "a") as b:
            assert await elements(b) >= {"before"}
            assert await elements(b, 2) == {"before", "meanwhile"}
            await b.replicator.update("set", GSet, add("after"), replicas="all", timeout=LONG)
        assert await elements(a) == {"before", "meanwhile", "after"}


# Waiting that is given up -----------------------------------------------------------------------------------------


async def test_who_waits_and_is_cancelled_leaves_nothing():
    async with cluster("a", "b") as (network, a, b):
        isolate(network, a, b)
        replicator = a.replicator
        log_id = a.journal.store.log_id

        async with anyio.create_task_group() as tasks:
            for waiting in (
                lambda: replicator.get("set", GSet, replicas=2, timeout=LONG),
                lambda: replicator.find("set", replicas="all", timeout=LONG),
                lambda: replicator.update("set", GSet, add("milk"), replicas=2, timeout=LONG),
                lambda: replicator.update("set", GSet, add_unless_there("milk"), replicas=2, timeout=LONG),
                lambda: replicator.delete("other", replicas=2, timeout=LONG),
                lambda: replicator.wait_until("set", lambda elements: False),
                lambda: replicator.wait_until_version(VersionToken(log_id, 1_000)),
                lambda: replicator.updates("set").run_drain(),
            ):
                tasks.start_soon(waiting)
                await anyio.wait_all_tasks_blocked()
            assert waits_of(a) != ([], [], [], [])
            tasks.cancel_scope.cancel()
        assert waits_of(a) == ([], [], [], [])
        assert await elements(a) == {"milk"}, "what was recorded stays"
        network.heal()
        assert await elements(b, 2) == {"milk"}


def waits_of(node):
    """Who waits in a node: for others, for answers, for acknowledgements, for keys."""
    engine = node._engine
    tally = engine._core._parts.tally
    watches = node.replicator._keys.watches._watches
    return [*engine.agreement._waiting], tally.open_questions, tally._quorums.logs, [*watches]
