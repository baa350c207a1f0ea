"""Process managers: long-running work that reacts to events with commands and deadlines, and survives restarts.

An order that is to be paid within fifteen minutes of its confirmation, or else is cancelled:

    OrderEvent = Confirmed | Paid | PaymentMissed

    def correlate(record: RecordedEvent[OrderEvent]) -> str:
        return record.data.order_id

    def evolve(state: str, event: OrderEvent) -> str:
        return type(event).__name__

    def react(state: str, event: OrderEvent) -> Sequence[Effect]:
        order = f"order-{event.order_id}"
        match event:
            case Confirmed(order_id):
                return [SetDeadline("payment", PaymentMissed(order_id), after=timedelta(minutes=15))]
            case Paid():
                return [CancelDeadline("payment"), Send(Ship(), to=order), Complete()]
            case PaymentMissed():
                return [Send(Cancel(), to=order), Complete()]

    payment = Process("new", correlate, react, evolve)

    async def serve(journal: Journal, **clocks: Any) -> None:
        orders = Repository(journal, order, event_type=Confirmed | Paid | Shipped | Cancelled)
        await ProcessManager(
            journal, "payment", payment, events=OrderEvent, commands=Ship | Cancel, deliver=orders.execute, **clocks
        ).run()

`Confirmed` and `Paid` are events of the aggregate, with the id of the order; `PaymentMissed` comes from the deadline
only; `Ship` and `Cancel` are commands that its decider, `order`, takes.

A process is a function of the journal. Everything that it reacts to is a record: the events it is interested in, and
two kinds in its own stream, a deadline that was reached and a command that was rejected. They are received in the order
of their positions, and each reaction is one commit to the process' stream, under an id derived from its cause.

1. Whoever runs the manager computes the same reactions; the first commit counts, the others are told of it.
2. A kill before the commit: the cause is read again. A kill after: its id, or its position, is recognised.
3. Commands have derived ids too, so that a delivery that is repeated is recognised by the aggregate.
4. A payment that was recorded before its deadline was reached is received before it, also when all were down meanwhile.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from random import random as any_chance
from typing import Any, Generic, TypeVar
from uuid import uuid4

import anyio
from typing_extensions import TypeForm

from calliope.codec import event_classes
from calliope.domain.carried import Carrier
from calliope.domain.delivering import Deliver, Delivery
from calliope.domain.errors import CommandExpiredError
from calliope.domain.process import Process
from calliope.domain.process_events import CommandParked, CommandRetried
from calliope.domain.process_instance import INSTANCE
from calliope.domain.process_parts import PROCESS, ProcessParts
from calliope.domain.process_run import ProcessRun
from calliope.domain.process_snapshot import StateForm
from calliope.domain.rejection import Rejection
from calliope.domain.timers import NAME_BYTES_MAX
from calliope.event_stream import MicrosecondClock, system_clock
from calliope.flow import Backoff, Clock
from calliope.flow.arguments import check_count, check_seconds
from calliope.flow.clock import LOOP_CLOCK
from calliope.journal import Journal
from calliope.limits import checked_text
from calliope.owning import owned, single_error

State = TypeVar("State")
Event = TypeVar("Event")


@dataclass(frozen=True)
class ProcessStatus(Generic[State]):
    """A process as the journal has it.

    Attributes:
        state: its state.
        completed: whether it has ended.
        deadlines: when it will receive what, by the names of its deadlines.
        undelivered: how many of its commands wait for an answer.
        parked: the error for which its next command is not delivered any more, or None.
    """

    state: State
    completed: bool
    deadlines: dict[str, datetime]
    undelivered: int
    parked: str | None


class ProcessManager(Generic[State, Event]):
    """Runs the processes of one kind: receives events, delivers commands, waits for deadlines.

    Processes run while somebody runs the manager: `async with manager.running():`, or `await manager.run()`. Any number
    of programs may run it on one journal at once.

    Commands are delivered at least once, those of one process in their order; their ids make the aggregate recognise
    a repetition. A rejection is an answer: it is recorded, and `Process.on_rejected` turns it into an event. Any other
    error is tried again with growing pauses; at last the command is *parked*, with those behind it, until `retry`.

    A function of the process that raises stops the run, since to go on would be to skip an event. What was recorded
    stays, and the next run begins with the event that it failed at.

    Args:
        journal: where events come from, and where the processes' streams are, `<name>-<process id>`.
        name: names the kind of process.
        process: what it does.
        events: the class, or union of classes, of all that it receives; of deadlines and rejections too.
        commands: the class, or union of classes, of the commands that it sends.
        deliver: carries out a command; `repository.execute`, or `routed` to several.
        state_type: the class of the state, or the type of plain data; needed for snapshots.
        snapshot_every: after how many events of its own stream a snapshot of a process is saved; 0: never. An event
            received, a command, its answer and a deadline are an event each.
        rejections: the exceptions of `deliver` that are answers.
        attempts: how often a command is tried before it is parked.
        backoff: the pauses between.
        parallelism: how many commands are delivered at once, at most.
        instance: names this running manager. One that takes over the name of another that has ended goes on with what
            that left at once; otherwise that happens after `takeover_seconds`. Never run two of one name at once.
        takeover_seconds: how long a command of another running manager may wait for an answer before it is taken over.
        wall_clock: what deadlines are compared with, in microseconds since 1970 UTC.
        clock: measures the pauses.
        chance: gives random numbers from 0 to 1, which spread the pauses.
    """

    def __init__(
        self,
        journal: Journal,
        name: str,
        process: Process[State, Event],
        *,
        events: TypeForm[Event],
        commands: TypeForm[Any],
        deliver: Deliver,
        state_type: TypeForm[State] | None = None,
        snapshot_every: int = 0,
        rejections: type[Exception] | tuple[type[Exception], ...] = (Rejection, CommandExpiredError),
        attempts: int = 8,
        backoff: Backoff = Backoff(),  # noqa: B008 - it is frozen
        parallelism: int = 64,
        instance: str | None = None,
        takeover_seconds: float = 2.0,
        wall_clock: MicrosecondClock = system_clock,
        clock: Clock = LOOP_CLOCK,
        chance: Callable[[], float] = any_chance,
    ) -> None:
        self.name = checked_text("name", name, NAME_BYTES_MAX)
        check_count("parallelism", parallelism)
        check_seconds("takeover_seconds", takeover_seconds)
        self._parts = ProcessParts(
            journal=journal,
            name=name,
            process=process,
            classes=tuple(event_classes(events)),
            events=Carrier(events),
            commands=Carrier(commands),
            form=StateForm(state_type, snapshot_every),
            delivery=Delivery(
                deliver, rejections=rejections, attempts=attempts, backoff=backoff, clock=clock, chance=chance
            ),
            metadata={PROCESS: name, INSTANCE: instance or str(uuid4())},
            parallelism=parallelism,
            takeover_seconds=takeover_seconds,
            wall_clock=wall_clock,
            clock=clock,
        )

    async def status(self, process_id: str) -> ProcessStatus[State]:
        """Return what the journal holds of a process; of one that has received nothing, the initial state."""
        instance = self._parts.instance(process_id)
        await instance.load()
        deadlines = {record.data.name: record.data.due for record in instance.deadlines.values()}
        return ProcessStatus(instance.state, instance.completed, deadlines, len(instance.undelivered), instance.parked)

    async def parked(self) -> dict[str, str]:
        """Return the ids of the processes whose next command is parked, each with the error."""
        parts = self._parts
        records = parts.journal.records(types=CommandParked, prefix=parts.prefix, event_type=CommandParked)
        ever_parked = {record.stream_id async for record in records if parts.is_own(record)}
        parked: dict[str, str] = {}
        for process_id in sorted(stream_id.removeprefix(parts.prefix) for stream_id in ever_parked):
            error = (await self.status(process_id)).parked
            if error is not None:
                parked[process_id] = error
        return parked

    async def retry(self, process_id: str) -> bool:
        """Have the parked command of a process delivered after all; tell whether there was one.

        Whoever runs the manager then delivers it. Cancellation leaves that asked for or not; asking twice is harmless.
        """
        instance = self._parts.instance(process_id)
        await instance.load()
        if instance.parked is None:
            return False
        await instance.stream.persist(CommandRetried(next(iter(instance.undelivered))), metadata={PROCESS: self.name})
        return True

    def running(self) -> AbstractAsyncContextManager[None]:
        """Run the processes while an `async with` block lasts; an error ends the block and is raised in its place."""
        return owned(self.run)

    async def run(self) -> None:
        """Run the processes until cancelled.

        A command that is being delivered then was carried out or not, and is delivered again by whoever runs next;
        an event that is being received was received or not, and is recognised if it was.
        """
        with single_error():
            async with anyio.create_task_group() as tasks:
                await ProcessRun(self._parts, tasks).run()
