"""`EventStream`: one stream of a journal, to persist to and to query."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

from typing_extensions import TypeForm

from calliope.codec import EventCodec
from calliope.flow import Source
from calliope.limits import POSITION_MAX, STREAM_ID_BYTES_MAX, checked_text
from calliope.persisting import append_request
from calliope.reading import PAGE_RECORDS_MIN, event_decoder, live_source, recorded_event_decoder, stored_source
from calliope.recorded_event import PersistReply, RecordedEvent
from calliope.snapshots import Restored, decoded_snapshot
from calliope.stores.protocol import EventStore
from calliope.stores.record import Selection

E = TypeVar("E")
S = TypeVar("S")

MicrosecondClock = Callable[[], int]
"""Returns microseconds since 1970 UTC."""


def system_clock() -> int:
    """Return the system's time, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class EventStream(Generic[E]):
    """The events of one stream. A handle holds nothing open: make as many as you like.

    Get one with `Journal.event_stream`.

    Attributes:
        stream_id: the stream.
    """

    def __init__(self, store: EventStore, stream_id: str, codec: EventCodec[E], clock: MicrosecondClock) -> None:
        self.stream_id = checked_text("stream_id", stream_id, STREAM_ID_BYTES_MAX)
        self._store = store
        self._codec = codec
        self._clock = clock
        self._selection = Selection(stream_id=stream_id, kind="plain")
        self._events = event_decoder(codec)
        self._records = recorded_event_decoder(codec, store.journal_id)

    async def persist(
        self,
        event_or_events: E | Sequence[E],
        *,
        expected_version: int | None = None,
        tags: str | Collection[str] = (),
        metadata: Mapping[str, Any] | None = None,
        event_id: str | UUID | None = None,
    ) -> PersistReply[E]:
        """Store an event, or a list of them all or nothing; return when they are durable.

        Callers that persist at the same time share commits, so a thousand callers cost little more than one.

        Args:
            event_or_events: an event, or a list or tuple of events.
            expected_version: the sequence number that the stream must have now; 0: it has no events.
            tags: a label, or several, for all of the events.
            metadata: plain data for all of the events; what `with_metadata` and `caused_by` set is added to it.
            event_id: names the request; the first event bears it. Persisting it again returns the first reply and
                writes nothing, so who was cut off may safely try again.

        Returns:
            Where the events stand.

        Raises:
            ExpectedVersionError: the stream has another version; nothing was written.
            EventEncodingError: an event cannot be stored; nothing was written.
            StreamKindError: the stream is a replicated one; nothing was written.
            TypeError, ValueError: an argument is not legal; nothing was written.
            JournalError: see its subclasses for whether something was written.

        Cancellation stops the waiting; the events are then written, all or none of them. Persist again with the same
        event id to find out.
        """
        request = append_request(
            self.stream_id,
            "plain",
            self._codec,
            event_or_events,
            self._clock(),
            expected_version=expected_version,
            tags=tags,
            metadata=metadata,
            event_id=event_id,
        )
        return PersistReply(await self._store.append(request), self._records.decode)

    def query(self, after: int = 0, until: int | None = None) -> Source[E]:
        """Yield the events stored when the query runs, in order, then end.

        Args:
            after: the sequence number to begin after.
            until: the last sequence number to yield.

        The source raises `UnreadableEventError` for an event that the code cannot read, and `CorruptRecordError` for
        a damaged one, after it yielded those before.
        """
        return stored_source(self._store, self._selection, after, until, self._events)

    def live_query(self, after: int = 0) -> Source[E]:
        """Yield the stored events, then new ones as they are committed, for ever.

        Args:
            after: the sequence number to begin after.
        """
        return live_source(self._store, self._selection, after, self._events)

    def records(self, after: int = 0, until: int | None = None) -> Source[RecordedEvent[E]]:
        """Yield what `query` yields, each event with its place and context."""
        return stored_source(self._store, self._selection, after, until, self._records)

    def live_records(self, after: int = 0) -> Source[RecordedEvent[E]]:
        """Yield what `live_query` yields, each event with its place and context."""
        return live_source(self._store, self._selection, after, self._records)

    async def restore(self, state_type: TypeForm[S]) -> Restored[S, E]:
        """Return the newest snapshot of this stream that can be read, and the events behind it, read together.

        That takes one look at the journal instead of two, and shows it at one moment.

        Args:
            state_type: the class of the state, a union of classes, or the type of plain data, as `load_snapshot` takes
                it.

        Raises:
            EventError, JournalError: the first of the events cannot be read.

        Warns:
            UnreadableSnapshotWarning: for each newer snapshot that cannot be read.
        """
        through = POSITION_MAX
        while True:
            stored, page = await self._store.read_since_snapshot(
                self.stream_id, through=through, limit=PAGE_RECORDS_MIN
            )
            snapshot = None if stored is None else decoded_snapshot(stored, state_type)
            if stored is None or snapshot is not None:
                break
            through = stored.sequence_number - 1
        records = self._records.decoded(page.records)
        return Restored(snapshot, records, page.complete and len(records) == len(page.run))

    async def version(self) -> int:
        """Return the sequence number of the last event; 0 if there is none."""
        summary = await self._store.stream(self.stream_id, kind="plain")
        return 0 if summary is None else summary.sequence_number

    def __repr__(self) -> str:
        return f"<EventStream {self.stream_id!r}>"
