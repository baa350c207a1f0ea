"""Replicators for tests: over a store in memory whose disk may fail, with peers whose logs are exchanged by hand."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

import anyio

from calliope.errors import StorageError
from calliope.flow.clock import ManualClock
from calliope.stores.memory import MemoryStore
from calliope.stores.versioned import Item, LogEntry, Versioned, log_entry, replica_of
from crdts import Crdt, Operation, VersionVector
from crdts.version_vector import NOTHING_SEEN as NOTHING_SEEN
from replication.core.agreement import Replicas
from replication.errors import QuorumTimeoutError
from replication.replicator import Replicator
from replication.single_replica import SingleReplica

EVERYTHING = 2**40


class FaultyStore(MemoryStore):
    """A store in memory whose disk is slow, or fails, as it is told.

    Attributes:
        gate: commits of operations wait for it.
        error: raised by the next commits instead of writing.
        loses_replies: commits write, and then fail.
        commits: how many times operations were written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.loses_replies = False
        self.commits: list[Sequence[Versioned]] = []
        self.state_loads = 0

    async def append_operations(self, changes):
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.commits.append(changes)
        reply = await super().append_operations(changes)
        if self.loses_replies:
            raise StorageError("the disk did not say whether it has written")
        return reply

    async def load_state(self, key):
        self.state_loads += 1
        return await super().load_state(key)


class Peers:
    """An agreement with replicas in the same test: those that answer hand over their logs when they are asked.

    Attributes:
        stores: the stores of all replicas, this one's first.
        silent: the stores of those that do not answer.
    """

    def __init__(self, *stores: MemoryStore) -> None:
        self.stores = stores
        self.silent: list[MemoryStore] = []

    @property
    def stable(self) -> VersionVector:
        stable = self.stores[0].vector
        for store in self.stores[1:]:
            stable = stable.meet(store.vector)
        return stable

    async def acknowledged(self, log_id: str, number: int, replicas: Replicas, timeout: float) -> None:
        for peer in self._answering(replicas)[1:]:
            await send(self.stores[0], peer)
            assert peer.vector[log_id] >= number

    async def caught_up(self, replicas: Replicas, timeout: float) -> None:
        for peer in self._answering(replicas)[1:]:
            await send(peer, self.stores[0])

    def _answering(self, replicas: Replicas) -> list[MemoryStore]:
        size = len(self.stores)
        required = {"majority": size // 2 + 1, "all": size}.get(str(replicas), replicas)
        answering = [store for store in self.stores if store not in self.silent]
        if len(answering) < int(required):
            raise QuorumTimeoutError(int(required), [replica_of(store.log_id) for store in answering])
        return answering[: int(required)]


class Running:
    """A replicator that runs.

    Attributes:
        store: its store.
        clock: what its pauses are measured by.
        replicator: the replicator.
    """

    def __init__(self, store: FaultyStore, clock: ManualClock, replicator: Replicator) -> None:
        self.store = store
        self.clock = clock
        self.replicator = replicator


async def new_store(log_id: str = "a~01") -> FaultyStore:
    store = FaultyStore()
    await store.use_log(log_id)
    return store


@asynccontextmanager
async def running(store: FaultyStore | None = None, *, log_id: str = "a~01", agreement=None, **options):
    """Run a replicator for the time of a block."""
    store = store or await new_store(log_id)
    clock = ManualClock()
    ticks = count(1)
    replicator = Replicator(
        store, agreement or SingleReplica(store), clock=clock, wall_clock=lambda: next(ticks), **options
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(replicator.run)
        yield Running(store, clock, replicator)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def two_replicas(**options) -> AsyncIterator[tuple[Running, Running]]:
    async with running(log_id="a~01", **options) as a, running(log_id="b~01", **options) as b:
        yield a, b


async def send(source: MemoryStore, target: MemoryStore) -> None:
    """Hand over what the target lacks of the source's log."""
    page = await source.read_log(have=target.vector, after=0, bytes_max=EVERYTHING)
    await target.receive(page.entries)


async def exchange(a: Running, b: Running) -> None:
    await send(a.store, b.store)
    await send(b.store, a.store)


def written(key: str, *operations: Operation, number: int = 1, log_id: str | None = None) -> LogEntry:
    """Return an entry that a replica with the log id of the operations could have written."""
    first = operations[0]
    items = tuple(Item(operation.type_name, 1, operation.payload) for operation in operations)
    change = Versioned(key, first.replica_id, first.counter, first.others.to_dict(), 1, None, (), {}, items)
    return log_entry(log_id or first.replica_id, number, "operations", [change])


async def value_of(replica: Running, key: str, crdt_type: type[Crdt]):
    return (await replica.replicator.get(key, crdt_type)).value


async def names(replica: Running, prefix: str = "") -> list[str]:
    return await replica.replicator.keys(prefix).run_collect()
