"""`ProcessRun`: one run of a process manager, from its start to its cancellation."""

import logging
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from calliope.context import caused_by
from calliope.domain.agenda import Agenda
from calliope.domain.delivering import derived_id
from calliope.domain.following import CHUNK_RECORDS_MAX, Following
from calliope.domain.process import Rejected
from calliope.domain.process_deadlines import ProcessDeadlines
from calliope.domain.process_decisions import Decisions
from calliope.domain.process_deliveries import ProcessDeliveries
from calliope.domain.process_events import CommandRejected, CommandRetried, DeadlineReached, EventReceived
from calliope.domain.process_instance import ProcessInstance
from calliope.domain.process_instances import ProcessInstances
from calliope.domain.process_parts import ProcessParts
from calliope.recorded_event import RecordedEvent

State = TypeVar("State")
Event = TypeVar("Event")

_logger = logging.getLogger(__name__)


class ProcessRun(Generic[State, Event]):
    """Receives events in the order of their positions, those of different processes at the same time.

    Args:
        parts: what the manager is made of.
        tasks: owns everything that runs.
    """

    def __init__(self, parts: ProcessParts[State, Event], tasks: TaskGroup) -> None:
        self._parts = parts
        self._tasks = tasks
        self._open: dict[str, None] = {}
        self._instances = ProcessInstances(parts.instance)
        self._decisions = Decisions(parts.events, parts.commands)
        self._deadlines = ProcessDeadlines(parts.stream, parts.metadata, Agenda(parts.wall_clock, parts.clock))
        self._deliveries = ProcessDeliveries(
            self._instances,
            parts.commands,
            parts.delivery,
            parts.metadata,
            parts.takeover_seconds,
            parts.parallelism,
            parts.wall_clock,
            Agenda(parts.wall_clock, parts.clock),
            tasks,
            self._note_open,
        )
        self._following = Following(parts.journal, parts.name, parts.causes, self._receive_all, lambda: self._open)

    async def run(self) -> None:
        """Take up what is unfinished, then follow the journal until cancelled."""
        open_ids = await self._following.load()
        for start in range(0, len(open_ids), CHUNK_RECORDS_MAX):
            async with anyio.create_task_group() as tasks:
                for process_id in open_ids[start : start + CHUNK_RECORDS_MAX]:
                    tasks.start_soon(self._receive, process_id, ())
            self._instances.trim(self._deliveries.delivering)
        self._tasks.start_soon(self._deadlines.reach)
        self._tasks.start_soon(self._deliveries.take_over)
        await self._following.run()

    async def _receive_all(self, records: Sequence[RecordedEvent[Any]]) -> None:
        causes: dict[str, list[RecordedEvent[Any]]] = {}
        for record in records:
            process_id = self._parts.process_of(record)
            if process_id is not None:
                causes.setdefault(process_id, []).append(record)
        async with anyio.create_task_group() as tasks:
            for process_id, concerning in causes.items():
                tasks.start_soon(self._receive, process_id, concerning)
        self._instances.trim(self._deliveries.delivering)
        await self._deliveries.wait_for_room()

    async def _receive(self, process_id: str, causes: Sequence[RecordedEvent[Any]]) -> None:
        instance = await self._instances.get(process_id)
        for cause in causes:
            try:
                await self._react(instance, cause)
            except Exception as error:
                error.add_note(f"while process {process_id!r} of {self._parts.name!r} received {cause!r}")
                raise
        await instance.save_snapshot_when_due()
        self._attend(process_id, instance)

    def _attend(self, process_id: str, instance: ProcessInstance[State, Event]) -> None:
        self._deadlines.attend(process_id, instance)
        self._deliveries.attend(process_id, instance)
        self._note_open(process_id, instance)

    def _note_open(self, process_id: str, instance: ProcessInstance[State, Event]) -> None:
        if instance.is_open:
            self._open[process_id] = None
        else:
            self._open.pop(process_id, None)

    async def _react(self, instance: ProcessInstance[State, Event], cause: RecordedEvent[Any]) -> None:
        if isinstance(cause.data, CommandRetried):
            await instance.refresh()
            return
        if cause.position <= instance.through or instance.completed:
            return
        for event in self._event_in(instance, cause):
            await self._receive_event(instance, event, cause)

    async def _receive_event(
        self, instance: ProcessInstance[State, Event], event: Event, cause: RecordedEvent[Any]
    ) -> None:
        stream_id = instance.stream.stream_id
        _, effects = self._parts.process.after(instance.state, event)
        deadline_id = cause.data.deadline_id if isinstance(cause.data, DeadlineReached) else None
        received = EventReceived(cause.id, cause.position, self._parts.events.carried(event), deadline_id)
        with caused_by(cause):
            reply = await instance.stream.persist(
                [received, *self._decisions.of(effects, stream_id, cause)],
                event_id=derived_id(stream_id, cause.id, "received"),
                metadata=self._parts.metadata,
            )
        await instance.absorb(reply.records)

    def _event_in(self, instance: ProcessInstance[State, Event], cause: RecordedEvent[Any]) -> list[Event]:
        """Return what a record brings to a process: one event, or none."""
        match cause.data:
            case DeadlineReached(deadline_id):
                deadline = instance.deadlines.get(deadline_id)
                return [] if deadline is None else [self._parts.events.value_of(deadline.data.event, deadline)]
            case CommandRejected():
                return self._answer_to(cause)
            case event:
                return [event]

    def _answer_to(self, cause: RecordedEvent[CommandRejected]) -> list[Event]:
        rejected = cause.data
        command = self._parts.commands.value_of(rejected.command, cause)
        on_rejected = self._parts.process.on_rejected
        event = None if on_rejected is None else on_rejected(Rejected(command, rejected.to, rejected.reasons))
        if event is None:
            _logger.warning("%s: %r to %r was rejected: %s", cause.stream_id, command, rejected.to, rejected.reasons)
            return []
        return [event]
