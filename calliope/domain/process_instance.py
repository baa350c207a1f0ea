"""`ProcessInstance`: one process in memory, a fold of its stream."""

import warnings
from collections.abc import Iterable, Mapping
from functools import singledispatchmethod
from typing import Any, Generic, TypeVar

import anyio

from calliope.domain import process_events as recorded
from calliope.domain.carried import Carrier
from calliope.domain.errors import UnsavedSnapshotWarning
from calliope.domain.process import Process
from calliope.domain.process_events import ProcessEvent
from calliope.domain.process_snapshot import ProcessSnapshot, StateForm
from calliope.event_stream import EventStream
from calliope.recorded_event import RecordedEvent
from calliope.snapshots import SnapshotStore, UnreadableSnapshotWarning

State = TypeVar("State")
Event = TypeVar("Event")

SNAPSHOTS_KEPT = 2
"""How many snapshots of a process are kept: if the newest is damaged, there is another."""

INSTANCE = "instance"
"""The metadata that says which running process manager wrote a reaction or an outcome, and so delivers."""


class ProcessInstance(Generic[State, Event]):
    """What a process has become by its stream. Records are folded in order, each once, whoever wrote them.

    Args:
        stream: the stream of the process.
        process: its functions.
        events: takes received events out of their records.
        form: takes the state out of snapshots.
        snapshots: where these are saved.

    Attributes:
        state: the state of the process.
        through: the position of the last event that it received.
        completed: whether it has ended.
        undelivered: the commands that wait for an answer, by id, in order.
        deadlines: the deadlines that it waits for, by id.
        parked: why its next command is not delivered, or None.
        owner: who wrote the last reaction or outcome, and delivers what follows.
        sequence_number: the last record of the stream that is folded.
        snapshot_number: the last record that the newest known snapshot has seen.
    """

    def __init__(
        self,
        stream: EventStream[ProcessEvent],
        process: Process[State, Event],
        events: Carrier[Event],
        form: StateForm[State],
        snapshots: SnapshotStore,
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
        self.snapshot_number = 0
        self._form = form
        self._snapshots = snapshots
        self._evolve = process.evolve
        self._events = events
        self._lock = anyio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether something of it is still to be done without a further event."""
        return bool(self.undelivered or self.deadlines)

    async def load(self) -> None:
        """Begin with the newest snapshot, if there are any, and fold what came after it."""
        async with self._lock:
            if self.sequence_number == 0 and self._form.is_given:
                await self._restore()
        await self.refresh()

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

    async def save_snapshot_when_due(self) -> None:
        """Save a snapshot, if enough has happened since the last one. One that cannot be saved is a warning."""
        if not self._form.every or self.sequence_number - self.snapshot_number < self._form.every:
            return
        self.snapshot_number = self.sequence_number  # also if it fails: the next attempt is as far away
        stream_id = self.stream.stream_id
        try:
            await self._snapshots.save_snapshot(
                stream_id, self._snapshot(), sequence_number=self.sequence_number, keep=SNAPSHOTS_KEPT
            )
        except Exception as error:
            message = f"the snapshot of {stream_id!r} at {self.snapshot_number} could not be saved: {error}"
            warnings.warn(message, UnsavedSnapshotWarning, stacklevel=2)

    def _snapshot(self) -> ProcessSnapshot:
        return ProcessSnapshot(
            state=self._form.carried(self.state),
            through=self.through,
            completed=self.completed,
            undelivered=_numbers(self.undelivered),
            deadlines=_numbers(self.deadlines),
            parked=self.parked,
            owner=self.owner,
        )

    async def _restore(self) -> None:
        """Take up a snapshot, if its state can be read and the stream holds what it has seen."""
        restored = await self.stream.restore(ProcessSnapshot)
        snapshot, records = restored.snapshot, restored.records
        if snapshot is not None and records:
            known = snapshot.state
            try:
                state = self._form.state_in(known.state, records[0])
            except Exception as error:
                message = f"snapshot {self.stream.stream_id!r} at {snapshot.sequence_number} cannot be read: {error}"
                warnings.warn(message, UnreadableSnapshotWarning, stacklevel=2)
                return
            undelivered: Any = [await self._record(number) for number in known.undelivered]
            deadlines: Any = [await self._record(number) for number in known.deadlines]
            self.undelivered = {record.data.command_id: record for record in undelivered}
            self.deadlines = {record.data.deadline_id: record for record in deadlines}
            self.state, self.through, self.completed = state, known.through, known.completed
            self.parked, self.owner = known.parked, known.owner
            self.sequence_number = self.snapshot_number = snapshot.sequence_number
        self._fold(records)

    async def _record(self, number: int) -> RecordedEvent[ProcessEvent]:
        (record,) = await self.stream.records(after=number - 1, until=number).run_collect()
        return record

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


def _numbers(records: Mapping[str, RecordedEvent[Any]]) -> tuple[int, ...]:
    return tuple([record.sequence_number for record in records.values()])
