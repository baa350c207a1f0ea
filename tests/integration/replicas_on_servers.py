"""What holds of replicas whose journals are kept by servers, whatever kind of server it is."""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, Protocol

import anyio

from calliope import Journal
from calliope.stores.replica_store import ReplicaStore
from crdts import GCounter, ORSet, VersionVector
from replication import Node
from tests.integration.journal_clerks import clerks
from tests.integration.node_processes import ReplicaProcess, converged, replica_processes

PATIENCE_SECONDS = 300.0
"""How long anything may take before it counts as stuck."""


@dataclass(frozen=True)
class Written:
    """An event of these tests."""

    name: str


class KilledServer(Protocol):
    """A server that is treated badly."""

    def kill(self) -> None: ...

    def start(self) -> None: ...


def replica_store_of(holder: Journal | Node) -> ReplicaStore:
    store = holder.store if isinstance(holder, Journal) else holder.journal.store
    assert isinstance(store, ReplicaStore)
    return store


async def names(holder: Journal | Node, stream_id: str = "s") -> list[str]:
    """Return the events of a replicated stream."""
    journal = holder if isinstance(holder, Journal) else holder.journal
    stream = journal.replicated_event_stream(stream_id, Written, replica_id="reader")
    return [event.name for event in await stream.query().run_collect()]


async def same(holders: Sequence[Node | Journal]) -> None:
    """Return when all hold what any of them holds, and know it."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while True:
            vectors = [replica_store_of(holder).vector for holder in holders]
            if all(vector == vectors[0] for vector in vectors):
                return
            await anyio.sleep(0.02)


async def check_replicas_of_two_urls_and_a_file(url: str, tmp_path: Path) -> None:
    """Two replicas on a server and one in a file hold the same when all have written."""
    async with AsyncExitStack() as stack:
        nodes: list[Node] = []
        for replica_id, place in (("berlin", url), ("lisbon", f"{url}x"), ("oslo", str(tmp_path / "oslo.db"))):
            peers = [node.address for node in nodes]
            node = Node.open(place, replica_id=replica_id, listen="127.0.0.1:0", peers=peers)
            nodes.append(await stack.enter_async_context(node))
        for node in nodes:
            stream = node.journal.replicated_event_stream("s", Written, replica_id=node.replica_id)
            for number in range(5):
                await stream.persist(Written(f"{node.replica_id} {number}"))
                await node.replicator.update("visits", GCounter, lambda counter: counter.increment())
            added = node.replica_id
            await node.replicator.update(
                "cart", ORSet, lambda cart, added=added: cart.add(added), replicas=3, timeout=PATIENCE_SECONDS
            )
        await same(nodes)
        held = [sorted(await names(node)) for node in nodes]
        assert held[0] == held[1] == held[2]
        assert len(held[0]) == 15
        for node in nodes:
            visits = await node.replicator.get("visits", GCounter, replicas=3, timeout=PATIENCE_SECONDS)
            assert visits.value == 15
            assert (await node.replicator.get("cart", ORSet)).value == {"berlin", "lisbon", "oslo"}
            await node.replicator.checkpoint()
        await same(nodes)


async def check_several_open_journals(url: str, tmp_path: Path) -> None:
    """What a node and two other openings of its journal write is numbered once, and reaches the other replica."""
    async with AsyncExitStack() as stack:
        berlin = Node.open(url, replica_id="berlin", listen="127.0.0.1:0")
        await stack.enter_async_context(berlin)
        oslo = Node.open(tmp_path / "oslo.db", replica_id="oslo", peers=[berlin.address])
        await stack.enter_async_context(oslo)
        journals = [await stack.enter_async_context(Journal.open(url)) for _ in range(2)]

        async def write(journal: Journal, replica_id: str) -> None:
            stream = journal.replicated_event_stream("s", Written, replica_id=replica_id)
            for number in range(20):
                await stream.persist(Written(f"{replica_id} {number}"))

        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as writing:
                for number, journal in enumerate([*journals, berlin.journal]):
                    writing.start_soon(write, journal, f"clerk-{number}")
                for _ in range(20):
                    await berlin.replicator.update("visits", GCounter, lambda counter: counter.increment())
            await oslo.replicator.wait_until("visits", lambda counter: counter.value == 20)
        await same([*journals, berlin, oslo])
        held = await names(oslo)
        assert len(held) == len(set(held)) == 60
        assert sorted(held) == sorted(await names(berlin))
        for number in range(3):
            of_one = [name for name in held if name.startswith(f"clerk-{number} ")]
            assert of_one == [f"clerk-{number} {each}" for each in range(20)]
        assert {replica_store_of(journal).log_id for journal in journals} == {replica_store_of(berlin).log_id}
        log = await replica_store_of(journals[0]).read_log(have=VersionVector(), after=0, bytes_max=10**7)
        written = [entry.number for entry in log.entries if entry.log_id == replica_store_of(berlin).log_id]
        assert written == list(range(1, len(written) + 1))


def heard(pipe: Connection) -> str:
    """Return the next event that a clerk was acknowledged."""
    assert pipe.poll(PATIENCE_SECONDS), "nothing was acknowledged for long"
    return str(pipe.recv())


def written_while_killed(
    server: KilledServer, url: str, tmp_path: Path
) -> tuple[set[str], dict[str, Any], list[ReplicaProcess]]:
    """Have a node and three processes write while the server and the node are killed in turn.

    Returns:
        What the processes were acknowledged, what all replicas hold in the end, and the replicas.
    """
    random, acknowledged = Random(3), set[str]()
    with replica_processes(tmp_path, "berlin", "lisbon", berlin=url) as replicas:
        berlin, lisbon = replicas
        for replica in replicas:
            assert replica.told("write", 0.02) is None
        with clerks(url, ("anna", "ben", "cleo")) as pipes:
            acknowledged.update(map(heard, pipes))
            for kill in range(4):
                time.sleep(random.uniform(0.2, 0.8))
                if kill % 2:
                    berlin.kill()
                    berlin.start([lisbon])
                    assert berlin.told("write", 0.02) is None
                else:
                    server.kill()
                    server.start()
            for pipe in pipes:
                pipe.send("end")
            for pipe in pipes:
                with suppress(EOFError):
                    while pipe.poll(PATIENCE_SECONDS):
                        acknowledged.add(pipe.recv())
        held = converged(replicas)
        assert [replica.end() for replica in replicas] == [0, 0]
    return acknowledged, held, replicas
