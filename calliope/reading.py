"""How records become a stream of elements: inlets over a store, finite and live.

Invariant: an element is handed out once, in order; at the seam between stored and new ones nothing is missing or
doubled, because both sides are told apart by position and nothing is awaited between asking the tail and waiting.
Invariant: memory is bounded by a page, however long the stream.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from calliope.errors import EventError
from calliope.flow import Source
from calliope.limits import checked_number
from calliope.recorded_event import RecordedEvent
from calliope.stores.protocol import EventStore, Page, StreamSummary
from calliope.stores.record import Selection, StoredRecord

E = TypeVar("E")
T = TypeVar("T")

PAGE_RECORDS_MIN = 64
"""How many records are read at once for a consumer that wants few."""

PAGE_RECORDS_MAX = 1_024
"""How many records are read, decoded and held at once, at most."""


class Codec(Protocol[E]):
    """Turns records into events."""

    def decode(self, record: StoredRecord) -> E:
        """Return one record's event; raise an `EventError` that names the record."""
        ...

    def decode_all(self, records: Sequence[StoredRecord]) -> list[E]:
        """Return many records' events, quickly; raise anything if one of them does not decode."""
        ...


class Reading:
    """What is read, and how far: one stream by sequence number, or a journal by position.

    Args:
        store: the store.
        selection: which records; with a stream id, that stream's.
        after: the sequence number, or else the position, to begin after.
    """

    def __init__(self, store: EventStore, selection: Selection, after: int) -> None:
        self.store = store
        self.selection = selection
        self.after = after
        self.place_of: Callable[[StoredRecord], int] = attrgetter(
            "position" if selection.stream_id is None else "sequence_number"
        )

    async def next_page(self, limit: int) -> Page:
        """Read the next page and step behind it."""
        if self.selection.stream_id is not None:
            page = await self.store.read_stream(
                self.selection.stream_id, after=self.after, limit=limit, kind=self.selection.kind
            )
        else:
            page = await self.store.read_all(self.selection, after=self.after, limit=limit)
            self.after = max(self.after, page.through)
        self._step_behind(page.records)
        return page

    def next_from_tail(self, position: int) -> list[StoredRecord]:
        """Take what the tail has after a position and step behind it."""
        found = self.store.tail.after(position, self.selection)
        records = [record for record in found if self.place_of(record) > self.after]
        self._step_behind(records)
        return records

    def _step_behind(self, records: Sequence[StoredRecord]) -> None:
        if records:
            self.after = self.place_of(records[-1])


class RecordDecoder(Generic[T]):
    """Turns records into what a reader is given: events, or recorded events.

    Args:
        decode: for one record; raises an `EventError` that names it.
        decode_all: for many, quickly; any error sends them to `decode`, one by one.
    """

    def __init__(
        self,
        decode: Callable[[StoredRecord], T],
        decode_all: Callable[[Sequence[StoredRecord]], list[T]],
    ) -> None:
        self.decode = decode
        self._decode_all = decode_all

    def decoded(self, records: Sequence[StoredRecord]) -> list[T]:
        """Return what precedes the first record that does not decode; raise its error if that is the first of all."""
        try:
            return self._decode_all(records)
        except Exception:
            return self._up_to_error(records)

    def _up_to_error(self, records: Sequence[StoredRecord]) -> list[T]:
        elements: list[T] = []
        for record in records:
            try:
                elements.append(self.decode(record))
            except EventError:
                if elements:
                    break
                raise
        return elements


def recorded_event_decoder(codec: Codec[E], journal_id: str) -> RecordDecoder[RecordedEvent[E]]:
    """Return a decoder that gives each event with its place and context."""

    def decode(record: StoredRecord) -> RecordedEvent[E]:
        return RecordedEvent(record, codec.decode(record), journal_id)

    def decode_all(records: Sequence[StoredRecord]) -> list[RecordedEvent[E]]:
        return list(map(RecordedEvent, records, codec.decode_all(records), repeat(journal_id)))

    return RecordDecoder(decode, decode_all)


def stored_source(
    store: EventStore, selection: Selection, after: int, until: int | None, decoder: RecordDecoder[T]
) -> Source[T]:
    """Return a source of what is stored when it runs.

    Raises:
        TypeError, ValueError: `after` or `until` is no position.
    """
    checked_number("after", after)
    if until is not None:
        checked_number("until", until)
    return Source.from_inlet(lambda: StoredInlet(Reading(store, selection, after), decoder, until))


