"""Writing to JetStream: each stream by itself, one message at a time, many streams at once.

Requests for a stream that arrive while its message is under way are put into the next one together. Each message says
which is the last one of its stream that its writer knows of, and the server refuses it if there is a later one; so
writers in any number of processes number their events together, and nothing is written twice:

1. A message was published and no acknowledgement came: a leader died, or a connection was lost. It is published again,
   the same bytes with the same expectation. If the first one was stored, the second is refused.
2. It is refused. The message that follows the expected one is read. If it bears the twelve bytes of ours, ours
   was stored; if not, another process was faster: the requests are checked against what it wrote, and published anew.

A request is refused for its expected version only when the stream's end was looked up, or written, after it arrived.
"""

import asyncio
import secrets
from dataclasses import dataclass
from itertools import chain, count, islice

from calliope.errors import CalliopeError, JournalBusyError
from calliope.stores.nats_arrivals import Advance, Arrivals
from calliope.stores.nats_claims import Claims, StaleEndError
from calliope.stores.nats_connection import Pauses
from calliope.stores.nats_crossing import Call, Crossing, NatsThread
from calliope.stores.nats_errors import NoAnswerError, translated
from calliope.stores.nats_log import NatsLog
from calliope.stores.nats_message import Composition
from calliope.stores.nats_publishing import Publisher, Single
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.placing import check_may_follow
from calliope.stores.protocol import AppendRequest
from calliope.stores.record import StoredRecord, StreamKind

STREAMS_REMEMBERED_MAX = 65_536
"""How many streams' ends are remembered; the oldest are forgotten first."""

WRITER_BYTES = 8

WRITING_BYTES = 12


@dataclass(slots=True)
class Pending:
    """A request, and who waits for it."""

    request: AppendRequest
    call: Call


@dataclass(slots=True)
class End:
    """The end of a stream.

    Attributes:
        sequence: the sequence number of its last message; 0: there is none.
        version: the sequence number of its last event.
        kind: what kind of stream it is; if there is one of each kind, it is the plain one's end.
    """

    sequence: int
    version: int
    kind: StreamKind = "plain"


@dataclass(slots=True)
class _Tried:
    """A message that was published once, and the requests in it."""

    composition: Composition
    chosen: list[Pending]


