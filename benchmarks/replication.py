"""Replicas, one process each, on the loopback interface, with full durability."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.ordering import ItemAdded, item
from benchmarks.replica_process import STREAM, Replica, replica_process
from benchmarks.setting import Setting
from benchmarks.table import Benchmark, Contender, Table, Unit, compare
from crdts import GCounter, ORSet
from replication import Node

MILLISECONDS = Unit("ms", lower_is_better=True)
SECONDS = Unit("s", lower_is_better=True)
OPERATIONS_PER_SECOND = Unit("operations/s")
KEYS_PER_SECOND = Unit("keys/s")
BYTES_PER_SECOND = Unit("bytes/s", lower_is_better=True)

TASKS = 64
PAUSE_SECONDS = 0.005
IDLE_AFTER_SECONDS = 3.0
IDLE_SECONDS = 5.0


def delivery(setting: Setting) -> Table:
    """Measure how soon a record is in another replica's live query."""
    samples = setting.count(200, 20)
    return compare(
        setting,
        "A record persisted on one of two idle replicas, until it is in the other's live query",
        MILLISECONDS,
        [Contender("calliope: median", _in_loop(setting, partial(_delivery, samples=samples)), bound=5.0)],
        "From the call of persist: both replicas sync to their disks first.",
    )


def quorum(setting: Setting) -> Table:
    """Measure updates at all of three replicas."""
    samples = setting.count(200, 20)
    return compare(
        setting,
        "An update with replicas=3 of three replicas",
        MILLISECONDS,
        [Contender("calliope: median", _in_loop(setting, partial(_quorum, samples=samples)), bound=10.0)],
    )


def increments(setting: Setting) -> Table:
    """Measure many tasks that increment one counter, with and without a peer."""
    count = setting.count(100_000, 6_400)
    return compare(
        setting.once() if setting.share == 1 else setting,
        "Increments of one counter by 64 tasks, until another replica shows them all",
        OPERATIONS_PER_SECOND,
        [
            Contender(
                "calliope: until the peer has all", _in_loop(setting, partial(_increments, count=count, peers=1))
            ),
            Contender(
                "the first replica alone", _in_loop(setting, partial(_increments, count=count, peers=0)), target=0.5
            ),
        ],
    )


def large_update(setting: Setting) -> Table:
    """Measure 20,000 elements added in one update."""
    return compare(
        setting,
        "20,000 elements added to a set in one update, until all of three replicas have them",
        SECONDS,
        [Contender("calliope", _in_loop(setting, _large_update), bound=0.5)],
    )


def newcomer(setting: Setting) -> Table:
    """Measure how a fresh replica gets many keys."""
    count = setting.count(100_000)
    return compare(
        setting.once(),
        f"A fresh replica gets {count:,} keys, durably",
        SECONDS,
        [Contender("calliope", _in_loop(setting, partial(_newcomer, count=count)), bound=10.0)],
    )


def catching_up(setting: Setting) -> Table:
    """Measure how a replica that was away catches up."""
    return _catching_up_table(setting, setting.count(1_000_000), 50)


def catching_up_on_single_operations(setting: Setting) -> Table:
    """Measure the same where every operation was an update of its own."""
    return _catching_up_table(setting, setting.count(200_000), 1)


def _catching_up_table(setting: Setting, count: int, together: int) -> Table:
    measure = partial(_catching_up, count=count, together=together)
    return compare(
        setting.once(),
        f"A replica that was away catches up on {count:,} counter and set operations, {together} an update",
        OPERATIONS_PER_SECOND,
        [Contender("calliope", _in_loop(setting, measure), bound=100_000)],
        "Until the operations are durable there. They were written by 64 tasks.",
    )


def idling(setting: Setting) -> Table:
    """Measure what an idle cluster sends."""
    keys = setting.count(100_000)
    return compare(
        setting.once(),
        f"Five idle replicas with {keys:,} keys: what each sends",
        BYTES_PER_SECOND,
        [Contender("calliope: the one that sends most", _in_loop(setting, partial(_idling, keys=keys)), bound=1_000)],
    )


def _in_loop(setting: Setting, measure: Callable[[Path], Awaitable[float]]) -> Callable[[], float]:
    async def run(folder: Path) -> float:
        return await measure(folder)

    return setting.in_folder(lambda folder: asyncio.run(run(folder)))


def _node(folder: Path, *peers: Replica, name: str = "a") -> Node:
    return Node.open(
        folder / f"{name}.db",
        replica_id=name,
        listen="127.0.0.1:0",
        peers=[peer.address for peer in peers],
        cluster="bench",
    )


async def _delivery(folder: Path, *, samples: int) -> float:
    with replica_process(folder / "b.db", "b") as other:
        async with _node(folder, other) as node:
            events = node.journal.replicated_event_stream(STREAM, ItemAdded, replica_id="a")
            await _connected(node, 1)
            await other.ask("follow", samples)
            called = []
            for number in range(samples):
                await asyncio.sleep(PAUSE_SECONDS)
                called.append(time.monotonic())
                await events.persist(item(number))
            received = await other.answer()
    return 1000 * median([end - start for start, end in zip(called, received, strict=True)])


