"""`ReplicatedEventStream`: one stream that several replicas write to at once, to persist to and to query."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

from calliope.codec import EventCodec
from calliope.conflicts import ConflictInlet
from calliope.errors import shortened
from calliope.flow import Source
from calliope.flow.inlet import Inlet
from calliope.limits import STREAM_ID_BYTES_MAX, checked_number, checked_text
from calliope.observing import Observed, ObservingDecoder, ObservingInlet
from calliope.persisting import append_request
from calliope.reading import (
    LiveInlet,
    Reading,
    RecordDecoder,
    StoredInlet,
    event_decoder,
    recorded_event_decoder,
)
from calliope.recorded_event import PersistReply, RecordedEvent
from calliope.stores.record import Selection
from calliope.stores.replica_store import ReplicaStore, Writing
from crdts import VersionVector

E = TypeVar("E")
T = TypeVar("T")

REPLICA_ID_BYTES_MAX = 255
"""UTF-8 bytes of a replica id."""


def checked_replica_id(value: object) -> str:
    """Return a legal replica id, or raise an error that names it.

    Raises:
        TypeError, ValueError: it is no str, empty, too long, or holds NUL, a lone surrogate or "~".
    """
    replica_id = checked_text("replica_id", value, REPLICA_ID_BYTES_MAX)
    if "~" in replica_id:
        raise ValueError(f"replica_id {replica_id!r} must not contain '~', which separates it from an incarnation")
    return replica_id


class ReplicatedEventStream(Generic[E]):
    """The events of one stream that several replicas write to at once, in one journal or in many.

    A handle has observed what it persisted, what its own sources yielded, and what a reply reported. The version of a
    new event is what was observed plus one of its own; whatever else the stream holds is concurrent to it.

    Replicas hold the same events, each in an order of its own that never puts an event before one that its writer had
    observed. `ConcurrentVersions` makes the same state of them everywhere.

    Get one with `Journal.replicated_event_stream`.

    Attributes:
        stream_id: the stream.
        replica_id: under whose name events are persisted.
    """

    def __init__(
        self, store: ReplicaStore, stream_id: str, codec: EventCodec[E], clock: Callable[[], int], replica_id: str
    ) -> None:
        self.stream_id = checked_text("stream_id", stream_id, STREAM_ID_BYTES_MAX)
        self.replica_id = checked_replica_id(replica_id)
        self._store = store
        self._codec = codec
        self._clock = clock
        self._selection = Selection(stream_id=stream_id, kind="replicated")
        self._observed = Observed()
        self._token = os.urandom(16)
        self._written_as: frozenset[str] = frozenset()
        self._records = recorded_event_decoder(codec, store.journal_id)
        self._events = event_decoder(codec)

    @property
    def observed(self) -> VersionVector:
        """What this handle has observed of the stream."""
        return self._observed.version

    async def persist(
        self,
        event_or_events: E | Sequence[E],
        *,
        expected_version: int | None = None,
        tags: str | Collection[str] = (),
        metadata: Mapping[str, Any] | None = None,
        event_id: str | UUID | None = None,
    ) -> PersistReply[E]:
        """Store an event, or a list of them all or nothing; return when they are durable here.

        The reply tells what the stream held that this handle had not observed, found out in one with the writing.
        What it tells counts as observed from then on. Several tasks may persist at once.

        Args:
            event_or_events: an event, or a list or tuple of events.
            expected_version: the sequence number that the stream must have here and now; 0: it has no events here.
            tags: a label, or several, for all of the events.
            metadata: plain data for all of the events; what `with_metadata` and `caused_by` set is added to it.
            event_id: names the request; the first event bears it. Persisting it again where the stream holds it
                returns the first reply and writes nothing.

        Returns:
            Where the events stand, and what is concurrent to them.

        Raises:
            ReplicaIdInUseError: another handle has written under this replica id since; nothing was written.
            ExpectedVersionError: the stream has another version; nothing was written.
            EventEncodingError: an event cannot be stored; nothing was written.
            StreamKindError: the stream is a plain one; nothing was written.
            TypeError, ValueError: an argument is not legal; nothing was written.
            JournalError: see its subclasses for whether something was written.

        Cancellation stops the waiting; the events are then written, all or none of them. Persist again with the same
        event id to find out.
        """
        request = append_request(
            self.stream_id,
            "replicated",
            self._codec,
            event_or_events,
            self._clock(),
            expected_version=expected_version,
            tags=tags,
            metadata=metadata,
            event_id=event_id,
        )
        writing = Writing(self.replica_id, self._token, self._written_as, dict(self._observed.counters))
        appended = await self._store.append_replicated(request, writing)
        if appended.written:
            self._written_as |= {appended.records[-1].writer}
        self._observed.note(appended.observed)
        return PersistReply(appended.records, self._records.decode, appended.concurrent, detected=appended.detected)

    def query(self, after: int = 0, until: int | None = None) -> Source[E]:
        """Yield the events stored when the query runs, in the order of this journal, then end.

        An event is observed when it is yielded, and with it what its writer had observed.

        Args:
            after: the sequence number to begin after.
            until: the last sequence number to yield.

        The source raises `UnreadableEventError` for an event that the code cannot read, and `CorruptRecordError` for
        a damaged one, after it yielded those before.
        """
        return self._stored(after, until, self._events)

    def live_query(self, after: int = 0) -> Source[E]:
        """Yield the stored events, then new ones as they are committed or arrive, for ever; each is then observed.

        Args:
            after: the sequence number to begin after.
        """
        return self._live(after, self._events)

    def records(self, after: int = 0, until: int | None = None) -> Source[RecordedEvent[E]]:
        """Yield what `query` yields, each event with its place and context."""
        return self._stored(after, until, self._records)

    def live_records(self, after: int = 0) -> Source[RecordedEvent[E]]:
        """Yield what `live_query` yields, each event with its place and context."""
        return self._live(after, self._records)

    def conflicts(self, after: int = 0) -> Source[RecordedEvent[E]]:
        """Yield, for ever, what other replicas wrote concurrently to what this handle had observed when it arrived.

        Concurrent are versions of which neither descends the other: the writer did not know all that this handle knew,
        nor this handle that event. It does not matter whether a query of this handle has yielded it meanwhile. It does
        not count as observed by being yielded here: `observe` it, or query. What is here already is yielded if it is
        concurrent to what the handle has observed when it is read.

        Args:
            after: the sequence number to begin after.
        """
        checked_number("after", after)
        observed, position = self.observed, self._store.tail.position

        def open_inlet() -> Inlet[RecordedEvent[E]]:
            live = LiveInlet(Reading(self._store, self._selection, after), self._records)
            return ConflictInlet(live, self._observed, observed, position, self.replica_id)

        return Source.from_inlet(open_inlet)

    def observe(self, *seen: RecordedEvent[Any] | VersionVector) -> None:
        """Count events of this stream as observed: by their records, or all those that a version of it knows.

        Raises:
            ValueError: a record is of another stream; nothing was observed.
            TypeError: something is neither a record nor a version; nothing was observed.
        """
        for one in seen:
            if not isinstance(one, RecordedEvent | VersionVector):
                raise TypeError(f"what is observed must be a RecordedEvent or a VersionVector, not {shortened(one)}")
            if isinstance(one, RecordedEvent) and one.stream_id != self.stream_id:
                raise ValueError(f"{one!r} is not of stream {self.stream_id!r}")
        for one in seen:
            self._observed.note(one.version if isinstance(one, RecordedEvent) else one)

    async def version(self) -> VersionVector:
        """Return what the stream holds here: the counter of each writer's last event."""
        return await self._store.stream_version(self.stream_id)

    async def sequence_number(self) -> int:
        """Return the sequence number of the last event here, as `expected_version` means it; 0 if there is none."""
        summary = await self._store.stream(self.stream_id, kind="replicated")
        return 0 if summary is None else summary.sequence_number

    def __repr__(self) -> str:
        return f"<ReplicatedEventStream {self.stream_id!r} replica_id={self.replica_id!r}>"

    def _stored(self, after: int, until: int | None, decoder: RecordDecoder[T]) -> Source[T]:
        checked_number("after", after)
        if until is not None:
            checked_number("until", until)
        decoder = ObservingDecoder(decoder, self._observed)
        return _observing(lambda: StoredInlet(Reading(self._store, self._selection, after), decoder, until))

    def _live(self, after: int, decoder: RecordDecoder[T]) -> Source[T]:
        checked_number("after", after)
        decoder = ObservingDecoder(decoder, self._observed)
        return _observing(lambda: LiveInlet(Reading(self._store, self._selection, after), decoder))


def _observing(open_inlet: Callable[[], Inlet[T]]) -> Source[T]:
    return Source.from_inlet(lambda: ObservingInlet(open_inlet()))