class NatsWriter:
    """Writes requests. Used in the store's thread.

    Args:
        thread: whose tasks write.
        publisher: publishes messages.
        crossing: has callers go on.
        arrivals: takes what was stored.
        log: the events.
        subjects: their subjects.
        claims: the event ids.
    """

    def __init__(
        self,
        thread: NatsThread,
        publisher: Publisher,
        crossing: Crossing[Advance],
        arrivals: Arrivals,
        log: NatsLog,
        subjects: NatsSubjects,
        claims: Claims,
    ) -> None:
        self.thread = thread
        self.publisher = publisher
        self.address = publisher.connection.address
        self.crossing = crossing
        self.arrivals = arrivals
        self.log = log
        self.subjects = subjects
        self.claims = claims
        self._lanes: dict[str, _StreamLane] = {}
        self._ready: list[_StreamLane] = []
        self._prefix = secrets.token_bytes(WRITER_BYTES)
        self._writings = count()

    def append(self, request: AppendRequest, call: Call) -> None:
        """Begin to write a request; its caller goes on when it is written and published."""
        lane = self._lanes.get(request.stream_id)
        if lane is None:
            if len(self._lanes) >= STREAMS_REMEMBERED_MAX:
                self._forget_oldest()
            lane = self._lanes[request.stream_id] = _StreamLane(self, request.stream_id)
        lane.put(Pending(request, call))

    def new_writing(self) -> bytes:
        """Return bytes that no other message has."""
        return self._prefix + next(self._writings).to_bytes(WRITING_BYTES - WRITER_BYTES, "big")

    def write_soon(self, lane: "_StreamLane") -> None:
        """Have a lane write what it has, together with others, at the end of the loop's turn."""
        self._ready.append(lane)
        if len(self._ready) == 1:
            self.thread.loop.call_soon(self._write_ready)

    def _write_ready(self) -> None:
        lanes, self._ready = self._ready, []
        together: list[Single] = []
        for lane in lanes:
            try:
                message = lane.message() if self.publisher.has_room(len(together) + 1) else None
            except Exception:  # it is met again where it concerns this stream alone
                message = None
            if message is None:
                self.thread.spawn(lane.write())
            else:
                together.append(message)
        if together:
            self.thread.spawn(self.publisher.publish_once(together))

    def _forget_oldest(self) -> None:
        oldest = list(islice(self._lanes.items(), STREAMS_REMEMBERED_MAX // 2))
        for stream_id, lane in oldest:
            if not lane.busy:
                del self._lanes[stream_id]


class _StreamLane:
    """Writes the requests for one stream.

    What is simple goes together with other streams' messages, and costs little: the stream's end is known, what there
    is fits into one message, and no request has an event id. All else, and what was not acknowledged at once, is
    written by a task.

    Attributes:
        busy: whether something is under way.
    """

    __slots__ = ("_arrived", "_confirmed", "_end", "_stream_id", "_subject", "_tried", "_writer", "busy")

    def __init__(self, writer: NatsWriter, stream_id: str) -> None:
        self._writer = writer
        self._stream_id = stream_id
        self._subject = writer.subjects.streams.of(stream_id)
        self._arrived: list[Pending] = []
        self._tried: _Tried | None = None
        self._end: End | None = None
        self._confirmed = False
        self.busy = False

    def put(self, pending: Pending) -> None:
        """Take a request."""
        self._arrived.append(pending)
        if not self.busy:
            self.busy = True
            self._writer.write_soon(self)

    def message(self) -> Single | None:
        """Return a message to be published, the one that it must follow, and what takes its own number.

        None: it is not as simple as that; `write` must be called.
        """
        end = self._end
        if end is None or any(pending.request.event_id is not None for pending in self._arrived):
            return None
        composition, chosen, others = self._composed(self._arrived, end)
        if not chosen or not composition.is_one_message:
            return None
        (message,) = composition.messages()
        self._arrived = others
        self._tried = _Tried(composition, chosen)
        return self._subject, message, end.sequence, self._acknowledged

    def _acknowledged(self, sequence: int | None) -> None:
        tried = self._tried
        if sequence is None or tried is None:
            self._writer.thread.spawn(self.write())
            return
        self._tried = None
        self._end = End(sequence, tried.composition.version)
        self._take(tried.composition, tried.chosen, sequence)
        if self._arrived:
            self._writer.write_soon(self)
        else:
            self.busy = False

    async def write(self) -> None:
        """Write all there is."""
        try:
            if self._tried is not None:
                tried, self._tried = self._tried, None
                await self._write(tried.chosen, tried.composition)
            while self._arrived:
                batch, self._arrived = self._arrived, []
                await self._write(batch, None)
        finally:
            self.busy = False

    async def _write(self, batch: list[Pending], tried: Composition | None) -> None:
        left = batch
        self._confirmed = False
        pauses = Pauses(self._writer.address.timeout_seconds)
        try:
            if tried is not None and self._end is not None:
                left = await self._finished(tried, left, [], self._end, pauses)
            while left:
                left = await self._round(left, pauses)
        except Exception as error:
            self._end = None
            for pending in left:
                self._fail(pending, error)

    async def _round(self, left: list[Pending], pauses: Pauses) -> list[Pending]:
        """Write as much as fits into one message; return what is left to be written."""
        if self._end is None:
            self._end = await self._looked_up()
        composition, chosen, others = self._composed(left, self._end)
        if not chosen:
            if not self._confirmed:
                self._end = None
                return left
            for pending in others:
                await self._refuse(pending, self._end)
            return []
        try:
            finished = await self._claimed(chosen, self._end)
        except StaleEndError:
            self._end = None
            await self._pause(pauses)
            return left
        if finished:
            done = set(map(id, finished))
            return [pending for pending in left if id(pending) not in done]
        return await self._finished(composition, chosen, others, self._end, pauses)

    async def _finished(
        self, composition: Composition, chosen: list[Pending], others: list[Pending], end: End, pauses: Pauses
    ) -> list[Pending]:
        """Publish a message; return the requests that are left to be written."""
        try:
            sequence = await self._published(composition, end, pauses)
        except Exception as error:
            self._end = None
            for pending in chosen:
                self._fail(pending, error)
            return others
        if sequence is None:
            self._end = None
            await self._pause(pauses)
            return [*chosen, *others]
        self._end, self._confirmed = End(sequence, composition.version), True
        self._take(composition, chosen, sequence)
        return others

    def _composed(self, left: list[Pending], end: End) -> tuple[Composition, list[Pending], list[Pending]]:
        """Put requests into a message; return also which they are, and which are not in it."""
        composition = Composition(self._stream_id, end.version, self._writer.new_writing())
        chosen: list[Pending] = []
        others: list[Pending] = []
        named: set[str | None] = set()
        full = False
        for pending in left:
            request = pending.request
            may_follow = request.kind == end.kind == "plain" and request.expected_version in (None, composition.version)
            if full or not may_follow or request.event_id in named:
                others.append(pending)
            elif not composition.add(request):
                full = True
                others.append(pending)
            else:
                chosen.append(pending)
                named |= {request.event_id} - {None}
        return composition, chosen, others

    async def _claimed(self, chosen: list[Pending], end: End) -> list[Pending]:
        """Claim the event ids of requests; return which of them are done with: written before, or not to be claimed."""
        named = [(pending, pending.request.event_id) for pending in chosen if pending.request.event_id is not None]
        if not named:
            return []
        claim, stream_id = self._writer.claims.claim, self._stream_id
        claims = [claim(stream_id, event_id, end.sequence) for _, event_id in named]
        finished: list[Pending] = []
        for (pending, _), found in zip(named, await asyncio.gather(*claims, return_exceptions=True), strict=True):
            if isinstance(found, StaleEndError) or not isinstance(found, Exception | list | None):
                raise found
            if isinstance(found, Exception):
                self._fail(pending, found)
                finished.append(pending)
            elif found is not None:
                self._finish(pending, found)
                finished.append(pending)
        return finished

    async def _published(self, composition: Composition, end: End, pauses: Pauses) -> int | None:
        """Publish a message; return its sequence number, or None if another process was faster."""
        writer, messages = self._writer, [(self._subject, message) for message in composition.messages()]
        while True:
            sequence = await writer.publisher.publish(messages, end.sequence, pauses)
            if sequence is not None:
                return sequence
            raw = await writer.log.next(self._subject, end.sequence + 1)
            if raw is not None:
                own = raw.checked().body.writing == composition.writing
                return raw.sequence + len(messages) - 1 if own else None
            if pauses.over:
                raise NoAnswerError("another message is under way", was_sent=True)
            await pauses.pause()  # it, or another one, is on its way

    async def _looked_up(self) -> End:
        raw = await self._writer.log.last(self._subject)
        self._confirmed = True
        if raw is not None:
            return End(raw.sequence, raw.checked().body.last)
        replicated = await self._writer.log.last(self._writer.subjects.of_stream(self._stream_id, "replicated"))
        return End(0, 0) if replicated is None else End(0, replicated.checked().body.last, "replicated")

    def _take(self, composition: Composition, chosen: list[Pending], sequence: int) -> None:
        arrivals = self._writer.arrivals
        stored = composition.stored(sequence)
        for number, records in stored:
            arrivals.stored(number, records)
        if len(chosen) == 1 and len(stored) == 1:
            chosen[0].call.result = stored[0][1]
            arrivals.finish_after(sequence, chosen[0].call)
            return
        following = chain.from_iterable([records for _, records in stored])
        for pending in chosen:
            pending.call.result = list(islice(following, len(pending.request.events)))
            arrivals.finish_after(sequence, pending.call)

    async def _refuse(self, pending: Pending, end: End) -> None:
        request = pending.request
        try:
            if request.event_id is not None and request.kind == "plain":
                records = await self._writer.claims.find(request.stream_id, request.event_id)
                if records is not None:
                    self._finish(pending, records)
                    return
            check_may_follow(request, end.kind if end.version else request.kind, end.version)
            raise ValueError("what is written to a replicated stream must say who writes it: use append_replicated")
        except (CalliopeError, NoAnswerError, ValueError) as error:
            self._fail(pending, error)

    async def _pause(self, pauses: Pauses) -> None:
        """Let other processes go first, but not for ever."""
        if pauses.over:
            raise JournalBusyError(
                f"others wrote to stream {self._stream_id!r} faster, again and again; nothing was written"
            )
        await asyncio.sleep(0)

    def _finish(self, pending: Pending, records: list[StoredRecord]) -> None:
        pending.call.result = records
        self._writer.crossing.finish(pending.call)

    def _fail(self, pending: Pending, error: Exception) -> None:
        pending.call.error = translated(error, self._writer.address.shown)
        self._writer.crossing.finish(pending.call)
