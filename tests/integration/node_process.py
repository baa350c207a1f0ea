"""A replica as a process that a test commands over a pipe; it ends when it is told to leave, or the test is gone.

It says `{"address": …}` first. Then it does what it is told, in order, and answers each command once; what its writer
has been promised is said in between, as soon as it is: `{"acknowledged": [kind, name]}`.
"""

import asyncio
import warnings
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from crdts import GCounter, ORSet
from replication import Node, QuorumTimeoutError
from replication.version_token import VersionToken

SECONDS = 120.0
"""A limit that only ends a test that hangs."""


@dataclass(frozen=True)
class Written:
    """An event that is persisted once."""

    name: str


class Replica:
    """What a node does on command."""

    def __init__(self, node: Node, run: str, pipe: "Pipe") -> None:
        self._node = node
        self._pipe = pipe
        self._replicator = node.replicator
        self._run = run
        self._events = node.journal.replicated_event_stream("events", Written, replica_id=node.replica_id)
        self._writer: asyncio.Task[None] | None = None
        self._stops = False

    async def write(self, pause_seconds: float) -> None:
        """Begin to count, to add and to persist, round after round, until told to stop."""
        self._writer = asyncio.create_task(self._write(pause_seconds))

    async def stop(self) -> str:
        """End writing; return a token of all that is here."""
        self._stops = True
        if self._writer is not None:
            await self._writer
        return str(await self._replicator.update("last", ORSet, lambda last: last.add(self._run)))

    async def wait(self, *tokens: str) -> None:
        """Return when everything is here that the tokens stand for."""
        for token in tokens:
            await self._replicator.wait_until_version(VersionToken.parse(token), timeout=SECONDS)

    async def get(self, replicas: Any, timeout: float) -> list[str]:
        """Return an ORSet as so many replicas know it."""
        found: ORSet[str] = await self._replicator.get("quorum", ORSet, replicas=replicas, timeout=timeout)
        return sorted(found.value)

    async def add(self, element: str, replicas: Any, timeout: float) -> None:
        """Add an element; return when so many replicas hold it."""
        await self._replicator.update(
            "quorum", ORSet, lambda found: found.add(element), replicas=replicas, timeout=timeout
        )

    async def members(self) -> dict[str, str]:
        """Return the state of each member."""
        return {member.replica_id: member.state for member in await self._node.members()}

    async def report(self) -> dict[str, Any]:
        """Return everything that is here."""
        keys = await self._replicator.keys().run_collect()
        values = {key: await self._replicator.find(key) for key in keys}
        counts = {key: value.value for key, value in values.items() if isinstance(value, GCounter)}
        sets = {key: sorted(value.value) for key, value in values.items() if isinstance(value, ORSet)}
        events = [event.name for event in await self._events.query().run_collect()]
        vector = dict(self._node.journal.store.vector.items())
        return {"counts": counts, "sets": sets, "events": events, "vector": vector}

    async def _write(self, pause_seconds: float) -> None:
        for number in count():
            if self._stops:
                return
            name = f"{self._run} {number}"
            replicas: Any = "majority" if number % 10 == 0 else 1
            await self._replicator.update(
                f"count {self._run}", GCounter, lambda counter: counter.increment(), replicas=replicas, timeout=SECONDS
            )
            self._pipe.say(acknowledged=["count", self._run])
            total = await self._replicator.get("count", GCounter)
            total.increment()
            await self._replicator.update("count", total)
            self._pipe.say(acknowledged=["total", self._run])
            await self._replicator.update("elements", ORSet, lambda elements, name=name: elements.add(name))
            self._pipe.say(acknowledged=["element", name])
            await self._events.persist(Written(name))
            self._pipe.say(acknowledged=["event", name])
            await asyncio.sleep(pause_seconds)


class Pipe:
    """The replica's end of the pipe. A kill leaves a part of what was said last, at most."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def say(self, **facts: Any) -> None:
        self._connection.send(facts)

    async def command(self) -> list[Any] | None:
        """Return the next command; None: it is to end."""
        try:
            told: list[Any] = await asyncio.to_thread(self._connection.recv)
        except EOFError:
            return None
        return None if told == ["leave"] else told


async def serve(pipe: Pipe, path: str, replica_id: str, run: str, peers: list[str]) -> None:
    async with Node.open(path, replica_id=replica_id, listen="127.0.0.1:0", peers=peers, cluster="killed") as node:
        pipe.say(address=node.address)
        replica = Replica(node, run, pipe)
        while (told := await pipe.command()) is not None:
            command, *arguments = told
            try:
                pipe.say(answer=await getattr(replica, command)(*arguments))
            except QuorumTimeoutError as error:
                pipe.say(error=str(error), required=error.required, acknowledged_by=list(error.acknowledged))


def main(connection: Connection, path: str, replica_id: str, run: str, peers: list[str]) -> None:
    """Run a replica until the test has done with it."""
    warnings.simplefilter("error")
    asyncio.run(serve(Pipe(connection), path, replica_id, run, peers))