async def _quorum(folder: Path, *, samples: int) -> float:
    with replica_process(folder / "b.db", "b") as b, replica_process(folder / "c.db", "c", [b.address]) as c:
        async with _node(folder, b, c) as node:
            await _connected(node, 2)
            times = []
            for _ in range(samples):
                await asyncio.sleep(PAUSE_SECONDS)
                called = time.monotonic()
                await node.replicator.update("visits", GCounter, GCounter.increment, replicas=3)
                times.append(time.monotonic() - called)
    return 1000 * median(times)


async def _increments(folder: Path, *, count: int, peers: int) -> float:
    with ExitStack() as stack:
        others = [stack.enter_context(replica_process(folder / "b.db", "b")) for _ in range(peers)]
        async with _node(folder, *others) as node:
            await _connected(node, peers)
            for other in others:
                other.tell("counter", "visits", count // TASKS * TASKS)
            began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(TASKS):
                    tasks.create_task(_increment(node, count // TASKS))
            ended = [time.monotonic(), *[await other.answer() for other in others]]
    return count / (max(ended) - began)


async def _increment(node: Node, times: int) -> None:
    for _ in range(times):
        await node.replicator.update("visits", GCounter, GCounter.increment)


async def _large_update(folder: Path) -> float:
    with replica_process(folder / "b.db", "b") as b, replica_process(folder / "c.db", "c", [b.address]) as c:
        async with _node(folder, b, c) as node:
            await _connected(node, 2)
            b.tell("elements", "set", 20_000)
            c.tell("elements", "set", 20_000)
            await asyncio.sleep(0.1)
            began = time.monotonic()
            await node.replicator.update("set", ORSet, _add_many)
            return max(time.monotonic(), await b.answer(), await c.answer()) - began


def _add_many(elements: ORSet[str]) -> None:
    for number in range(20_000):
        elements.add(f"element-{number}")


async def _newcomer(folder: Path, *, count: int) -> float:
    async with _node(folder) as node:
        await _write_keys(node, count)
        vector = node.journal.store.vector  # type: ignore[attr-defined] # a replica's store
        with replica_process(folder / "b.db", "b", [node.address]) as other:
            began = time.monotonic()
            ended: float = await other.ask("holds", dict(vector.items()))
            assert await other.ask("keys") == count
    return ended - began


async def _write_keys(node: Node, count: int) -> None:
    async def write(first: int) -> None:
        for number in range(first, count, TASKS * 4):
            await node.replicator.update(f"key-{number:07}", ORSet, partial(ORSet.add, element=number))

    async with asyncio.TaskGroup() as tasks:
        for first in range(TASKS * 4):
            tasks.create_task(write(first))


async def _catching_up(folder: Path, *, count: int, together: int) -> float:
    with replica_process(folder / "b.db", "b") as other:
        async with _node(folder, other) as node:
            await node.replicator.update("visits", GCounter, GCounter.increment, replicas=2)
    async with _node(folder) as node:
        await _write_operations(node, count, together)
        vector = node.journal.store.vector  # type: ignore[attr-defined] # a replica's store
        visits = (await node.replicator.get("visits", GCounter)).value
        with replica_process(folder / "b.db", "b", [node.address]) as other:
            began = time.monotonic()
            ended: float = await other.ask("holds", dict(vector.items()))
            assert await other.ask("value", "visits", "GCounter") == visits
    return count / (ended - began)


async def _write_operations(node: Node, count: int, together: int) -> None:
    """Write half of them as increments of a counter, half as elements of a hundred sets, by 64 tasks."""

    async def write(task: int) -> None:
        for number in range(task, count // (2 * together), TASKS):
            await node.replicator.update("visits", GCounter, lambda counter: _increment_times(counter, together))
            await node.replicator.update(f"set-{number % 100}", ORSet, partial(_add_from, number=number))

    def _increment_times(counter: GCounter, times: int) -> None:
        for _ in range(times):
            counter.increment()

    def _add_from(elements: ORSet[int], number: int) -> None:
        for element in range(number * together, (number + 1) * together):
            elements.add(element)

    async with asyncio.TaskGroup() as tasks:
        for task in range(TASKS):
            tasks.create_task(write(task))


async def _idling(folder: Path, *, keys: int) -> float:
    with ExitStack() as stack:
        others: list[Replica] = []
        for name in "bcde":
            addresses = [other.address for other in others]
            others.append(stack.enter_context(replica_process(folder / f"{name}.db", name, addresses)))
        async with _node(folder, *others) as node:
            await _connected(node, 4)
            await _write_keys(node, keys)
            vector = dict(node.journal.store.vector.items())  # type: ignore[attr-defined] # a replica's store
            for other in others:
                await other.ask("holds", vector)
            await asyncio.sleep(IDLE_AFTER_SECONDS)
            before = node.sent_bytes
            rates = await asyncio.gather(*[other.ask("sent", IDLE_SECONDS) for other in others])
            return max(*rates, (node.sent_bytes - before) / IDLE_SECONDS)


async def _connected(node: Node, count: int) -> None:
    while len(node.peers) < count:  # noqa: ASYNC110 - only before what is measured
        await asyncio.sleep(0.01)


BENCHMARKS: tuple[Benchmark, ...] = (
    delivery,
    quorum,
    increments,
    large_update,
    newcomer,
    catching_up,
    catching_up_on_single_operations,
    idling,
)
