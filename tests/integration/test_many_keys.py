"""A hundred thousand keys: memory is bounded, a restart is quick, a newcomer gets all, idle replicas say no more."""

from functools import partial
from pathlib import Path

import anyio
import pytest

from calliope import Journal
from calliope.stores.replica_store import ReplicaStore
from crdts import ORSet
from replication import Node
from replication.core.settings import Settings
from replication.key_cache import CACHED_KEYS_MAX
from replication.operations_behind import OPERATIONS_BEHIND_BYTES_MAX
from replication.transports.memory import MemoryNetwork

pytestmark = pytest.mark.anyio

KEYS = 100_000
TASKS = 256
SLACK_BYTES = 4 * 1024 * 1024
"""A page of the log, and what one turn takes in."""

QUICK = Settings(gossip_interval_seconds=0.05)
IDLE_ROUNDS = 40
LONG = 120.0
"""Seconds that nobody needs."""


@pytest.fixture
def anyio_backend() -> str:
    """Return one event loop: what differs between the two is tested elsewhere."""
    return "asyncio"


def node_on(network: MemoryNetwork, path: Path, replica_id: str, *peers: str) -> Node:
    transport = network.transport(replica_id, address=replica_id)
    return Node(Journal.open(path), transport, replica_id=replica_id, peers=peers, settings=QUICK)


def store_of(node: Node) -> ReplicaStore:
    store = node.journal.store
    assert isinstance(store, ReplicaStore)
    return store


async def write_keys(node: Node, count: int) -> int:
    """Write so many keys; return how many bytes of operations waited for a checkpoint at most."""
    most = 0

    async def write(first: int) -> None:
        nonlocal most
        for number in range(first, count, TASKS):
            await node.replicator.update(f"key-{number:06}", ORSet, partial(ORSet.add, element=number))
            most = max(most, node.replicator._keys.behind.byte_count)

    async with anyio.create_task_group() as tasks:
        for first in range(TASKS):
            tasks.start_soon(write, first)
    return most


async def check_keys(node: Node, count: int) -> None:
    listed = await node.replicator.keys().run_fold(0, lambda total, _: total + 1)
    assert listed == count
    for number in range(0, count, 97):
        assert (await node.replicator.get(f"key-{number:06}", ORSet)).value == {number}
    assert node.replicator.cached_keys <= CACHED_KEYS_MAX


async def idle_bytes(*nodes: Node) -> int:
    """Return how many bytes nodes send in some rounds of gossip, once there is nothing to say."""
    quiet = 0
    while quiet < IDLE_ROUNDS:  # what is said once, such as that others hold everything, is said
        before = sum(node.sent_bytes for node in nodes)
        await anyio.sleep(QUICK.gossip_interval_seconds)
        quiet = quiet + 1 if sum(node.sent_bytes for node in nodes) - before < 200 * len(nodes) else 0
    before = sum(node.sent_bytes for node in nodes)
    await anyio.sleep(IDLE_ROUNDS * QUICK.gossip_interval_seconds)
    return sum(node.sent_bytes for node in nodes) - before


@pytest.mark.soak
async def test_a_hundred_thousand_keys(tmp_path: Path) -> None:
    async with MemoryNetwork() as network:
        async with node_on(network, tmp_path / "a.db", "a") as a:
            assert await write_keys(a, KEYS) <= 2 * OPERATIONS_BEHIND_BYTES_MAX + SLACK_BYTES
            assert a.replicator.cached_keys == CACHED_KEYS_MAX
            head = store_of(a).log_tail.position
            assert store_of(a).checkpoint > head // 3, "the log is folded into states while it grows"
        async with node_on(network, tmp_path / "a.db", "a") as a:
            assert (await a.replicator.get("key-000000", ORSet)).value == {0}
            assert a.replicator._keys.behind.byte_count <= 2 * OPERATIONS_BEHIND_BYTES_MAX + SLACK_BYTES
            await check_keys(a, KEYS)
            async with node_on(network, tmp_path / "b.db", "b", "a") as b:
                assert (await b.replicator.get("key-099999", ORSet, replicas=2, timeout=LONG)).value == {99_999}
                await check_keys(b, KEYS)
                assert store_of(b).vector == store_of(a).vector
                assert a.refusals == b.refusals == 0
                with_many = await idle_bytes(a, b)
    async with MemoryNetwork() as network:
        async with node_on(network, tmp_path / "c.db", "c") as c:
            await write_keys(c, 10)
        async with (
            node_on(network, tmp_path / "c.db", "c") as c,
            node_on(network, tmp_path / "d.db", "d", "c") as d,
        ):
            await check_keys(c, 10)
            assert (await d.replicator.get("key-000009", ORSet, replicas=2, timeout=LONG)).value == {9}
            with_few = await idle_bytes(c, d)
    assert with_many <= 2 * with_few, "an idle replica says as much with many keys as with ten"
