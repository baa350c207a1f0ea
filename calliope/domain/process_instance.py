"""`ProcessInstance`: one process in memory, a fold of its stream."""

from collections.abc import Iterable
from functools import singledispatchmethod
from typing import Any, Generic, TypeVar

import anyio

from calliope.domain import process_events as recorded
from calliope.domain.carried import Carrier
from calliope.domain.process import Process
from calliope.domain.process_events import ProcessEvent
from calliope.event_stream import EventStream
from calliope.recorded_event import RecordedEvent

State = TypeVar("State")
Event = TypeVar("Event")

INSTANCE = "instance"
"""The metadata that says which running process manager wrote a reaction or an outcome, and so delivers."""


class ProcessInstance(Generic[State, Event]):
    """What a process has become by its stream. Records are folded in order, each once, whoever wrote them.

    Args:
        stream: the stream of the process.
        process: its functions.
        events: takes received events out of their records.

    Attributes:
        state: the state of the process.
        through: the position of the last event that it received.
        completed: whether it has ended.
        undelivered: the commands that wait for an answer, by id, in order.
        deadlines: the deadlines that it waits for, by id.
        parked: why its next command is not delivered, or None.
        owner: who wrote the last reaction or outcome, and delivers what follows.
        sequence_number: the last record of the stream that is folded.
    """

    def __init__(
        self, stream: EventStream[ProcessEvent], process: Process[State, Event], events: Carrier[Event]
    ) -> None:
        self.stream = stream
        self.state = process.initial
        self.through = 0
        self.completed = False
        self.undelivered: dict[str, RecordedEvent[recorded.CommandDecided]] = {}
        self.deadlines: dict[str, RecordedEvent[recorded.DeadlineSet]] = {}
        self.parked: str | None = None
        self.owner: str | None = None
        self.sequence_number = 0
        self._evolve = process.evolve
        self._events = events
        self._lock = anyio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether something of it is still to be done without a further event."""
        return bool(self.undelivered or self.deadlines)

    async def refresh(self) -> None:
        """Fold what was added to the stream."""
        async with self._lock:
            self._fold(await self.stream.records(after=self.sequence_number).run_collect())

    async def absorb(self, records: Iterable[RecordedEvent[ProcessEvent]]) -> None:
        """Fold records that a persist returned, and those before them that somebody else wrote."""
        records = list(records)
        async with self._lock:
            if records[0].sequence_number > self.sequence_number + 1:
                records = await self.stream.records(after=self.sequence_number).run_collect()
            self._fold(records)

    def _fold(self, records: Iterable[RecordedEvent[ProcessEvent]]) -> None:
        for record in records:
            if record.sequence_number > self.sequence_number:
                self._note(record.data, record)
                self.sequence_number = record.sequence_number
                self.owner = record.metadata.get(INSTANCE, self.owner)

    @singledispatchmethod
    def _note(self, event: Any, record: RecordedEvent[Any]) -> None:
        """Note what concerns the process; a deadline that was reached does so when its event is received."""

    @_note.register
    def _(self, event: recorded.EventReceived, record: RecordedEvent[Any]) -> None:
        self.through = event.position
        self.state = self._evolve(self.state, self._events.value_of(event.event, record))
        if event.deadline_id is not None:
            self.deadlines.pop(event.deadline_id, None)

    @_note.register
    def _(self, event: recorded.CommandDecided, record: RecordedEvent[Any]) -> None:
        self.undelivered[event.command_id] = record

    @_note.register
    def _(self, event: recorded.DeadlineSet, record: RecordedEvent[Any]) -> None:
        self._forget_deadline(event.name)
        self.deadlines[event.deadline_id] = record

    @_note.register
    def _(self, event: recorded.DeadlineCancelled, record: RecordedEvent[Any]) -> None:
        self._forget_deadline(event.name)

    @_note.register
    def _(self, event: recorded.ProcessCompleted, record: RecordedEvent[Any]) -> None:
        self.completed = True
        self.deadlines.clear()

    @_note.register(recorded.CommandDelivered)
    @_note.register(recorded.CommandRejected)
    def _(self, event: recorded.CommandDelivered | recorded.CommandRejected, record: RecordedEvent[Any]) -> None:
        self.undelivered.pop(event.command_id, None)
        self.parked = None

    @_note.register
    def _(self, event: recorded.CommandParked, record: RecordedEvent[Any]) -> None:
        if event.command_id in self.undelivered:
            self.parked = event.error

    @_note.register
    def _(self, event: recorded.CommandRetried, record: RecordedEvent[Any]) -> None:
        self.parked = None

    def _forget_deadline(self, name: str) -> None:
        self.deadlines = {key: record for key, record in self.deadlines.items() if record.data.name != name}
