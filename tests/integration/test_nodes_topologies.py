"""Five nodes over WebSockets as a ring, a line and a star: parted and joined, they end with the same."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from crdts import GCounter, ORSet
from replication import Node, QuorumTimeoutError
from replication.core.settings import Settings
from tests.integration.cables import Cable, cable_to

SECONDS = 60.0
"""A limit that only ends a test that hangs."""

QUICK = Settings(gossip_interval_seconds=0.1)

Edge = tuple[int, int]

LINE = ((1, 0), (2, 1), (3, 2), (4, 3))
RING = (*LINE, (4, 0))
STAR = ((1, 0), (2, 0), (3, 0), (4, 0))

TOPOLOGIES = {
    "a line that breaks in two": (LINE, [(3, 2)], [{0, 1, 2}, {3, 4}]),
    "a ring that breaks in two": (RING, [(3, 2), (4, 0)], [{0, 1, 2}, {3, 4}]),
    "a star that loses two rays": (STAR, [(3, 0), (4, 0)], [{0, 1, 2}, {3}, {4}]),
}


@dataclass(frozen=True)
class Seen:
    """An event."""

    by: str


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Cluster:
    """Nodes, and the cables between them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.cables: dict[Edge, Cable] = {}

    async def write(self, nodes: Iterable[int], what: str) -> None:
        """Let each of some nodes count, add and persist once."""
        for number in nodes:
            node, name = self.nodes[number], f"{what} {number}"
            await node.replicator.update("count", GCounter, lambda count: count.increment())
            await node.replicator.update("set", ORSet, lambda found, name=name: found.add(name))
            events = node.journal.replicated_event_stream("events", Seen, replica_id=node.replica_id)
            await events.persist(Seen(name))

    async def until_counted(self, nodes: Iterable[int], total: int) -> None:
        """Return when some nodes have counted so far."""
        for number in nodes:
            replicator = self.nodes[number].replicator
            await replicator.wait_until("count", lambda count: count.value >= total, timeout=SECONDS)

    async def agree(self, nodes: Sequence[int]) -> None:
        """Return when each node holds what each of them holds."""
        tokens = [
            await self.nodes[number].replicator.update("last", GCounter, lambda last: last.increment())
            for number in nodes
        ]
        for number in nodes:
            for token in tokens:
                await self.nodes[number].replicator.wait_until_version(token, timeout=SECONDS)

    async def held(self, number: int) -> tuple[int, frozenset[str], list[str]]:
        node = self.nodes[number]
        count = await node.replicator.get("count", GCounter)
        found: ORSet[str] = await node.replicator.get("set", ORSet)
        events = node.journal.replicated_event_stream("events", Seen, replica_id=node.replica_id)
        return count.value, found.value, sorted([event.by for event in await events.query().run_collect()])


@asynccontextmanager
async def cluster_of(edges: Sequence[Edge]) -> AsyncIterator[Cluster]:
    cluster = Cluster()
    async with AsyncExitStack() as stack:
        for number in range(5):
            for edge in edges:
                if edge[0] == number:
                    cable = cable_to(cluster.nodes[edge[1]].address)
                    cluster.cables[edge] = await stack.enter_async_context(cable)
            peers = [cluster.cables[edge].address for edge in edges if edge[0] == number]
            node = Node.open(
                "memory://", replica_id=f"n{number}", listen="127.0.0.1:0", peers=peers, cluster="five", settings=QUICK
            )
            cluster.nodes.append(await stack.enter_async_context(node))
        yield cluster


def written(what: str, nodes: Iterable[int]) -> set[str]:
    return {f"{what} {number}" for number in nodes}


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.anyio
async def test_what_was_written_apart_is_everywhere_when_the_cables_are_mended(name: str) -> None:
    edges, cut, sides = TOPOLOGIES[name]
    everybody = range(5)
    async with asyncio.timeout(SECONDS), cluster_of(edges) as cluster:
        await cluster.write(everybody, "together")
        await cluster.nodes[4].replicator.get("count", GCounter, replicas=5, timeout=SECONDS)  # all know one another
        await cluster.agree(everybody)

        for edge in cut:
            cluster.cables[edge].cut()
        for side in sides:
            await cluster.write(side, "apart")
        for side in sides:
            await cluster.agree(sorted(side))
            for number in side:
                everything = written("together", everybody) | written("apart", side)
                assert await cluster.held(number) == (5 + len(side), everything, sorted(everything))
        await check_quorums(cluster, sides)

        for edge in cut:
            cluster.cables[edge].mend()
        await cluster.until_counted(everybody, 10)
        await cluster.agree(everybody)
        everything = written("together", everybody) | written("apart", everybody)
        for number in everybody:
            assert await cluster.held(number) == (10, everything, sorted(everything))
        assert len({node.journal.store.vector for node in cluster.nodes}) == 1


async def check_quorums(cluster: Cluster, sides: Sequence[set[int]]) -> None:
    """The side of three is a majority, through whatever is between them; the others are told who answered."""
    larger, *smaller = sides
    for number in larger:
        await cluster.nodes[number].replicator.get("count", GCounter, replicas="majority", timeout=SECONDS)
    for side in smaller:
        with pytest.raises(QuorumTimeoutError) as refused:
            await cluster.nodes[min(side)].replicator.get("count", GCounter, replicas="majority", timeout=0.3)
        assert (refused.value.required, set(refused.value.acknowledged)) == (3, {f"n{number}" for number in side})
