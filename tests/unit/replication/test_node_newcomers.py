"""A node that is new, or was away for long: it is given states where the log no longer has the operations."""

import pytest
from anyio.lowlevel import checkpoint

from calliope import Journal, UntypedEvent
from crdts import ORSet
from replication import Node
from replication.core.settings import Settings
from replication.log_stretches import LOG_KEPT_BYTES
from replication.transports.memory import MemoryNetwork

pytestmark = pytest.mark.anyio

LARGE = 500_000
"""Bytes of a large element; a few of them are more than the log keeps."""

QUICK = Settings(gossip_interval_seconds=0.02)

LONG = 60.0
"""Seconds that nobody needs."""


@pytest.fixture
def anyio_backend() -> str:
    """Return one event loop: that nodes run on the other is tested elsewhere."""
    return "asyncio"


def node_on(network, url, replica_id, *peers):
    transport = network.transport(replica_id, address=replica_id)
    return Node(Journal.open(url), transport, replica_id=replica_id, peers=peers, settings=QUICK)


async def write(node, numbers):
    for number in numbers:
        await node.replicator.update(f"key-{number:02}", ORSet, lambda elements: elements.add("x" * LARGE))
        await node.replicator.update("all", ORSet, lambda elements, n=number: elements.add(n))


async def compact(node):
    """Let operations be only in states, but for the newest."""
    log_id = node.journal.store.log_id
    before = node.journal.store.floor[log_id]
    while node.journal.store.floor[log_id] == before:  # it is known what all hold after a round of gossip
        await node.replicator.checkpoint()
        await checkpoint()


async def check(node, count):
    everything = await node.replicator.get("all", ORSet, replicas=2, timeout=LONG)
    assert everything.value == set(range(count))
    for number in range(count):
        assert (await node.replicator.get(f"key-{number:02}", ORSet)).value == {"x" * LARGE}
    assert len(await node.replicator.keys().run_collect()) == count + 1


async def test_a_newcomer_is_given_states_and_everything_after_them(tmp_path):
    count = 2 * LOG_KEPT_BYTES // LARGE
    async with MemoryNetwork() as network, node_on(network, tmp_path / "a.db", "a") as a:
        events = a.journal.replicated_event_stream("room", UntypedEvent, replica_id="a")
        await events.persist([UntypedEvent("Said", {"what": "hello"})])
        await write(a, range(count))
        await compact(a)
        await write(a, range(count, count + 2))
        async with node_on(network, tmp_path / "b.db", "b", "a") as b:
            await check(b, count + 2)
            said = b.journal.replicated_event_stream("room", UntypedEvent, replica_id="b")
            assert len(await said.query().run_collect()) == 1
            await b.replicator.update("all", ORSet, lambda elements: elements.add(count + 2), replicas=2, timeout=LONG)
        assert a.refusals == 0
        assert count + 2 in (await a.replicator.get("all", ORSet)).value
        await write(a, range(count + 2, 2 * count))
        await compact(a)
        async with node_on(network, tmp_path / "b.db", "b", "a") as b:  # it was away meanwhile
            await check(b, 2 * count)
        assert a.refusals == 0
