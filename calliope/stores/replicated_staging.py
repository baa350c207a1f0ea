"""Writing to replicated streams within one transaction, whatever database it is in.

A request is checked before any of it is staged, so one that fails leaves nothing to undo. The event rows, the log's
entry and how far the writer has come are staged together, and so are written in one commit.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Protocol, TypeVar

from calliope.stores.entry_checks import check_whole, checked_changes
from calliope.stores.log_batch import LogBatch, Receive, ReplicatedAppend
from calliope.stores.log_state import new_log_id
from calliope.stores.placing import check_may_follow
from calliope.stores.protocol import AppendRequest, StreamKind
from calliope.stores.record import StoredRecord
from calliope.stores.replica_store import Appended
from calliope.stores.stream_versions import (
    NOBODY,
    StreamVersions,
    appended_before,
    encode_observed,
    new_events,
    unobserved,
)
from calliope.stores.versioned import LogEntry, Versioned, encode_change

SCAN_RECORDS = 64
"""How many records are read at once when a stream is searched backwards."""

VersionRow = tuple[int, str, int, bytes, bytes]
"""The number of a stream, a writer, the counter of his last event, his token, and what he had observed, encoded."""


class WrittenStream(Protocol):
    """What a writer remembers of a stream; number 0: it has no row yet."""

    number: int
    kind: StreamKind
    sequence_number: int


class ReplicatedRows(Protocol):
    """What one transaction will write of replicated streams.

    Attributes:
        log: the log.
        replicated: the new records of each replicated stream, by its number.
        versions: how far writers have come now, by the stream's number and the writer.
        named: what event ids name, by the stream's number and the id.
    """

    log: LogBatch
    replicated: dict[int, list[StoredRecord]]
    versions: dict[tuple[int, str], VersionRow]
    named: dict[tuple[int, str], list[StoredRecord]]


S = TypeVar("S", bound=WrittenStream)
R = TypeVar("R", bound=ReplicatedRows)
R_contra = TypeVar("R_contra", bound=ReplicatedRows, contravariant=True)


class StreamTables(Protocol[S, R_contra]):
    """Streams as they are stored, seen from within a transaction."""

    def stream(self, stream_id: str, kind: StreamKind) -> S:
        """Return a stream of a kind; if there is none, the one of the other kind, or a new one."""
        ...

    def new_stream(self, kind: StreamKind) -> S:
        """Return a stream that is not there yet."""
        ...

    def versions(self, stream: S) -> StreamVersions:
        """Return how far the writers of a stream have come; the same object each time."""
        ...

    def named(self, event_id: str, stream: S, staged: R_contra) -> list[StoredRecord] | None:
        """Return the records of the request that an event id names in a stream, or None."""
        ...

    def stage_events(self, request: AppendRequest, stream: S, staged: R_contra) -> list[StoredRecord]:
        """Give events their places, and stage the rows that keep them, and the stream's if it is new."""
        ...

    def stored_records(self, stream_id: str, after: int, limit: int) -> Sequence[StoredRecord]:
        """Return stored records of a replicated stream with sequence numbers above one, at most so many."""
        ...


def staged_append(append: ReplicatedAppend, tables: StreamTables[S, R], staged: R) -> Appended:
    """Check a request for a replicated stream, number its events and stage them with the log's entry."""
    request, writing = append.request, append.writing
    stream = tables.stream(request.stream_id, "replicated")
    if request.event_id is not None and stream.number and stream.kind == "replicated":
        earlier = tables.named(request.event_id, stream, staged)
        if earlier is not None:
            before = _newest_first(request.stream_id, earlier[0].sequence_number, stream, tables, staged)
            return appended_before(earlier, writing, before)
    check_may_follow(request, stream.kind, stream.sequence_number)
    versions = tables.versions(stream)
    change = versions.change(request, writing, staged.log.state.writer(writing.replica_id))
    newest_first = _newest_first(request.stream_id, stream.sequence_number + 1, stream, tables, staged)
    news = unobserved(change, versions, newest_first)
    records = _staged_change(change, stream, tables, staged, writing.token)
    if not staged.log.state.log_id:
        staged.log.use(new_log_id(writing.replica_id))
    staged.log.add_changes("events", [encode_change(change)])
    return news.reply(records)


def stage_received(
    received: Receive,
    tables: StreamTables[S, R],
    staged: R,
    changes_of: Callable[[LogEntry], Sequence[Versioned]] = checked_changes,
) -> None:
    """Check other replicas' entries, and stage them and their events.

    Raises:
        LogGapError, ForkedLogError, MalformedEntryError: as `ReplicaStore.receive`.
    """
    for entry in received.entries:
        check_whole(entry)
    new = staged.log.new_among(received.entries, received.snapshot)
    changes = [changes_of(entry) for entry in new if entry.kind == "events"]
    for change in chain.from_iterable(changes):
        stream = tables.stream(change.stream_id, "replicated")
        if stream.kind != "replicated":
            stream = tables.new_stream("replicated")
        _staged_change(change, stream, tables, staged)
    staged.log.add_entries(new)


def _staged_change(
    change: Versioned, stream: S, tables: StreamTables[S, R], staged: R, token: bytes = NOBODY
) -> list[StoredRecord]:
    request = AppendRequest(change.stream_id, "replicated", new_events(change), change.timestamp)
    records = tables.stage_events(request, stream, staged)
    staged.replicated.setdefault(stream.number, []).extend(records)
    if change.event_id is not None and tables.named(change.event_id, stream, staged) is None:
        staged.named[stream.number, change.event_id] = records
    if tables.versions(stream).note(change, token):
        counter = change.counter + len(change.items) - 1
        row = (stream.number, change.writer, counter, token, encode_observed(change.observed))
        staged.versions[stream.number, change.writer] = row
    return records


def _newest_first(
    stream_id: str, before: int, stream: S, tables: StreamTables[S, R], staged: R
) -> Iterator[StoredRecord]:
    """Yield a stream's records with sequence numbers below one, backwards: staged ones, then stored ones."""
    for record in reversed(staged.replicated.get(stream.number, [])):
        if record.sequence_number < before:
            yield record
            before = record.sequence_number
    while before > 1:
        after = max(0, before - 1 - SCAN_RECORDS)
        records: list[StoredRecord] = []
        while after < before - 1:
            page = tables.stored_records(stream_id, after, before - 1 - after)
            if not page:
                return
            records += page
            after = page[-1].sequence_number
        yield from reversed(records)
        before = records[0].sequence_number
