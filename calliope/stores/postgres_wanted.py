"""`Wanted`: what a batch must know before anything of it can be staged, asked for together with the journal's lock."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from calliope.errors import MalformedEntryError
from calliope.stores.commit_lane import Pending
from calliope.stores.entry_checks import check_whole, checked_changes
from calliope.stores.log_batch import Receive, ReplicatedAppend
from calliope.stores.postgres_log import ENTRIES_AFTER, HELD_ENTRIES, LOG, Connection, StoredLog, entries_of, stored_log
from calliope.stores.postgres_log_reader import STREAM_VERSIONS
from calliope.stores.postgres_streams import STREAMS, PostgresStreams
from calliope.stores.protocol import AppendRequest, StreamKind
from calliope.stores.versioned import LogEntry, Versioned

FOREIGN_LOG_BYTES_MAX = 1024 * 1024
"""How many bytes of other processes' log entries are read into the tail at once; beyond that readers read pages."""

_KEYS = (
    "SELECT stream.id, event_id, position, event_count"
    " FROM unnest(%s::text[], %s::text[], %s::text[]) AS asked (stream_id, of_kind, asked_id)"
    " JOIN stream ON stream.stream_id = asked.stream_id AND stream.kind = of_kind"
    " JOIN event_key ON event_key.stream = stream.id AND event_key.event_id = asked_id"
)

Rows = Sequence[tuple[Any, ...]]


class Wanted:
    """What a batch must know.

    Args:
        batch: the batch.
        log: the log as it is known.

    Attributes:
        stream_ids: the streams that it writes to.
        replicated: those of them that are replicated.
        concerns_log: whether it writes to the log, or changes something that the log says.
    """

    def __init__(self, batch: Sequence[Pending[Any, object]], log: StoredLog) -> None:
        self.stream_ids: set[str] = set()
        self.replicated: set[str] = set()
        self.concerns_log = False
        self._log = log
        self._named: set[tuple[str, StreamKind, str]] = set()
        self._held: set[tuple[str, int]] = set()
        self._changes: dict[LogEntry, Sequence[Versioned]] = {}
        self._answers: dict[str, Rows] = {}
        for pending in batch:
            request = pending.request
            if isinstance(request, AppendRequest):
                self._append(request)
                continue
            if isinstance(request, ReplicatedAppend):
                self._append(request.request)
            elif isinstance(request, Receive):
                self._receive(request)
            self.concerns_log = self.concerns_log or not callable(request)

    def ask(self, connection: Connection, begin: Sequence[str], streams: PostgresStreams) -> Rows:
        """Ask for all of it in one round trip, after statements to begin with; return what the last of these found."""
        unknown = streams.unknown(self.stream_ids)
        asked: list[tuple[str, tuple[object, ...]]] = [(statement, ()) for statement in begin]
        if unknown:
            asked.append((STREAMS, (unknown,)))
        without_versions = streams.without_versions(self.replicated)
        if without_versions:
            asked.append((STREAM_VERSIONS, (without_versions,)))
        if self._named:
            asked.append((_KEYS, tuple(map(list, zip(*self._named, strict=True)))))
        if self.concerns_log:
            asked += [
                (LOG, (self._log.version,)),
                (ENTRIES_AFTER, (self._log.state.position, FOREIGN_LOG_BYTES_MAX)),
            ]
        if self._held:
            asked.append((HELD_ENTRIES, tuple(map(list, zip(*self._held, strict=True)))))
        with connection.pipeline():
            cursors = [
                (statement, connection.cursor(binary=True).execute(statement.encode(), parameters))
                for statement, parameters in asked
            ]
        self._answers = {
            statement: cursor.fetchall() for statement, cursor in cursors if cursor.description is not None
        }
        return self._answers[begin[-1]]

    def learn(self, connection: Connection, streams: PostgresStreams, *, others_wrote: bool) -> None:
        """Have what was asked for about streams remembered; all of it anew, if others wrote."""
        if others_wrote:
            known = self.stream_ids - set(streams.unknown(self.stream_ids))
            streams.forget_streams()
            streams.read(connection, sorted(known), sorted(known & self.replicated))
        streams.learn(self._answers.get(STREAMS, ()), self._answers.get(STREAM_VERSIONS, ()))

    @property
    def keys(self) -> dict[tuple[int, str], tuple[int, int]]:
        """What event ids name, by the stream's number and the id: the position and the number of events."""
        return {(row[0], row[1]): (row[2], row[3]) for row in self._answers.get(_KEYS, ())}

    @property
    def log(self) -> StoredLog:
        """The log as it is now."""
        return stored_log(self._answers[LOG], self._log) if self.concerns_log else self._log

    @property
    def entries(self) -> list[tuple[int, LogEntry]]:
        """The entries that others added."""
        return entries_of(self._answers.get(ENTRIES_AFTER, ()))

    @property
    def held(self) -> dict[tuple[str, int], LogEntry]:
        """Entries that were sent again, as they are held."""
        return {(entry.log_id, entry.number): entry for _, entry in entries_of(self._answers.get(HELD_ENTRIES, ()))}

    def changes_of(self, entry: LogEntry) -> Sequence[Versioned]:
        """Return the changes of an entry that was received.

        Raises:
            MalformedEntryError: as `checked_changes`.
        """
        changes = self._changes.get(entry)
        return checked_changes(entry) if changes is None else changes

    def _append(self, request: AppendRequest) -> None:
        self.stream_ids.add(request.stream_id)
        if request.kind == "replicated":
            self.replicated.add(request.stream_id)
        if request.event_id is not None:
            self._named.add((request.stream_id, request.kind, request.event_id))

    def _receive(self, received: Receive) -> None:
        with suppress(MalformedEntryError):  # it is met again when it is staged
            for entry in received.entries:
                check_whole(entry)
                if entry.number <= self._log.state.vector[entry.log_id]:
                    self._held.add((entry.log_id, entry.number))
                elif entry.kind == "events":
                    self._decode(entry)

    def _decode(self, entry: LogEntry) -> None:
        changes = self._changes[entry] = checked_changes(entry)
        for change in changes:
            self.stream_ids.add(change.stream_id)
            self.replicated.add(change.stream_id)
            if change.event_id is not None:
                self._named.add((change.stream_id, "replicated", change.event_id))
