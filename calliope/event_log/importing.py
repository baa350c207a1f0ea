"""Importing an event log into a journal: fast, in the order of the log, each row once.

1. A batch of rows is read. Of each stream that is met for the first time, the ledger learns what the journal holds.
2. Rows that the journal holds are passed over. Consecutive rows of one stream become one request, all or nothing.
3. The requests of a batch are submitted together, in order, so they share a few commits (one by one where a store
   would give them positions in another order: see `EventStore.places_in_order`). Each expects the version that
   its predecessor in the stream leaves behind: if one fails, those that follow it in its stream fail too, and no row
   overtakes another.

So whatever ends an import, what was written is a part of the log with the order of each stream kept, and importing
the log again adds exactly the rest.

If somebody else writes to the same stream at that very moment, an expected version may be met by chance. Then rows of
that stream may change places, none is lost or doubled, and the import ends with `ExpectedVersionError`, as a row that
was to come before them fails.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter

import anyio.to_thread

from calliope.event_log.columns import TIME, EventLogError, LogRow
from calliope.event_log.ledger import Ledger, fingerprint
from calliope.event_stream import MicrosecondClock, system_clock
from calliope.journal import Journal
from calliope.recorded_event import RecordedEvent
from calliope.stores.protocol import AppendRequest, EventStore
from calliope.stores.record import NewEvent, StoredRecord
from calliope.submitting import submitted_in_order

BATCH_ROWS_MAX = 4_096
"""How many rows are submitted together."""

BATCH_BYTES_MAX = 16 * 1024 * 1024
"""A batch ends when its payloads exceed this."""

PAGE_RECORDS = 1_024
"""How many stored records are read at once."""


@dataclass(frozen=True)
class ImportSummary:
    """What an import did so far.

    Attributes:
        added: rows that became events.
        known: rows whose events the journal held already.
        streams: how many streams the rows belong to.
    """

    added: int = 0
    known: int = 0
    streams: int = 0

    @property
    def rows(self) -> int:
        """How many rows were dealt with."""
        return self.added + self.known


async def import_rows(
    journal: Journal,
    rows: Iterable[LogRow],
    *,
    clock: MicrosecondClock = system_clock,
    on_progress: Callable[[ImportSummary], None] = lambda summary: None,
) -> ImportSummary:
    """Store the rows of an event log that the journal does not hold yet, and return when they are durable.

    Args:
        journal: where to.
        rows: the rows, read in a worker thread, a batch at a time.
        clock: the time that events are stamped with, in microseconds since 1970 UTC.
        on_progress: called after each batch.

    Raises:
        EventLogError: a row cannot be imported; all rows before it are stored.
        ExpectedVersionError: somebody else writes to a stream of the log; importing again goes on.
        CalliopeError: the store failed; importing again goes on.

    Cancellation leaves a part of the log stored, with the order of each stream kept; importing again goes on.
    """
    importer = _Importer(journal._store, clock)  # noqa: SLF001 - it writes many events with metadata of their own
    batches = _batches(rows)
    summary = ImportSummary()
    try:
        while True:
            batch, error = await anyio.to_thread.run_sync(next, batches)
            added = await importer.add(batch)
            summary = ImportSummary(summary.added + added, summary.known + len(batch) - added, importer.stream_count)
            on_progress(summary)
            if error is not None:
                raise error
            if not batch:
                return summary
    finally:
        importer.close()


def _batches(rows: Iterable[LogRow]) -> Iterator[tuple[list[LogRow], EventLogError | None]]:
    """Yield batches for ever, the last ones empty; the error that ends a log comes with the rows before it."""
    remaining = iter(rows)
    error = None
    while True:
        batch: list[LogRow] = []
        byte_count = 0
        try:
            while len(batch) < BATCH_ROWS_MAX and byte_count < BATCH_BYTES_MAX:
                batch.append(next(remaining))
                byte_count += len(batch[-1].event.payload)
        except StopIteration:
            pass
        except EventLogError as bad_row:
            error = bad_row
        yield batch, error


@dataclass(frozen=True)
class _Run:
    """Consecutive rows of one stream."""

    stream_id: str
    events: list[NewEvent]
    expected_version: int


class _Importer:
    def __init__(self, store: EventStore, clock: MicrosecondClock) -> None:
        self._store = store
        self._clock = clock
        self._ledger = Ledger()
        self._nothing_stored = store.tail.position == 0
        self.stream_count = 0

    async def add(self, batch: list[LogRow]) -> int:
        """Store the rows that are not stored yet; return how many."""
        await self._learn_all({row.stream_id: TIME in row.event.attributes.metadata for row in batch})
        new = [row for row in batch if not self._is_known(row)]
        appends = [partial(self._append, run) for run in self._runs(new)]
        await submitted_in_order(appends, one_by_one=not self._store.places_in_order)
        return len(new)

    def close(self) -> None:
        self._ledger.close()

    async def _learn_all(self, streams: dict[str, bool]) -> None:
        """Learn of the streams that are new to the ledger; True: the log says when their events happened."""
        new = [stream_id for stream_id in streams if self._ledger.version(stream_id) is None]
        self.stream_count += len(new)
        await submitted_in_order([partial(self._learn, stream_id, timed=streams[stream_id]) for stream_id in new])

    async def _learn(self, stream_id: str, *, timed: bool) -> None:
        version, complete = 0, self._nothing_stored
        while not complete:
            page = await self._store.read_stream(stream_id, after=version, limit=PAGE_RECORDS)
            complete = page.complete
            for record in page.records:
                self._ledger.add(_fingerprint_of(record, timed=timed))
                version = record.sequence_number
        self._ledger.set_version(stream_id, version)

    def _is_known(self, row: LogRow) -> bool:
        if self._ledger.is_empty:
            return False
        event = row.event
        time = event.attributes.metadata.get(TIME)
        return self._ledger.take(fingerprint(row.stream_id, event.type, event.payload, event.attributes, time))

    def _runs(self, rows: list[LogRow]) -> list[_Run]:
        runs = []
        for stream_id, run in groupby(rows, attrgetter("stream_id")):
            version = self._ledger.version(stream_id) or 0
            events = [row.event for row in run]
            runs.append(_Run(stream_id, events, version))
            self._ledger.set_version(stream_id, version + len(events))
        return runs

    async def _append(self, run: _Run) -> None:
        request = AppendRequest(run.stream_id, "plain", run.events, self._clock(), run.expected_version)
        await self._store.append(request)


def _fingerprint_of(record: StoredRecord, *, timed: bool) -> bytes:
    time = record.attributes.metadata.get(TIME)
    if time is None and timed:
        time = RecordedEvent(record, None, "").timestamp.isoformat()  # what an export says of it
    return fingerprint(record.stream_id, record.type, record.payload, record.attributes, time)
