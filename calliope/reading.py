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
from calliope.limits import POSITION_MAX, checked_number
from calliope.recorded_event import RecordedEvent
from calliope.stores.protocol import EventStore, Page, StreamSummary
from calliope.stores.record import Selection, StoredRecord, StoredType
from calliope.stores.run import RecordRun, Run

E = TypeVar("E")
T = TypeVar("T")

PAGE_RECORDS_MIN = 256
"""How many records are read at once for a consumer that wants few."""

PAGE_RECORDS_MAX = 2_048
"""How many records are read, decoded and held at once, at most."""


class Codec(Protocol[E]):
    """Turns records into events: one by one, or many of one type at once."""

    def decode(self, record: StoredRecord) -> E:
        """Return one record's event; raise an `EventError` that names the record."""
        ...

    def decode_array(self, stored_type: StoredType, array: bytes) -> list[E]:
        """Return the events of one type from a msgpack array of their payloads; raise anything if it cannot."""
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
        whole = selection.stream_id is None
        self.place_of: Callable[[StoredRecord], int] = attrgetter("position" if whole else "sequence_number")
        self._last_place: Callable[[Run], int] = attrgetter("last_position" if whole else "last_sequence_number")

    async def next_page(self, limit: int) -> Page:
        """Read the next page and step behind it."""
        if self.selection.stream_id is not None:
            page = await self.store.read_stream(
                self.selection.stream_id, after=self.after, limit=limit, kind=self.selection.kind
            )
        else:
            page = await self.store.read_all(self.selection, after=self.after, limit=limit)
            self.after = max(self.after, page.through)
        self._step_behind(page.run)
        return page

    def next_from_tail(self, position: int) -> Run:
        """Take what the tail has after a position and step behind it."""
        found = self.store.tail.after(position, self.selection)
        run = RecordRun([record for record in found if self.place_of(record) > self.after])
        self._step_behind(run)
        return run

    def _step_behind(self, run: Run) -> None:
        if run:
            self.after = self._last_place(run)


class RecordDecoder(Generic[T]):
    """Turns records into what a reader is given: events, or recorded events.

    Args:
        decode: for one record; raises an `EventError` that names it.
        decode_run: for many, quickly; any error sends them to `decode`, one by one.
    """

    def __init__(self, decode: Callable[[StoredRecord], T], decode_run: Callable[[Run], list[T]]) -> None:
        self.decode = decode
        self._decode_run = decode_run

    def all_decoded(self, run: Run) -> list[T] | None:
        """Return what becomes of all records; None if any of them does not decode, or must be decoded when taken."""
        try:
            return self._decode_run(run)
        except Exception:
            return None

    def decoded(self, records: Sequence[StoredRecord]) -> list[T]:
        """Return what precedes the first record that does not decode; raise its error if that is the first of all."""
        elements = self.all_decoded(RecordRun(records))
        return self._up_to_error(records) if elements is None else elements

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


def event_decoder(codec: Codec[E]) -> RecordDecoder[E]:
    """Return a decoder that gives events alone."""
    return RecordDecoder(codec.decode, lambda run: run.typed_payloads().decoded(codec.decode_array))


def recorded_event_decoder(codec: Codec[E], journal_id: str) -> RecordDecoder[RecordedEvent[E]]:
    """Return a decoder that gives each event with its place and context."""

    def decode(record: StoredRecord) -> RecordedEvent[E]:
        return RecordedEvent(record, codec.decode(record), journal_id)

    def decode_run(run: Run) -> list[RecordedEvent[E]]:
        events = run.typed_payloads().decoded(codec.decode_array)
        return list(map(RecordedEvent, run.records, events, repeat(journal_id)))

    return RecordDecoder(decode, decode_run)


class Undelivered(Generic[T]):
    """What was read and not handed out yet. It is decoded all at once, or, if that fails, as far as it is asked for.

    Args:
        decoder: what becomes of each record.
    """

    def __init__(self, decoder: RecordDecoder[T]) -> None:
        self._decoder = decoder
        self._run: Run = RecordRun()
        self._elements: list[T] = []
        self._records: list[StoredRecord] = []

    def __bool__(self) -> bool:
        return bool(self._run) or bool(self._elements) or bool(self._records)

    def put(self, run: Run) -> None:
        """Take what was read; everything before it has been handed out."""
        self._run = run

    def take(self, limit: int) -> list[T]:
        """Hand out the next elements; raise the error of a record that does not decode, after those before it."""
        if self._run:
            elements = self._decoder.all_decoded(self._run)
            if elements is None:
                self._records = self._run.records
            else:
                self._elements = elements
            self._run = RecordRun()
        if self._records:
            elements = self._decoder.decoded(self._records[:limit])
            self._records = self._records[len(elements) :]
            return elements
        elements, self._elements = self._elements[:limit], self._elements[limit:]
        return elements

    def clear(self) -> None:
        """Forget what was read ahead."""
        self._run = RecordRun()
        self._elements, self._records = [], []


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
        self._undelivered = Undelivered(decoder)
        self._until = until
        self._head: int | None = None
        self._finished = until is not None and until <= reading.after

    async def pull(self, limit: int, /) -> list[T]:
        """Hand out the next elements; see `Inlet.pull`."""
        while not self._undelivered and not self._finished:
            await self._read(limit)
        return self._undelivered.take(limit)

    async def aclose(self) -> None:
        """Forget what was read ahead."""
        self._finished = True
        self._undelivered.clear()

    async def _read(self, limit: int) -> None:
        limit = min(max(limit, PAGE_RECORDS_MIN), PAGE_RECORDS_MAX)
        if self._until is not None:
            limit = min(limit, self._until - self._reading.after)
        page = await self._reading.next_page(limit)
        if self._head is None:
            self._head = page.head
        self._undelivered.put(self._up_to_end(page.run, self._head))
        self._finished = page.through >= self._head or (self._until is not None and self._reading.after >= self._until)

    def _up_to_end(self, run: Run, head: int) -> Run:
        until = POSITION_MAX if self._until is None else self._until
        if not run or (run.last_position <= head and self._reading.after <= until):
            return run
        place_of = self._reading.place_of
        return RecordRun([record for record in run.records if record.position <= head and place_of(record) <= until])


class LiveInlet(Generic[T]):
    """Hands out what is stored, then what comes, until it is closed.

    Args:
        reading: what is read.
        decoder: what becomes of each record.
    """

    def __init__(self, reading: Reading, decoder: RecordDecoder[T]) -> None:
        self._reading = reading
        self._undelivered = Undelivered(decoder)
        self._through = -1

    async def pull(self, limit: int, /) -> list[T]:
        """Hand out the next elements, waiting for the first of them; see `Inlet.pull`."""
        while not self._undelivered:
            self._undelivered.put(await self._read(limit))
        return self._undelivered.take(limit)

    async def aclose(self) -> None:
        """Forget what was read ahead."""
        self._undelivered.clear()

    async def _read(self, limit: int) -> Run:
        tail = self._reading.store.tail
        if not tail.covers(self._through):
            page = await self._reading.next_page(min(max(limit, PAGE_RECORDS_MIN), PAGE_RECORDS_MAX))
            self._through = page.through
            return page.run
        run = self._reading.next_from_tail(self._through)
        self._through = tail.position
        if not run:
            await tail.wait(self._reading.selection.stream_id)
        return run


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
