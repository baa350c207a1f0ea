"""Receptors carry events of one part of a system to commands of another; they remember nothing but their place.

    def invoice(record: RecordedEvent[OrderConfirmed]) -> Send:
        return Send(CreateInvoice(record.data.total), to=f"invoice-{record.data.order_id}")

    receptor = Receptor(
        journal, "invoicing", invoice, events=OrderConfirmed, commands=CreateInvoice, deliver=invoices.execute
    )
    async with receptor.running(): ...

What needs a memory or a deadline is a process manager. A receptor reads on only when the commands of what it read are
answered, so it is never further ahead than a chunk; the commands to one aggregate are delivered in the order of their
events, those to different ones at the same time.

Invariant: an event counts as handled when each of its commands was carried out, or its rejection or failure recorded.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from random import random as any_chance
from typing import Any, Generic, NamedTuple, TypeVar

import anyio
from typing_extensions import TypeForm

from calliope.codec import event_classes
from calliope.context import caused_by
from calliope.domain.carried import Carrier
from calliope.domain.delivering import Deliver, Delivery, Outcome, derived_id
from calliope.domain.errors import CommandExpiredError
from calliope.domain.following import Following
from calliope.domain.process import Send
from calliope.domain.receptor_events import ReceptorEvent, ReceptorParked, ReceptorRejected, ReceptorRetried
from calliope.domain.rejection import Rejection
from calliope.domain.timers import NAME_BYTES_MAX
from calliope.event_stream import EventStream
from calliope.flow import Backoff, Clock, Source
from calliope.flow.arguments import check_callable, check_count
from calliope.flow.clock import LOOP_CLOCK
from calliope.journal import Journal
from calliope.limits import checked_text
from calliope.owning import owned, single_error
from calliope.recorded_event import RecordedEvent

Event = TypeVar("Event")


class _Command(NamedTuple):
    cause: RecordedEvent[Any]
    command_id: str
    send: Send


class Receptor(Generic[Event]):
    """Turns events into commands, each at least once under an id derived from the event.

    It works while somebody runs it: `async with receptor.running():`, or `await receptor.run()`. Several programs may
    run it on one journal; their commands bear the same ids, so that the aggregates recognise them.

    A rejected command is recorded in the stream `<name>`, as is one that fails again and again, with its error: it is
    *parked*, and the receptor goes on. A `react` that raises stops the run at its event.

    Args:
        journal: where events come from.
        name: names the receptor, its place in the journal and its stream.
        react: given a recorded event, returns a `Send`, a list or tuple of them, or None. It is pure.
        events: the class, or union of classes, of the events.
        commands: the class, or union of classes, of the commands.
        deliver: carries out a command; `repository.execute`, or `routed` to several.
        prefix: only events of streams whose ids begin so.
        rejections: the exceptions of `deliver` that are answers.
        attempts: how often a command is tried before it is parked.
        backoff: the pauses between.
        parallelism: how many commands are delivered at once, at most.
        clock: measures the pauses.
        chance: gives random numbers from 0 to 1, which spread the pauses.
    """

    def __init__(
        self,
        journal: Journal,
        name: str,
        react: Callable[[RecordedEvent[Event]], Send | Sequence[Send] | None],
        *,
        events: TypeForm[Event],
        commands: TypeForm[Any],
        deliver: Deliver,
        prefix: str = "",
        rejections: type[Exception] | tuple[type[Exception], ...] = (Rejection, CommandExpiredError),
        attempts: int = 8,
        backoff: Backoff = Backoff(),  # noqa: B008 - it is frozen
        parallelism: int = 64,
        clock: Clock = LOOP_CLOCK,
        chance: Callable[[], float] = any_chance,
    ) -> None:
        self.name = checked_text("name", name, NAME_BYTES_MAX)
        check_callable("react", react)
        check_count("parallelism", parallelism)
        self._journal = journal
        self._react = react
        self._events: Any = events
        self._classes = tuple(event_classes(events))
        self._prefix = prefix
        self._commands: Carrier[Any] = Carrier(commands)
        self._delivery = Delivery(
            deliver, rejections=rejections, attempts=attempts, backoff=backoff, clock=clock, chance=chance
        )
        self._parallelism = parallelism

    def running(self) -> AbstractAsyncContextManager[None]:
        """Carry events while an `async with` block lasts; an error ends the block and is raised in its place."""
        return owned(self.run)

    async def run(self) -> None:
        """Carry events until cancelled; commands of the last chunk are then delivered again by whoever runs next."""
        with single_error():
            following: Following[Event] = Following(self._journal, self.name, self._live_records, self._carry)
            await following.load()
            await following.run()

    async def parked(self) -> list[RecordedEvent[ReceptorParked]]:
        """Return the records of the commands that were given up and not retried since."""
        parked: dict[str, Any] = {}
        async for record in self._stream.records():
            if isinstance(record.data, ReceptorParked):
                parked[record.data.command_id] = record
            elif isinstance(record.data, ReceptorRetried):
                parked.pop(record.data.command_id, None)
        return list(parked.values())

    async def retry(self, record: RecordedEvent[ReceptorParked]) -> bool:
        """Deliver a parked command after all; tell whether it was answered.

        Cancellation leaves it delivered or not; retrying again is safe.
        """
        parked = record.data
        send = Send(self._commands.value_of(parked.command, record), parked.to)
        outcome = await self._deliver(_Command(record, parked.command_id, send))
        if outcome.error is None:
            await self._stream.persist(ReceptorRetried(parked.command_id))
        return outcome.error is None

    @property
    def _stream(self) -> EventStream[ReceptorEvent]:
        return self._journal.event_stream(self.name, ReceptorEvent)

    def _live_records(self, after: int) -> Source[RecordedEvent[Event]]:
        return self._journal.live_records(after, types=self._classes, prefix=self._prefix, event_type=self._events)

    async def _carry(self, records: Sequence[RecordedEvent[Event]]) -> None:
        by_aggregate: dict[str, list[_Command]] = {}
        for command in [command for record in records for command in self._commands_of(record)]:
            by_aggregate.setdefault(command.send.to, []).append(command)
        permits = anyio.Semaphore(self._parallelism)
        async with anyio.create_task_group() as tasks:
            for commands in by_aggregate.values():
                await permits.acquire()
                tasks.start_soon(self._deliver_all, commands, permits)

    def _commands_of(self, record: RecordedEvent[Event]) -> list[_Command]:
        try:
            wanted = self._react(record)
            several = [] if wanted is None else [wanted] if isinstance(wanted, Send) else list(wanted)
            for send in several:
                if not isinstance(send, Send):
                    raise TypeError(f"react must return Send, not {send!r}")
        except Exception as error:
            error.add_note(f"while receptor {self.name!r} received {record!r}")
            raise
        return [_Command(record, derived_id(self.name, record.id, index), send) for index, send in enumerate(several)]

    async def _deliver_all(self, commands: Sequence[_Command], permit: anyio.Semaphore) -> None:
        try:
            for command in commands:
                await self._deliver(command)
        finally:
            permit.release()

    async def _deliver(self, command: _Command) -> Outcome:
        cause, command_id, (wanted, to) = command.cause, command.command_id, (command.send.command, command.send.to)
        carried = self._commands.carried(wanted)
        with caused_by(cause):
            outcome = await self._delivery.outcome_of(to, wanted, command_id)
            if outcome.reasons is not None:
                rejected = ReceptorRejected(cause.id, command_id, to, carried, outcome.reasons)
                await self._stream.persist(rejected, event_id=derived_id(self.name, command_id, "rejected"))
            elif outcome.error is not None:
                parked = ReceptorParked(cause.id, command_id, to, carried, outcome.error)
                await self._stream.persist(parked, event_id=derived_id(self.name, command_id, "parked"))
        return outcome
