"""`ReplicaBacked`: the replica half of a store that writes by one lane, and reads by connections in threads."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar, cast

from calliope.stores.log_batch import LogBatch, LogWrite, Receive, ReplicatedAppend
from calliope.stores.log_state import LogState, check_forgettable
from calliope.stores.protocol import AppendRequest
from calliope.stores.replica_store import Appended, LogPage, StoredState, Writing
from calliope.stores.versioned import LogEntry, Versioned, encode_change
from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN

FORGET_POSITIONS_MAX = 4_096
"""How many log positions are forgotten in one commit, so that nobody waits for all of them."""

T = TypeVar("T")

LogRequest = ReplicatedAppend | Receive | LogWrite
"""What the lane is asked for."""


class LogReader(Protocol):
    """Reads from one connection; each method is what `ReplicaStore` has a method for."""

    def page(self, have: VersionVector, after: int, bytes_max: int) -> LogPage:
        """Return a page of the log."""
        ...

    def state(self, key: str) -> StoredState | None:
        """Return a state."""
        ...

    def states(self, prefix: str, after: str, limit: int, *, bodies: bool) -> list[StoredState]:
        """Return states."""
        ...

    def facts(self) -> dict[str, bytes]:
        """Return all facts."""
        ...

    def stream_version(self, stream_id: str) -> VersionVector:
        """Return how far the writers of a stream have come."""
        ...


class ReplicaBacked:
    """Keeps a replica's log by whatever lane and reader the store has; its state is the one last announced."""

    _log: LogState

    async def _write(self, write: LogRequest) -> object:
        raise NotImplementedError

    async def _read_log(self, read: Callable[[LogReader], T]) -> T:
        raise NotImplementedError

    @property
    def log_id(self) -> str:
        """The log in which what is written here is numbered; see `ReplicaStore`."""
        return self._log.log_id

    @property
    def vector(self) -> VersionVector:
        """The number of the last entry held of each log."""
        return self._log.vector

    @property
    def floor(self) -> VersionVector:
        """What is held only in states."""
        return self._log.floor

    @property
    def checkpoint(self) -> int:
        """The log position through which the stored states contain everything."""
        return self._log.checkpoint

    async def append_replicated(self, request: AppendRequest, writing: Writing) -> Appended:
        """Write events of a replicated stream durably; see `ReplicaStore.append_replicated`."""
        return cast(Appended, await self._write(ReplicatedAppend(request, writing)))

    async def stream_version(self, stream_id: str) -> VersionVector:
        """Return how far each writer has come; see `ReplicaStore.stream_version`."""
        return await self._read_log(lambda log: log.stream_version(stream_id))

    async def use_log(self, log_id: str) -> None:
        """Number what is written from now on in another log; see `ReplicaStore.use_log`."""
        await self._write(LogWrite(lambda log: log.use(log_id)))

    async def append_operations(self, changes: Sequence[Versioned]) -> tuple[str, int]:
        """Write operations durably; see `ReplicaStore.append_operations`."""
        encoded = list(map(encode_change, changes))
        return cast(tuple[str, int], await self._write(LogWrite(lambda log: log.add_operations(encoded))))

    async def receive(self, entries: Sequence[LogEntry], *, snapshot: VersionVector | None = None) -> None:
        """Store other replicas' entries durably; see `ReplicaStore.receive`."""
        await self._write(Receive(entries, snapshot or NOTHING_SEEN))

    async def read_log(self, *, have: VersionVector, after: int, bytes_max: int) -> LogPage:
        """Return log entries; see `ReplicaStore.read_log`."""
        return await self._read_log(lambda log: log.page(have, after, bytes_max))

    async def load_state(self, key: str) -> StoredState | None:
        """Return a key's state; see `ReplicaStore.load_state`."""
        return await self._read_log(lambda log: log.state(key))

    async def states(self, *, prefix: str = "", after: str = "", limit: int, bodies: bool = True) -> list[StoredState]:
        """Return states; see `ReplicaStore.states`."""
        return await self._read_log(lambda log: log.states(prefix, after, limit, bodies=bodies))

    async def save_states(self, states: Sequence[StoredState], *, checkpoint: int | None = None) -> None:
        """Replace states durably; see `ReplicaStore.save_states`."""
        await self._write(LogWrite(lambda log: log.save_states(states, checkpoint or 0)))

    async def forget_operations(self, *, through: int) -> None:
        """Delete operations; see `ReplicaStore.forget_operations`.

        It takes several commits if they are many; after a crash between these, some are forgotten and some are not.
        """
        check_forgettable(through, self.checkpoint)
        while (forgotten_through := self._log.forgotten_through) < through:
            end = min(through, forgotten_through + FORGET_POSITIONS_MAX)
            await self._write(LogWrite(partial(LogBatch.forget_operations, through=end)))

    async def install_snapshot(self, vector: VersionVector) -> None:
        """Hold everything up to a vector, durably; see `ReplicaStore.install_snapshot`."""
        await self._write(LogWrite(lambda log: log.install(vector)))

    async def remember(self, name: str, fact: bytes | None) -> None:
        """Keep or forget a fact durably; see `ReplicaStore.remember`."""
        await self._write(LogWrite(lambda log: log.remember(name, fact)))

    async def remembered(self) -> dict[str, bytes]:
        """Return all facts; see `ReplicaStore.remembered`."""
        return await self._read_log(lambda log: log.facts())
