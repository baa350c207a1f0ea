"""What a process manager is made of, once its arguments are checked."""

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Generic, TypeVar

from calliope.domain.carried import Carrier
from calliope.domain.delivering import Delivery
from calliope.domain.process import Process
from calliope.domain.process_events import CommandRejected, CommandRetried, DeadlineReached, ProcessEvent
from calliope.domain.process_instance import ProcessInstance
from calliope.domain.process_snapshot import StateForm
from calliope.event_stream import EventStream, MicrosecondClock
from calliope.flow import Clock, Source
from calliope.journal import Journal
from calliope.recorded_event import RecordedEvent

State = TypeVar("State")
Event = TypeVar("Event")

PROCESS = "process"
"""The metadata that says which process manager a record of a process belongs to."""

_OWN: tuple[Any, ...] = (DeadlineReached, CommandRejected, CommandRetried)


@dataclass(frozen=True)
class ProcessParts(Generic[State, Event]):
    """What is the same for all processes of a kind, in this program.

    Attributes:
        journal: where everything is.
        name: the kind of process.
        process: what it does.
        classes: the classes of what it receives.
        events: carries what it receives.
        commands: carries what it sends.
        form: carries its state, in snapshots.
        delivery: delivers commands.
        metadata: marks the records of this manager.
        parallelism: how many commands are delivered at once.
        takeover_seconds: how long others' commands are left alone.
        wall_clock: what deadlines are compared with.
        clock: measures the pauses.
    """

    journal: Journal
    name: str
    process: Process[State, Event]
    classes: tuple[type, ...]
    events: Carrier[Event]
    commands: Carrier[Any]
    form: StateForm[State]
    delivery: Delivery
    metadata: dict[str, str]
    parallelism: int
    takeover_seconds: float
    wall_clock: MicrosecondClock
    clock: Clock

    @property
    def prefix(self) -> str:
        """What the ids of the processes' streams begin with."""
        return f"{self.name}-"

    def stream(self, process_id: str) -> EventStream[ProcessEvent]:
        """Return the stream of a process."""
        return self.journal.event_stream(f"{self.prefix}{process_id}", ProcessEvent)

    def instance(self, process_id: str) -> ProcessInstance[State, Event]:
        """Return a process that knows nothing of its stream yet."""
        stream, snapshots = self.stream(process_id), self.journal.snapshots
        return ProcessInstance(stream, self.process, self.events, self.form, snapshots)

    def causes(self, after: int) -> Source[RecordedEvent[Any]]:
        """Yield whatever processes of this kind may react to."""
        types = (*self.classes, *_OWN)
        return self.journal.live_records(after, types=types, event_type=reduce(or_, types))

    def process_of(self, record: RecordedEvent[Any]) -> str | None:
        """Return the id of the process that a record concerns, or None.

        Raises:
            TypeError: `correlate` returned something that is no id.
            Exception: whatever `correlate` raises.
        """
        if isinstance(record.data, _OWN):
            return record.stream_id.removeprefix(self.prefix) if self.is_own(record) else None
        process_id: object = self.process.correlate(record)
        if process_id is None or (isinstance(process_id, str) and process_id):
            return process_id
        raise TypeError(f"correlate must return the id of a process or None, not {process_id!r}, for {record!r}")

    def is_own(self, record: RecordedEvent[Any]) -> bool:
        """Tell whether a record of a process belongs to this manager."""
        return record.metadata.get(PROCESS) == self.name and record.stream_id.startswith(self.prefix)
