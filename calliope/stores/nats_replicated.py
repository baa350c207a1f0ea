"""`NatsReplicated`: replicated streams in JetStream, as the replica's writer sees them while it decides.

The writer decides in a thread of its own, and asks the thread that speaks with NATS. What it asks before it decides is
asked together; what it learns is true for as long as nobody else has written to the log.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import cast

from calliope.errors import CorruptJournalError, MalformedEntryError
from calliope.stores.entry_checks import check_whole, checked_changes
from calliope.stores.log_batch import LogBatch, Receive, ReplicatedAppend
from calliope.stores.nats_commit import VersionChange
from calliope.stores.nats_crossing import NatsThread
from calliope.stores.nats_log import NatsLog
from calliope.stores.nats_notes import NatsNotes, together
from calliope.stores.nats_reader import NatsReader
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.placing import placed
from calliope.stores.protocol import AppendRequest, StreamKind
from calliope.stores.record import StoredRecord
from calliope.stores.replicated_staging import VersionRow
from calliope.stores.stream_versions import StreamVersions
from calliope.stores.versioned import LogEntry, Versioned

STREAMS_REMEMBERED_MAX = 65_536
"""How many streams are remembered; the oldest are forgotten first."""


@dataclass(slots=True)
class Stream:
    """What is known of a stream; number 0: it is not there yet."""

    number: int
    stream_id: str
    kind: StreamKind
    sequence_number: int
    versions: StreamVersions


@dataclass(slots=True)
class Staged:
    """What one commit will say; see `ReplicatedRows`.

    Attributes:
        log: the log.
        holder: the node that holds the journal.
        replicated: the new records of each stream, by its number; their positions are not known yet.
        versions: how far writers have come now, by the stream's number and the writer.
        named: what event ids name, by the stream's number and the id.
        first_numbers: the sequence number of the first new event of each stream.
        stream_ids: the streams, by their numbers.
    """

    log: LogBatch
    holder: str
    replicated: dict[int, list[StoredRecord]] = field(default_factory=dict)
    versions: dict[tuple[int, str], VersionRow] = field(default_factory=dict)
    named: dict[tuple[int, str], list[StoredRecord]] = field(default_factory=dict)
    first_numbers: dict[str, int] = field(default_factory=dict)
    stream_ids: dict[int, str] = field(default_factory=dict)

    @property
    def version_changes(self) -> list[VersionChange]:
        """How far writers have come now, by the stream's id."""
        return [
            (self.stream_ids[number], writer, counter, token, observed)
            for number, writer, counter, token, observed in self.versions.values()
        ]


