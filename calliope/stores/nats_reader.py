"""Reading a journal in JetStream: pages of records, of one stream or of all.

JetStream finds messages by subject and by its own sequence number, and knows nothing of the numbers of events in their
stream. The message with a given number is searched for between the first and the last one, by the proportion of the
numbers: a few questions. Pages that follow one another begin where the last one ended, without a search.

By type and tag everything is read and chosen here, a bounded part for each page; the server chooses by stream, and by
the beginning of stream ids.
"""

import asyncio
from collections.abc import Sequence

from calliope.errors import CorruptRecordError
from calliope.stores.event_rows import Row
from calliope.stores.nats_arrivals import Arrivals
from calliope.stores.nats_listing import KINDS
from calliope.stores.nats_log import NatsLog, Raw
from calliope.stores.nats_message import Message, MessageRows, position_of, sequence_of
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.protocol import Page, StreamKind, StreamSummary
from calliope.stores.record import Selection, StoredRecord
from calliope.stores.row_pages import PAGE_PAYLOAD_BYTES_MAX, cut
from calliope.stores.run import RecordRun

PLACES_MAX = 4_096
"""For how many streams it is remembered where the last page ended."""

SCANNED_NUMBERS_MAX = 8
"""How many events are read in vain rather than asked again where to begin."""

SCAN_MESSAGES_MIN = 1_024

SCAN_MESSAGES_MAX = 2_048
"""How many messages one page looks at; it may come back empty and further on."""


class NatsReader:
    """Reads pages. Used in the store's thread.

    Args:
        log: the events.
        subjects: their subjects.
        arrivals: knows what was published, and makes rows of messages.
    """

    def __init__(self, log: NatsLog, subjects: NatsSubjects, arrivals: Arrivals) -> None:
        self._log = log
        self._subjects = subjects
        self._arrivals = arrivals
        self._rows = arrivals.rows
        self._places: dict[str, tuple[int, int]] = {}

    async def stream_page(self, stream_id: str, after: int, limit: int, kind: StreamKind | None = None) -> Page:
        """Return records of one stream; see `EventStore.read_stream`."""
        subject = self._subjects.of_stream(stream_id, kind or "plain")
        page = await self._page(stream_id, subject, after, limit)
        if kind is None and not page.run and await self._log.last(subject) is None:
            return await self._page(stream_id, self._subjects.of_stream(stream_id, "replicated"), after, limit)
        return page

    async def _page(self, stream_id: str, subject: str, after: int, limit: int) -> Page:
        head = self._arrivals.position
        is_next = self._places.get(subject, (0, 0))[0] == after > 0
        begin = await self._place(subject, after)
        looking = asyncio.ensure_future(self._head()) if is_next else None  # there will be more, probably
        try:
            rows, complete = await self._rows_after(stream_id, subject, begin, after, limit) if begin else ([], True)
            end = await looking if looking is not None else 0
        finally:
            if looking is not None:
                looking.cancel()
        if not rows:
            return Page(RecordRun(), head, head)
        last = rows[-1][0]
        run = cut(rows, self._rows.reader(stream_id), after, limit)
        self._remember(subject, run.last_sequence_number, sequence_of(run.last_position))
        if complete and run.last_position == last:
            head = max(head, last)
            return Page(run, head, head)
        return Page(run, run.last_position, end if end > run.last_position else await self._head())

    async def all_page(self, selection: Selection, after: int, limit: int) -> Page:
        """Return records of all streams; see `EventStore.read_all`."""
        head = self._arrivals.position
        begin = sequence_of(after + 1)
        subject = await self._filter(selection)
        count = limit + 1 if selection == Selection() else max(limit, SCAN_MESSAGES_MIN)
        raw, left = await self._log.read(subject, begin, min(count, SCAN_MESSAGES_MAX))
        chosen = _Chosen(selection, after, limit, begin if subject == self._subjects.events else None)
        if chosen.take(raw, self._rows) and not left:
            head = max(head, chosen.through if raw else 0)
            return Page(RecordRun(chosen.records), max(head, after), head)
        if subject == self._subjects.events and raw[-1].sequence + left == self._arrivals.sequence:
            return Page(RecordRun(chosen.records), chosen.through, self._arrivals.position)
        return Page(RecordRun(chosen.records), chosen.through, await self._head())

    async def stream(self, stream_id: str, kind: StreamKind | None = None) -> StreamSummary | None:
        """Return one stream's summary; see `EventStore.stream`."""
        for each in KINDS if kind is None else (kind,):
            raw = await self._log.last(self._subjects.of_stream(stream_id, each))
            if raw is not None:
                return StreamSummary(stream_id, each, raw.checked().body.last)
        return None

    async def _head(self) -> int:
        """Return the highest position that there is now."""
        _, position = await self._log.end(self._subjects.events)
        return max(position, self._arrivals.position)

    async def _filter(self, selection: Selection) -> str:
        stream_id = selection.stream_id
        if stream_id is not None and selection.kind is not None:
            return self._subjects.of_stream(stream_id, selection.kind)
        if stream_id is not None:
            plain, replicated = [self._subjects.of_stream(stream_id, kind) for kind in KINDS]
            if await self._log.last(replicated) is None:
                return plain
            return replicated if await self._log.last(plain) is None else self._subjects.events
        return self._subjects.streams.beginning_with(selection.prefix)

    async def _rows_after(
        self, stream_id: str, subject: str, begin: int, after: int, limit: int
    ) -> tuple[list[Row], bool]:
        """Return the rows of a stream's messages after a number, up to the first damage, and whether these are all."""
        rows: list[Row] = []
        left = 1
        while not rows and left:
            raw, left = await self._log.read(subject, begin, limit + SCANNED_NUMBERS_MAX + 1)
            try:
                if not self._take(raw, rows, stream_id, after, limit):
                    return rows, False
            except CorruptRecordError:
                if rows:
                    return rows, False
                raise
            begin = raw[-1].sequence + 1 if raw else begin
        return rows, not left

    def _take(self, raw: Sequence[Raw], rows: list[Row], stream_id: str, after: int, limit: int) -> bool:
        """Add the rows of messages after a number; tell whether there was room for all."""
        number, byte_count = after, 0
        for each in raw:
            if number >= after + limit or byte_count > PAGE_PAYLOAD_BYTES_MAX:
                return False
            message = each.checked()
            self._check(message, stream_id, number)
            for row in self._rows.rows(message):
                if row[1] > number:
                    rows.append(row)
                    byte_count += len(row[6])
            number = max(number, message.body.last)
        return True

    def _check(self, message: Message, stream_id: str, number: int) -> None:
        if message.body.stream_id != stream_id:
            raise CorruptRecordError(
                position_of(message.sequence), f"is of stream {message.body.stream_id!r}, not {stream_id!r}"
            )
        if message.body.first > number + 1:
            raise CorruptRecordError(
                None, f"number {number + 1} is missing before {message.body.first} (stream {stream_id!r})"
            )

    async def _place(self, subject: str, after: int) -> int:
        """Return a sequence number from which to read what follows a number; 0: there is nothing."""
        if after <= 0:
            return 1
        known = self._places.get(subject)
        low_number, low = known if known is not None and known[0] <= after else (0, 1)
        if after - low_number <= SCANNED_NUMBERS_MAX:
            return low
        raw = await self._log.last(subject)
        if raw is None:
            return 0
        message = raw.checked()
        high_number, high = message.body.first, message.sequence
        if message.body.last <= after:
            return 0
        halve = False
        while high_number > after + 1 and after - low_number > SCANNED_NUMBERS_MAX and high - low > 1:
            share = 0.5 if halve else (after - low_number) / (high_number - low_number)
            middle = min(max(low + 1, low + int((high - low) * share)), high - 1)
            found = await self._log.next(subject, middle)
            if found is None or found.sequence >= high:
                high = middle  # nothing of the stream stands between
                halve = not halve
                continue
            message = found.checked()
            if message.body.last <= after:
                low_number, low = message.body.last, found.sequence
            else:
                high_number, high = message.body.first, middle
                if message.body.first <= after + 1:
                    return found.sequence
            halve = not halve
        return low if high_number > after + 1 else high

    def _remember(self, subject: str, number: int, sequence: int) -> None:
        if len(self._places) >= PLACES_MAX:
            self._places.clear()
        self._places[subject] = number, sequence


