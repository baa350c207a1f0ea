"""The protocol that every store fulfils, for those who bring their own.

A store keeps records in an order, `position`, and hands them out again. It knows bytes, never classes. Run
`calliope.testing.EventStoreContract` against a new store: what it checks is what the rest of the library relies on.

Invariant: `append` returns only when the records are durable, and they become visible in `tail` after that.
Invariant: no reader sees a position and later a lower one, or misses one.
Invariant: each request is all or nothing, also when its caller is cancelled in the middle: it may or may not be
    written then, and an event id makes sending it again safe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from calliope.stores.record import NewEvent, Selection, StoredRecord, StoredType, StreamKind
from calliope.stores.run import Run
from calliope.stores.tail import Tail

__all__ = [
    "AppendRequest",
    "EventStore",
    "Page",
    "StoredSnapshot",
    "StreamKind",
    "StreamSummary",
    "before_last_seen",
]


class AppendRequest(msgspec.Struct, frozen=True, gc=False):
    """Events for one stream, all or nothing.

    Attributes:
        stream_id: the stream.
        kind: what kind of stream the caller takes it for.
        events: one or more events. A store may put those together that share their attributes, by identity, but for
            the event id of the first.
        timestamp: when they were persisted, in microseconds since 1970 UTC.
        expected_version: the sequence number that the stream must have now (0: no events), or None for any.
        event_id: names the request, so that it is written once; the first event bears it among its attributes.
    """

    stream_id: str
    kind: StreamKind
    events: Sequence[NewEvent]
    timestamp: int
    expected_version: int | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what was asked for, read at one moment.

    Attributes:
        run: the records, in order; fewer than asked for, or none, do not mean the end: see `complete`. They stay in
            the form in which they were read until somebody asks for `records` or, decoding, for payloads.
        through: every matching record up to this position has now been read.
        head: the journal's highest position at that moment.
    """

    run: Run
    through: int
    head: int

    @property
    def records(self) -> list[StoredRecord]:
        """The records, one an event."""
        return self.run.records

    @property
    def complete(self) -> bool:
        """Whether nothing was left to read at that moment."""
        return self.through >= self.head


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """One stream at a glance: its id, its kind and the sequence number of its last event."""

    stream_id: str
    kind: StreamKind
    sequence_number: int


class StoredSnapshot(msgspec.Struct, frozen=True, gc=False):
    """A state, encoded, with the place up to which it has seen its stream.

    Attributes:
        snapshot_id: whose state; usually a stream id.
        sequence_number: the last event that the state has seen.
        type: the stored type name and schema version of the state.
        timestamp: when it was saved, in microseconds since 1970 UTC.
        payload: the state, encoded; None when it was not asked for, or found damaged.
    """

    snapshot_id: str
    sequence_number: int
    type: StoredType
    timestamp: int
    payload: bytes | None


def before_last_seen(snapshot: StoredSnapshot | None) -> int:
    """Return the sequence number to read after, for a page that begins with the last event that a snapshot has seen."""
    return 0 if snapshot is None else max(snapshot.sequence_number - 1, 0)


class EventStore(Protocol):
    """Keeps records and snapshots, durably and in order.

    Attributes:
        journal_id: names this journal among all others, for ever.
        tail: the newest records in memory, and the wake-up of those who wait for more. The store feeds it.
        places_in_order: whether requests that one event loop submits in some order, without waiting for any, get
            positions in that order, also if they are for different streams. Those for one stream always do.
    """

    journal_id: str
    tail: Tail

    @property
    def places_in_order(self) -> bool: ...  # noqa: D102 - see above

    async def append(self, request: AppendRequest) -> list[StoredRecord]:
        """Write a request durably and return its records.

        Requests that arrive together may share a commit; each succeeds or fails on its own. If the stream holds
        the request's event id already, the records of the first time are returned and nothing is written.

        Raises:
            ExpectedVersionError: the stream has another version; nothing was written.
            StreamKindError: the stream is of another kind; nothing was written.
            ValueError: the request is for a replicated stream: see `ReplicaStore.append_replicated`.
            StorageFullError: there is no room; nothing was written.
            StorageError: the outcome is unknown.
            JournalClosedError: the store is closed; nothing was written.
        """
        ...

    async def read_stream(self, stream_id: str, *, after: int, limit: int, kind: StreamKind | None = None) -> Page:
        """Return records of one stream with sequence numbers above `after`, at most `limit`, in order.

        A stream is of one kind; only if another replica made a replicated stream of the id of a plain one here are
        there two, each with its own sequence numbers. Without a kind the plain one is meant then.

        Raises:
            CorruptRecordError: the first of them is damaged. Records before a damaged one are returned as a page.
        """
        ...

    async def read_all(self, selection: Selection, *, after: int, limit: int) -> Page:
        """Return records of all streams with positions above `after` that match, at most `limit`, in order.

        Raises:
            CorruptRecordError: as `read_stream`.
        """
        ...

    async def stream(self, stream_id: str, *, kind: StreamKind | None = None) -> StreamSummary | None:
        """Return one stream's summary, or None if it has no events; the kind is as in `read_stream`."""
        ...

    async def streams(self, *, prefix: str, after: str, limit: int) -> list[StreamSummary]:
        """Return summaries of streams whose ids begin with `prefix` and sort after `after`, by code point.

        At most `limit` ids: where an id has a stream of each kind, both are returned, the plain one first.
        """
        ...

    async def save_snapshot(self, snapshot: StoredSnapshot) -> None:
        """Keep a snapshot durably; one of the same id and sequence number is replaced."""
        ...

    async def load_snapshot(self, snapshot_id: str, *, through: int) -> StoredSnapshot | None:
        """Return the newest snapshot of an id that has seen no event after one; a damaged one has no payload."""
        ...

    async def read_since_snapshot(
        self, stream_id: str, *, through: int, limit: int
    ) -> tuple[StoredSnapshot | None, Page]:
        """Return what `load_snapshot` returns and what `read_stream` returns of the plain stream, read together.

        The page begins with the last event that the snapshot has seen; without a snapshot with the first of all.

        Raises:
            CorruptRecordError: as `read_stream`.
        """
        ...

    async def list_snapshots(self, snapshot_id: str) -> list[StoredSnapshot]:
        """Return all snapshots of an id without their payloads, the newest first."""
        ...

    async def snapshot_ids(self, *, after: str, limit: int) -> list[str]:
        """Return ids that have snapshots and sort after `after`, by code point, at most `limit`, each once."""
        ...

    async def delete_snapshots(self, snapshot_id: str, *, keep: int) -> int:
        """Delete all but the newest `keep` snapshots of one id; return how many were deleted."""
        ...

    async def aclose(self) -> None:
        """Finish what was accepted, then release everything. Closing twice does nothing."""
        ...