def live_source(store: EventStore, selection: Selection, after: int, decoder: RecordDecoder[T]) -> Source[T]:
    """Return a source of what is stored and what comes.

    Raises:
        TypeError, ValueError: `after` is no position.
    """
    checked_number("after", after)
    return Source.from_inlet(lambda: LiveInlet(Reading(store, selection, after), decoder))


class StoredInlet(Generic[T]):
    """Hands out what is stored when it is first pulled, then ends.

    Args:
        reading: what is read.
        decoder: what becomes of each record.
        until: the last sequence number, or else position, that is wanted; None for all there are.
    """

    def __init__(self, reading: Reading, decoder: RecordDecoder[T], until: int | None) -> None:
        self._reading = reading
        self._decoder = decoder
        self._until = until
        self._head: int | None = None
        self._waiting: Sequence[StoredRecord] = ()
        self._finished = until is not None and until <= reading.after

    async def pull(self, limit: int, /) -> list[T]:
        """Hand out the next elements; see `Inlet.pull`."""
        while not self._waiting and not self._finished:
            await self._read(limit)
        elements = self._decoder.decoded(self._waiting[:limit]) if self._waiting else []
        self._waiting = self._waiting[len(elements) :]
        return elements

    async def aclose(self) -> None:
        """Forget what was read ahead."""
        self._finished = True
        self._waiting = ()

    async def _read(self, limit: int) -> None:
        limit = min(max(limit, PAGE_RECORDS_MIN), PAGE_RECORDS_MAX)
        if self._until is not None:
            limit = min(limit, self._until - self._reading.after)
        page = await self._reading.next_page(limit)
        if self._head is None:
            self._head = page.head
        records = page.records
        if records and (records[-1].position > self._head or self._passes_until(records[-1])):
            records = [record for record in records if record.position <= self._head and not self._passes_until(record)]
        self._waiting = records
        self._finished = page.through >= self._head or (self._until is not None and self._reading.after >= self._until)

    def _passes_until(self, record: StoredRecord) -> bool:
        return self._until is not None and self._reading.place_of(record) > self._until


class LiveInlet(Generic[T]):
    """Hands out what is stored, then what comes, until it is closed.

    Args:
        reading: what is read.
        decoder: what becomes of each record.
    """

    def __init__(self, reading: Reading, decoder: RecordDecoder[T]) -> None:
        self._reading = reading
        self._decoder = decoder
        self._through = -1
        self._waiting: Sequence[StoredRecord] = ()

    async def pull(self, limit: int, /) -> list[T]:
        """Hand out the next elements, waiting for the first of them; see `Inlet.pull`."""
        while not self._waiting:
            self._waiting = await self._read(limit)
        elements = self._decoder.decoded(self._waiting[:limit])
        self._waiting = self._waiting[len(elements) :]
        return elements

    async def aclose(self) -> None:
        """Forget what was read ahead."""
        self._waiting = ()

    async def _read(self, limit: int) -> Sequence[StoredRecord]:
        tail = self._reading.store.tail
        if not tail.covers(self._through):
            page = await self._reading.next_page(min(max(limit, PAGE_RECORDS_MIN), PAGE_RECORDS_MAX))
            self._through = page.through
            return page.records
        records = self._reading.next_from_tail(self._through)
        self._through = tail.position
        if not records:
            await tail.wait(self._reading.selection.stream_id)
        return records


class StreamsInlet:
    """Hands out summaries of streams in the order of their ids.

    Args:
        store: the store.
        prefix: how their ids begin.
        after: the id to begin after.
    """

    def __init__(self, store: EventStore, prefix: str, after: str = "") -> None:
        self._store = store
        self._prefix = prefix
        self._after = after

    async def pull(self, limit: int, /) -> list[StreamSummary]:
        """Hand out the next summaries; see `Inlet.pull`."""
        found = await self._store.streams(prefix=self._prefix, after=self._after, limit=min(limit, PAGE_RECORDS_MAX))
        self._after = found[-1].stream_id if found else self._after
        return found

    async def aclose(self) -> None:
        """Nothing is held open."""