class NatsReplicated:
    """The streams as the replica's writer sees them; see `StreamTables`.

    Args:
        thread: who is asked.
        events: the events.
        reader: reads them.
        subjects: their subjects.
        notes: the notes on them.
    """

    def __init__(
        self, thread: NatsThread, events: NatsLog, reader: NatsReader, subjects: NatsSubjects, notes: NatsNotes
    ) -> None:
        self._thread = thread
        self._events = events
        self._reader = reader
        self._subjects = subjects
        self._notes = notes
        self._streams: dict[str, list[Stream]] = {}
        self._last_number = 0
        self._named: dict[tuple[str, str], tuple[int, int] | None] = {}
        self._changes: dict[LogEntry, Sequence[Versioned]] = {}
        self._records: dict[tuple[str, int], StoredRecord] = {}

    def begin(self) -> None:
        """Begin with other requests: records that were read for those before are not needed any more."""
        self._records = {}

    def forget(self) -> None:
        """Remember nothing: others wrote, or what was staged is not written."""
        self._streams = {}

    def versions_of(self, stream_ids: Iterable[str]) -> dict[str, StreamVersions]:
        """Return how far the writers of streams have come, staged events included."""
        return {stream_id: self.stream(stream_id, "replicated").versions for stream_id in stream_ids}

    def prepare(self, requests: Sequence[object]) -> None:
        """Ask for what must be known before requests are staged."""
        if len(self._streams) > STREAMS_REMEMBERED_MAX:
            self._streams = dict(islice(self._streams.items(), STREAMS_REMEMBERED_MAX // 2, None))
        self._changes = {}
        stream_ids: set[str] = set()
        names: set[tuple[str, str]] = set()
        for request in requests:
            if isinstance(request, ReplicatedAppend):
                stream_ids.add(request.request.stream_id)
                if request.request.event_id is not None:
                    names.add((request.request.stream_id, request.request.event_id))
            elif isinstance(request, Receive):
                for change in self._decoded(request):
                    stream_ids.add(change.stream_id)
                    if change.event_id is not None:
                        names.add((change.stream_id, change.event_id))
        unknown = [stream_id for stream_id in sorted(stream_ids) if stream_id not in self._streams]
        if unknown or names:
            self._thread.run(self._ask(unknown, sorted(names)))

    def changes_of(self, entry: LogEntry) -> Sequence[Versioned]:
        """Return the changes of an entry that was received; raises as `checked_changes`."""
        changes = self._changes.get(entry)
        return checked_changes(entry) if changes is None else changes

    # What staging asks for; see `StreamTables`.

    def stream(self, stream_id: str, kind: StreamKind) -> Stream:
        """Return a stream of a kind; if there is none, the one of the other kind, or a new one."""
        streams = self._streams.get(stream_id, ())
        for stream in streams:
            if stream.kind == kind:
                return stream
        return streams[0] if streams else self.new_stream(kind)

    def new_stream(self, kind: StreamKind) -> Stream:
        """Return a stream that is not there yet."""
        return Stream(0, "", kind, 0, StreamVersions())

    def versions(self, stream: Stream) -> StreamVersions:
        """Return how far the writers of a stream have come."""
        return stream.versions

    def named(self, event_id: str, stream: Stream, staged: Staged) -> list[StoredRecord] | None:
        """Return the records of the request that an event id names in a stream, or None."""
        if (stream.number, event_id) in staged.named:
            return staged.named[stream.number, event_id]
        stream_id = stream.stream_id
        named = self._named.get((stream_id, event_id))
        if named is None:
            return None
        first, count = named
        records: list[StoredRecord] = []
        while len(records) < count:
            page = self.stored_records(stream_id, first - 1 + len(records), count - len(records))
            if not page:
                raise CorruptJournalError(
                    f"event {first + len(records)} of stream {stream_id!r} is noted, but not there"
                )
            records += page
        return records

    def stage_events(self, request: AppendRequest, stream: Stream, staged: Staged) -> list[StoredRecord]:
        """Number events; what their positions are is not known yet."""
        if stream.number == 0:
            stream.number, stream.stream_id = self._new_number(), request.stream_id
            self._streams.setdefault(request.stream_id, []).append(stream)
        staged.stream_ids[stream.number] = request.stream_id
        staged.first_numbers.setdefault(request.stream_id, stream.sequence_number + 1)
        records = placed(request, -len(request.events) - 1, stream.sequence_number)
        stream.sequence_number = records[-1].sequence_number
        return records

    def stored_records(self, stream_id: str, after: int, limit: int) -> Sequence[StoredRecord]:
        """Return stored records of a replicated stream; they stay as they are, and are read once for a batch.

        Who was overtaken decides anew: if he also read anew all that he had not observed, he would be slower each time.
        """
        known = [self._records.get((stream_id, number)) for number in range(after + 1, after + 1 + limit)]
        found = list(takewhile(lambda record: record is not None, known))
        if found:
            return cast(list[StoredRecord], found)
        page = self._thread.run(self._reader.stream_page(stream_id, after, limit, "replicated"))
        self._records |= {(stream_id, record.sequence_number): record for record in page.records}
        return page.records

    async def _ask(self, stream_ids: Sequence[str], names: Sequence[tuple[str, str]]) -> None:
        found, noted = await asyncio.gather(
            together([self._looked_up(stream_id) for stream_id in stream_ids]),
            together([self._notes.named(*name) for name in names]),
        )
        for stream_id, streams in zip(stream_ids, found, strict=True):
            if streams:
                self._streams[stream_id] = streams
        self._named = dict(zip(names, noted, strict=True))

    async def _looked_up(self, stream_id: str) -> list[Stream]:
        found: list[Stream] = []
        note, raw = await asyncio.gather(
            self._notes.confirmed_versions(stream_id),
            self._events.last(self._subjects.of_stream(stream_id, "plain")),
        )
        if note.last:
            found.append(Stream(self._new_number(), stream_id, "replicated", note.last, note.versions))
        if raw is not None:
            found.append(Stream(self._new_number(), stream_id, "plain", raw.checked().body.last, StreamVersions()))
        return found

    def _new_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _decoded(self, received: Receive) -> list[Versioned]:
        """Return the events of entries, as far as nothing is wrong with these: that is met again when it is staged."""
        found: list[Versioned] = []
        with suppress(MalformedEntryError):
            for entry in received.entries:
                check_whole(entry)
                if entry.kind == "events":
                    self._changes[entry] = checked_changes(entry)
                    found += self._changes[entry]
        return found
