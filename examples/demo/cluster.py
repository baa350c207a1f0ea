"""`Cluster`: the three replicas, from the first start to the last; none is left behind, whatever happens."""

import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
from anyio.abc import TaskGroup

from examples.demo.remote_replica import RemoteReplica, ReplicaGoneError
from examples.demo.stores import Journals

REPLICA_IDS = ("berlin", "lisbon", "oslo")

FINDING_SECONDS = 10.0
"""How long replicas may take to find one another by multicast."""

PATIENCE_SECONDS = 30.0
"""How long anything else may take."""


class Cluster:
    """Three replicas.

    Args:
        folder: where they may keep files.
        journals: where their journals are.
        tasks: where their processes are listened to; cancelling it kills them.

    Attributes:
        discovers: whether they find one another by multicast; otherwise they are given addresses.
    """

    def __init__(self, folder: Path, journals: Journals, tasks: TaskGroup) -> None:
        self.discovers = True
        self._tasks = tasks
        self._news = anyio.Event()
        name = f"demo-{secrets.token_hex(4)}"
        self._replicas = {one: RemoteReplica(one, folder, journals(one), name, self._has_news) for one in REPLICA_IDS}

    def __iter__(self) -> Iterator[RemoteReplica]:
        return iter(self._replicas.values())

    def __getitem__(self, replica_id: str) -> RemoteReplica:
        return self._replicas[replica_id]

    async def discover(self) -> None:
        """Start all; return when they have found one another.

        Raises:
            ReplicaGoneError: multicast is not possible on this machine.
            TimeoutError: it is, and nothing is heard by it.
        """
        await self.together(lambda replica: replica.start(self._tasks))
        await self.until(self.is_whole, "replicas that find one another", FINDING_SECONDS)

    async def connect(self) -> None:
        """Start all with one another's addresses; return when they are connected.

        Raises:
            TimeoutError: they could not connect.
        """
        self.discovers = False
        await self.together(RemoteReplica.stop)
        for replica, address in zip(self, _free_addresses(len(REPLICA_IDS)), strict=True):
            replica.address = address
        await self.together(self.restart)
        await self.until(self.is_whole, "replicas that connect")

    async def restart(self, replica: RemoteReplica) -> None:
        """Start a replica again, with the journal that it has."""
        if self.discovers:
            await replica.start(self._tasks)
            return
        peers = [other.address for other in self if other is not replica]
        await replica.start(self._tasks, replica.address, peers)

    async def stop(self) -> None:
        """Let all close their nodes, and return when their processes are gone.

        Raises:
            ReplicaGoneError: one did not exit as it should.
        """
        codes = await self.together(RemoteReplica.stop)
        for replica, code in zip(self, codes, strict=True):
            if code != 0:
                raise ReplicaGoneError(f"{replica.replica_id} exited with {code}: {replica.last_words()}")

    def is_whole(self) -> bool:
        """Whether each is connected with all others."""
        return all(len(replica.status["connected"]) == len(REPLICA_IDS) - 1 for replica in self)

    def is_alone(self, replica_id: str) -> bool:
        """Whether nobody is connected with a replica, as the others say themselves."""
        others = [other for other in self if other.replica_id != replica_id]
        return all(replica_id not in other.status["connected"] for other in others)

    async def until(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Return once a condition holds; look when a replica says how it stands.

        Raises:
            TimeoutError: it did not hold in time.
        """
        try:
            with anyio.fail_after(seconds):
                while not condition():
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"{what}: not within {seconds:g} seconds") from None

    async def converge(self) -> float:
        """Return when each holds and shows what any of them held; tell how many seconds it took.

        Raises:
            TimeoutError: it did not come to that.
        """
        begun = perf_counter()
        held: dict[str, int] = {}
        for vector in await self.together(lambda replica: replica.ask("vector")):
            for log_id, number in vector.items():
                held[log_id] = max(number, held.get(log_id, 0))
        try:
            with anyio.fail_after(PATIENCE_SECONDS):
                await self.together(lambda replica: replica.ask("catch_up", vector=held))
        except TimeoutError:
            raise TimeoutError(f"the replicas do not hold the same after {PATIENCE_SECONDS:g} seconds") from None
        return perf_counter() - begun

    async def together(self, call: Callable[[RemoteReplica], Any]) -> list[Any]:
        """Call something for each replica at once; return the results in their order."""
        return await together([partial(call, replica) for replica in self])

    def _has_news(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()


async def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Await several calls at once; return their results in order, or raise the first error."""
    results: dict[int, Any] = {}
    errors: list[Exception] = []

    async with anyio.create_task_group() as tasks:

        async def run(place: int, call: Callable[[], Any]) -> None:
            try:
                results[place] = await call()
            except Exception as error:
                errors.append(error)
                tasks.cancel_scope.cancel()

        for place, call in enumerate(calls):
            tasks.start_soon(run, place, call)
    if errors:
        raise errors[0]
    return [results[place] for place in range(len(calls))]


def _free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    finally:
        for one in sockets:
            one.close()