class _Chosen:
    """The records of a page across streams.

    Args:
        selection: which records are wanted.
        after: the position after which the page begins.
        limit: how many records it may have.
        begin: the sequence number of the first message if none may be missing, or None.

    Attributes:
        records: the records.
        through: up to which position everything was looked at.
    """

    def __init__(self, selection: Selection, after: int, limit: int, begin: int | None) -> None:
        self.records: list[StoredRecord] = []
        self.through = after
        self._selection = selection
        self._after = after
        self._limit = limit
        self._begin = begin

    def take(self, raw: Sequence[Raw], rows: MessageRows) -> bool:
        """Take what is wanted of messages, up to the first damage; tell whether there was room for all.

        Raises:
            CorruptRecordError: the first of them is damaged or missing.
        """
        expected = None if self._begin is None else max(self._begin, 1)
        try:
            for each in raw:
                if expected is not None and each.sequence != expected:
                    raise CorruptRecordError(position_of(expected), f"is missing before {position_of(each.sequence)}")
                if not self._take(each.checked(), rows):
                    return False
                expected = None if expected is None else each.sequence + 1
        except CorruptRecordError:
            if self.through > self._after:
                return False
            raise
        return True

    def _take(self, message: Message, rows: MessageRows) -> bool:
        if self._may_hold_some(message):
            reader = rows.reader(message.body.stream_id)
            for row in rows.rows(message):
                if row[0] > self._after:
                    self.records += self._wanted(reader.records_of_checked(row))
                    if len(self.records) >= self._limit:
                        del self.records[self._limit :]
                        self.through = self.records[-1].position
                        return False
        self.through = max(self.through, message.last_position)
        return True

    def _may_hold_some(self, message: Message) -> bool:
        selection, body = self._selection, message.body
        return body.stream_id.startswith(selection.prefix) and (
            not selection.types or any(name in selection.types for name, _ in body.types)
        )

    def _wanted(self, records: list[StoredRecord]) -> list[StoredRecord]:
        after, matches = self._after, self._selection.matches
        return [record for record in records if record.position > after and matches(record)]
