"""The commands of processes on their way: in order for each process, many processes at a time.

Who wrote the reaction delivers its commands. If several managers run one process, the others look after
`takeover_seconds` whether the first command that waits is still the same; then its deliverer is taken for dead and
the one who looks delivers it. That two deliver the same command is therefore rare, and harmless as long as the command
is carried out: its id is recognised. One that is rejected leaves no trace with the aggregate; should it be accepted
from another who took over a deliverer that was only slow, the first recorded outcome counts.

Invariant: the next command of a process is delivered only when the answer to the one before is durable.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from calliope.context import caused_by
from calliope.domain.agenda import Agenda
from calliope.domain.carried import Carrier
from calliope.domain.delivering import Delivery, Outcome, derived_id
from calliope.domain.process_events import CommandDecided, CommandDelivered, CommandParked, CommandRejected
from calliope.domain.process_instance import INSTANCE, ProcessInstance
from calliope.domain.process_instances import ProcessInstances
from calliope.event_stream import MicrosecondClock
from calliope.flow.pump import Signal
from calliope.recorded_event import RecordedEvent

DELIVERING_PROCESSES_MAX = 1_000
"""How many processes may wait for answers before no further events are received."""

_TAKEOVERS_MAX = 256

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Takeover:
    """Whose first command another was seen to deliver."""

    process_id: str
    command_id: str


class ProcessDeliveries:
    """Delivers what processes decided and records the answers.

    Args:
        instances: the processes.
        commands: takes commands out of their records.
        delivery: delivers a command.
        metadata: for the recorded answers; says who delivered.
        takeover_seconds: how long another's command waits without an answer before it is delivered here.
        parallelism: how many commands are delivered at once, at most.
        wall_clock: the wall clock.
        agenda: for takeovers.
        tasks: owns the deliveries.
        settled: called when nothing of a process is on its way any more.
    """

    def __init__(
        self,
        instances: ProcessInstances[Any, Any],
        commands: Carrier[Any],
        delivery: Delivery,
        metadata: dict[str, str],
        takeover_seconds: float,
        parallelism: int,
        wall_clock: MicrosecondClock,
        agenda: Agenda[Any],
        tasks: TaskGroup,
        settled: Callable[[str, ProcessInstance[Any, Any]], None],
    ) -> None:
        self._instances = instances
        self._commands = commands
        self._delivery = delivery
        self._metadata = metadata
        self._takeover_microseconds = int(takeover_seconds * 1_000_000)
        self._now = wall_clock
        self._agenda: Agenda[_Takeover] = agenda
        self._tasks = tasks
        self._settled = settled
        self._permits = anyio.Semaphore(parallelism)
        self._room = Signal()
        self.delivering: set[str] = set()

    def attend(self, process_id: str, instance: ProcessInstance[Any, Any]) -> None:
        """See to it that what a process wants delivered will be, here or elsewhere."""
        if not instance.undelivered or instance.parked is not None or process_id in self.delivering:
            return
        if instance.owner == self._metadata[INSTANCE]:
            self._start(process_id, instance)
            return
        takeover = _Takeover(process_id, next(iter(instance.undelivered)))
        if takeover not in self._agenda:
            self._agenda.put(takeover, self._now() + self._takeover_microseconds)

    async def wait_for_room(self) -> None:
        """Return when few enough processes wait for answers."""
        while len(self.delivering) >= DELIVERING_PROCESSES_MAX:
            await self._room.wait()

    async def take_over(self) -> None:
        """Deliver what others have left undelivered, until cancelled."""
        while True:
            for takeover in await self._agenda.next_due(_TAKEOVERS_MAX):
                instance = await self._instances.current(takeover.process_id)
                if takeover.command_id not in instance.undelivered or instance.parked is not None:
                    self.attend(takeover.process_id, instance)
                elif takeover.process_id not in self.delivering:
                    self._start(takeover.process_id, instance)

    def _start(self, process_id: str, instance: ProcessInstance[Any, Any]) -> None:
        self.delivering.add(process_id)
        self._tasks.start_soon(self._deliver_all, process_id, instance)

    async def _deliver_all(self, process_id: str, instance: ProcessInstance[Any, Any]) -> None:
        try:
            while instance.undelivered and instance.parked is None:
                await self._deliver(next(iter(instance.undelivered.values())), instance)
        finally:
            self.delivering.discard(process_id)
            self._room.set()
        self._settled(process_id, instance)

    async def _deliver(self, record: RecordedEvent[CommandDecided], instance: ProcessInstance[Any, Any]) -> None:
        decided = record.data
        command = self._commands.value_of(decided.command, record)
        with caused_by(record):
            async with self._permits:
                outcome = await self._delivery.outcome_of(decided.to, command, decided.command_id)
            await self._record(decided, outcome, instance)

    async def _record(self, decided: CommandDecided, outcome: Outcome, instance: ProcessInstance[Any, Any]) -> None:
        persist = partial(instance.stream.persist, metadata=self._metadata)
        command_id = decided.command_id
        answer_id = derived_id(instance.stream.stream_id, command_id, "answer")
        if outcome.error is not None:
            _logger.error("%s is parked, its command to %r fails: %s", instance.stream, decided.to, outcome.error)
            reply = await persist(CommandParked(command_id, outcome.error))
        elif outcome.reasons is not None:
            rejected = CommandRejected(command_id, decided.to, decided.command, outcome.reasons)
            reply = await persist(rejected, event_id=answer_id)
        else:
            reply = await persist(CommandDelivered(command_id), event_id=answer_id)
        await instance.absorb(reply.records)
