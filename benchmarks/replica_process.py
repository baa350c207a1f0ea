"""A replica in a process of its own, which tells when it has what others wrote."""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.ordering import ItemAdded
from crdts import GCounter, ORSet, VersionVector
from replication import Node

STREAM = "order-1"

LOOK_SECONDS = 0.005

HOLDING_SECONDS_MAX = 240.0
"""A replica that has not caught up by then never will: the benchmark fails instead of waiting for ever."""


@contextmanager
def replica_process(path: Path, replica_id: str, peers: Sequence[str] = ()) -> Iterator["Replica"]:
    """Lend a replica that runs in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, path, replica_id, tuple(peers)), daemon=True)
    process.start()
    try:
        yield Replica(ours, ours.recv())
        ours.send(("end",))
        process.join(30)
    finally:
        process.kill()
        process.join()


class Replica:
    """The handle on a replica in another process.

    Attributes:
        address: where it listens.
    """

    def __init__(self, connection: Connection, address: str) -> None:
        self.address = address
        self._connection = connection

    def tell(self, *request: object) -> None:
        """Tell it to do something; what it answers is for `answer`."""
        self._connection.send(request)

    async def answer(self) -> Any:
        """Return its next answer."""
        return await asyncio.to_thread(self._connection.recv)

    async def ask(self, *request: object) -> Any:
        """Tell it to do something, and return what came of it."""
        self.tell(*request)
        return await self.answer()


def _run(connection: Connection, path: Path, replica_id: str, peers: Sequence[str]) -> None:
    asyncio.run(_serve(connection, path, replica_id, peers))


async def _serve(connection: Connection, path: Path, replica_id: str, peers: Sequence[str]) -> None:
    async with Node.open(path, replica_id=replica_id, listen="127.0.0.1:0", peers=peers, cluster="bench") as node:
        connection.send(node.address)
        while True:
            what, *arguments = await asyncio.to_thread(connection.recv)
            if what == "end":
                return
            connection.send(await _ANSWERS[what](node, connection, *arguments))


async def _follow(node: Node, connection: Connection, count: int) -> list[float]:
    """Return when each of so many events was seen."""
    events = node.journal.replicated_event_stream(STREAM, ItemAdded, replica_id=node.replica_id)
    connection.send("following")
    return [time.monotonic() async for _ in events.live_query().take(count)]


async def _counter(node: Node, connection: Connection, key: str, value: int) -> float:
    """Return when a counter has a value."""
    await node.replicator.wait_until(key, lambda counter: counter.value >= value)
    return time.monotonic()


async def _elements(node: Node, connection: Connection, key: str, count: int) -> float:
    """Return when a set has so many elements."""
    await node.replicator.wait_until(key, lambda elements: len(elements.value) >= count)
    return time.monotonic()


async def _holds(node: Node, connection: Connection, vector: dict[str, int]) -> float:
    """Return when everything up to a vector is held durably: it may come as entries of the log, or as states."""
    store: Any = node.journal.store
    wanted = VersionVector(vector)
    async with asyncio.timeout(HOLDING_SECONDS_MAX):
        while not store.vector.descends(wanted):  # noqa: ASYNC110 - as exact as a figure in seconds needs
            await asyncio.sleep(LOOK_SECONDS)
    return time.monotonic()


async def _keys(node: Node, connection: Connection) -> int:
    return await node.replicator.keys().run_fold(0, lambda count, _: count + 1)


async def _value(node: Node, connection: Connection, key: str, kind: str) -> Any:
    value = (await node.replicator.get(key, {"GCounter": GCounter, "ORSet": ORSet}[kind])).value
    return value if isinstance(value, int) else len(value)


async def _sent_bytes(node: Node, connection: Connection, seconds: float) -> float:
    """Return how many bytes of messages a second it sends."""
    before = node.sent_bytes
    await asyncio.sleep(seconds)
    return (node.sent_bytes - before) / seconds


_ANSWERS = {
    "follow": _follow,
    "counter": _counter,
    "elements": _elements,
    "holds": _holds,
    "keys": _keys,
    "value": _value,
    "sent": _sent_bytes,
}
