"""Durable timers: set in one process, fired once in any.

A timer is a stream: it is set, perhaps set again, and cancelled or fired. Firing is an event behind exactly the
`TimerSet` that it belongs to (expected version) under an id derived from it, so that of two processes that fire at the
same moment, or one that was killed between firing and remembering it, one event comes. Who wants to act on it follows
`Timers.fired`, with a receptor, a projection or a process manager.

Invariant: a timer fires once for each time it was set and neither set again nor cancelled.
Invariant: it never fires before the wall clock of the process that fires it shows its time (`Agenda`).
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any

import anyio

from calliope.domain.agenda import Agenda
from calliope.domain.delivering import derived_id
from calliope.domain.following import Following
from calliope.domain.instants import datetime_of, due_at, microseconds_of
from calliope.domain.timer_events import TimerCancelled, TimerEvent, TimerFired, TimerSet
from calliope.errors import ExpectedVersionError
from calliope.event_stream import EventStream, MicrosecondClock, system_clock
from calliope.flow import Clock, Source
from calliope.flow.clock import LOOP_CLOCK
from calliope.journal import Journal
from calliope.limits import checked_text
from calliope.owning import owned, single_error
from calliope.recorded_event import RecordedEvent

FIRING_MAX = 256
"""How many timers are fired together, at most."""

NAME_BYTES_MAX = 128
"""UTF-8 bytes of the name of a set of timers, a process manager, a receptor or a scheduler."""

_TYPES = (TimerSet, TimerCancelled, TimerFired)


class Timers:
    """A set of durable timers in a journal. Any number of processes may set, cancel and run them at once.

    Timers are fired while somebody runs them: `async with timers.running():`, or `await timers.run()`. Those that
    became due while nobody did are fired first.

    Args:
        journal: where they are kept.
        name: names the set; its streams are `<name>-<timer id>`.
        wall_clock: the wall clock that deadlines are compared with, in microseconds since 1970 UTC.
        clock: measures the pauses.
    """

    def __init__(
        self, journal: Journal, name: str, *, wall_clock: MicrosecondClock = system_clock, clock: Clock = LOOP_CLOCK
    ) -> None:
        self.name = checked_text("name", name, NAME_BYTES_MAX)
        self._journal = journal
        self._now = wall_clock
        self._prefix = f"{name}-"
        self._agenda: Agenda[str] = Agenda(wall_clock, clock)
        self._set: dict[str, RecordedEvent[Any]] = {}
        self._following = Following(journal, name, self._live_records, self._note, lambda: self._set)

    async def set(
        self,
        timer_id: str,
        *,
        at: datetime | None = None,
        after: timedelta | None = None,
        data: Any = None,
        request_id: str | None = None,
    ) -> None:
        """Have a timer fire at a time, and at no other; return when that is durable.

        Args:
            timer_id: names the timer. One that is set already is set anew; one that has fired begins again.
            at: when, as an aware datetime; one in the past fires at once.
            after: or how long from now.
            data: plain data for whoever acts on it.
            request_id: setting it again under the same id changes nothing, so who was cut off may safely try again.

        Raises:
            TypeError, ValueError: an argument is not legal; nothing was written.

        Cancellation leaves the timer set or not; set it again with the same request id to find out.
        """
        due = due_at(at, after, self._now())
        await self._stream(timer_id).persist(TimerSet(timer_id, datetime_of(due), data), event_id=request_id)

    async def cancel(self, timer_id: str) -> bool:
        """Cancel a timer; tell whether it was set and will not fire.

        Cancellation of the caller leaves the timer cancelled or not.
        """
        stream = self._stream(timer_id)
        while (last := await _last_of(stream)) is not None and isinstance(last.data, TimerSet):
            try:
                await stream.persist(TimerCancelled(timer_id), expected_version=last.sequence_number)
            except ExpectedVersionError:
                continue  # somebody else set, cancelled or fired it first
            return True
        return False

    async def due(self, timer_id: str) -> datetime | None:
        """Return when a timer will fire, or None if it is not set."""
        last = await _last_of(self._stream(timer_id))
        return last.data.due if last is not None and isinstance(last.data, TimerSet) else None

    def fired(self, after: int = 0) -> Source[RecordedEvent[TimerFired]]:
        """Yield the firings of this set after a position of the journal, then new ones, for ever."""
        records = self._journal.live_records(after, types=TimerFired, prefix=self._prefix, event_type=TimerFired)
        return records.filter(self._is_ours)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Fire timers while an `async with` block lasts; an error ends the block and is raised in its place."""
        return owned(self.run)

    async def run(self) -> None:
        """Fire timers until cancelled. A timer that is being fired then has fired or will be by whoever runs next."""
        with single_error():
            async with anyio.create_task_group() as tasks:
                await self._take_up(await self._following.load())
                tasks.start_soon(self._fire_when_due)
                await self._following.run()

    def _stream(self, timer_id: str) -> EventStream[TimerEvent]:
        return self._journal.event_stream(f"{self._prefix}{timer_id}", TimerEvent)

    def _live_records(self, after: int) -> Source[RecordedEvent[TimerEvent]]:
        return self._journal.live_records(after, types=_TYPES, prefix=self._prefix, event_type=TimerEvent)

    def _is_ours(self, record: RecordedEvent[TimerEvent]) -> bool:
        return record.stream_id == f"{self._prefix}{record.data.timer_id}"

    async def _take_up(self, timer_ids: Sequence[str]) -> None:
        for timer_id in timer_ids:
            last = await _last_of(self._stream(timer_id))
            if last is not None:
                await self._note([last])

    async def _note(self, records: Sequence[RecordedEvent[TimerEvent]]) -> None:
        for record in filter(self._is_ours, records):
            timer_id = record.data.timer_id
            known = self._set.get(timer_id)
            if known is not None and known.sequence_number >= record.sequence_number:
                continue
            if isinstance(record.data, TimerSet):
                self._set[timer_id] = record
                self._agenda.put(timer_id, microseconds_of("due", record.data.due))
            else:
                self._set.pop(timer_id, None)
                self._agenda.discard(timer_id)

    async def _fire_when_due(self) -> None:
        while True:
            due = [self._set[timer_id] for timer_id in await self._agenda.next_due(FIRING_MAX)]
            async with anyio.create_task_group() as tasks:
                for record in due:
                    tasks.start_soon(self._fire, record)

    async def _fire(self, record: RecordedEvent[Any]) -> None:
        timer: TimerSet = record.data
        event_id = derived_id(record.stream_id, record.sequence_number, "fired")
        try:
            await self._stream(timer.timer_id).persist(
                TimerFired(timer.timer_id, timer.due, timer.data),
                expected_version=record.sequence_number,
                event_id=event_id,
            )
        except ExpectedVersionError:
            return  # it was set anew or cancelled, and that is what counts


async def _last_of(stream: EventStream[TimerEvent]) -> RecordedEvent[TimerEvent] | None:
    version = await stream.version()
    records = await stream.records(after=max(version - 1, 0)).run_collect()
    return records[-1] if records else None
