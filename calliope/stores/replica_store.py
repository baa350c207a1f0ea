"""What a store offers beside events so that its journal can be a replica: a log of entries, and states.

The log is the order in which this journal came to hold entries, its own and others'; `log_position` 1, 2, 3 … counts
them, may have gaps, and never travels. Because every journal stores an entry only after what its writer had stored
before, a log read in this order is causal: whoever is sent what he lacks of it in this order has everything's past.

Invariant: the entries of each log are held without gaps from 1 on, except operations at or below `floor`, which are
    only in the states.
Invariant: what is in `log_tail` is durable. Events of an entry are in their streams in the same commit.
"""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import msgspec

from calliope.stores.log_tail import LogTail
from calliope.stores.protocol import AppendRequest, EventStore
from calliope.stores.record import StoredRecord
from calliope.stores.versioned import LogEntry, Versioned
from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN

CONCURRENT_RECORDS_MAX = 1_024
"""How many records that a writer had not observed one reply tells him of."""

CONCURRENT_SCAN_MAX = 16_384
"""How many of a stream's newest records are searched for those."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """A part of a log, read at one moment.

    Attributes:
        entries: the entries, in log order.
        through: everything that was asked for up to this log position has now been read.
        head: the highest log position at that moment.
        floor: operations at or below it are not among the entries: they are only in states, at that moment or soon.
    """

    entries: list[LogEntry]
    through: int
    head: int
    floor: VersionVector = NOTHING_SEEN

    @property
    def complete(self) -> bool:
        """Whether nothing was left to read at that moment."""
        return self.through >= self.head


class StoredState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The state of a CRDT key.

    Attributes:
        key: the key.
        type_name: its CRDT type.
        body: the state, encoded by `Crdt.to_bytes`; empty where only keys were asked for.
    """

    key: str
    type_name: str
    body: bytes


class Writing(msgspec.Struct, frozen=True, gc=False):
    """Who writes to a replicated stream, and what he has observed of it.

    Attributes:
        replica_id: under whose number the events are written.
        token: tells this writer from others who write under the same replica id.
        written_as: the names under which he has written to the stream: one in each log that this journal has written.
            The first time under a name he takes its numbering over.
        observed: the counters of each writer that he has observed.
    """

    replica_id: str
    token: bytes
    written_as: frozenset[str]
    observed: dict[str, int]


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a request to a replicated stream.

    Attributes:
        records: its records.
        concurrent: the records that the writer had not observed, in the order of the stream: at most
            `CONCURRENT_RECORDS_MAX`, the newest, of the newest `CONCURRENT_SCAN_MAX` of the stream.
        detected: whether there was anything that he had not observed.
        observed: what he has observed when he knows all of this; if there was more, nothing of what was concurrent.
        written: whether it was written now; False: the stream held its event id already.
    """

    records: list[StoredRecord]
    concurrent: list[StoredRecord]
    detected: bool
    observed: dict[str, int]
    written: bool


@runtime_checkable
class ReplicaStore(EventStore, Protocol):
    """An event store whose journal can be a replica.

    Attributes:
        log_id: the log in which what is written here is numbered. Lazily made of the first replicated handle's replica
            id if `use_log` was never called.
        vector: the number of the last entry held of each log.
        floor: operations at or below it are only in states, no longer in the log.
        checkpoint: the log position through which all operations are contained in the stored states.
        log_tail: the newest entries in memory, and the wake-up of those who wait for more.
    """

    log_tail: LogTail

    @property
    def log_id(self) -> str:
        """The log in which what is written here is numbered."""
        ...

    @property
    def vector(self) -> VersionVector:
        """The number of the last entry held of each log."""
        ...

    @property
    def floor(self) -> VersionVector:
        """What is held only in states."""
        ...

    @property
    def checkpoint(self) -> int:
        """The log position through which the stored states contain everything."""
        ...

    async def use_log(self, log_id: str) -> None:
        """Number what is written from now on in another log of this replica: a new one, or an earlier one again."""
        ...

    async def append_replicated(self, request: AppendRequest, writing: Writing) -> Appended:
        """Write events of a replicated stream durably, all or nothing, and number them for their writer.

        The events' tags and metadata are those of the first of them. What the writer had observed when he last wrote
        under this replica id he has observed still. Whether there was anything that he had not observed is found out
        in one with the writing.

        Raises:
            ReplicaIdInUseError: somebody else has written under the replica id since he did; nothing was written.
            ExpectedVersionError, StreamKindError, StorageFullError, StorageError, JournalClosedError: as
                `EventStore.append`.
        """
        ...

    async def stream_version(self, stream_id: str) -> VersionVector:
        """Return the counter of each writer's last event in a replicated stream."""
        ...

    async def append_operations(self, changes: Sequence[Versioned]) -> tuple[str, int]:
        """Write operations durably, all or nothing; return the log id and the number of the last entry they are in.

        Raises:
            ValueError: there are no changes, or no log was ever used; nothing was written.
            StorageFullError, StorageError, JournalClosedError: as `EventStore.append`.
        """
        ...

    async def receive(self, entries: Sequence[LogEntry], *, snapshot: VersionVector | None = None) -> None:
        """Store other replicas' entries durably, in order, all or nothing; entries held already are passed over.

        Args:
            entries: each the next of its log.
            snapshot: while a state snapshot is taken over: numbers up to this may be jumped over, because the
                operations between are contained in the states already.

        Raises:
            LogGapError: an entry is not the next of its log; nothing was written.
            ForkedLogError: an entry is held already, with other content; nothing was written.
            MalformedEntryError: an entry does not match its checksum or does not decode; nothing was written.
        """
        ...

    async def read_log(self, *, have: VersionVector, after: int, bytes_max: int) -> LogPage:
        """Return entries after a log position that `have` lacks: at least one if there is one, and about `bytes_max`.

        Raises:
            CorruptRecordError: an entry is damaged.
        """
        ...

    async def load_state(self, key: str) -> StoredState | None:
        """Return a key's stored state, or None."""
        ...

    async def states(self, *, prefix: str = "", after: str = "", limit: int, bodies: bool = True) -> list[StoredState]:
        """Return states whose keys begin with `prefix` and sort after `after`, by code point."""
        ...

    async def save_states(self, states: Sequence[StoredState], *, checkpoint: int | None = None) -> None:
        """Replace states durably, all or nothing, and raise the checkpoint with them.

        States and checkpoint are in one commit: after a crash both are old or both are new.
        """
        ...

    async def forget_operations(self, *, through: int) -> None:
        """Delete operations at or below a log position that is not above the checkpoint; raises the floor."""
        ...

    async def install_snapshot(self, vector: VersionVector) -> None:
        """Say that everything up to a vector is held now: its states were saved, its events received."""
        ...

    async def remember(self, name: str, fact: bytes | None) -> None:
        """Keep a small fact about this replica durably (None: forget it), such as who the members are."""
        ...

    async def remembered(self) -> dict[str, bytes]:
        """Return all facts."""
        ...


@runtime_checkable
class SharedReplicaStore(Protocol):
    """A replica store on a server, which several hosts may open: one node at a time holds it."""

    def held(self) -> AbstractAsyncContextManager[Callable[[], Coroutine[Any, Any, None]]]:
        """Hold the journal for one node while the block lasts; other processes may still write events to it.

        The block is given a function that watches: it returns never, and raises `JournalBusyError` when another node
        holds the journal, which can be only when the server has let this one go. From then on nothing is written that
        a node writes as a node: operations, states, what others sent.

        Raises:
            JournalBusyError: another node holds it.
        """
        ...
