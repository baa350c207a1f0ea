"""A payment process, the desk that takes its commands, and a world in which time stands still."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from calliope import Journal, RecordedEvent
from calliope.domain import Rejection
from calliope.domain.process import CancelDeadline, Complete, Effect, Process, Rejected, Send, SetDeadline
from calliope.domain.process_events import ProcessEvent
from calliope.domain.process_manager import ProcessManager
from calliope.flow import Backoff
from calliope.flow.clock import settle as all_wait
from calliope.testing import ManualClock

MINUTE = 60


@dataclass(frozen=True)
class Confirmed:
    order_id: str


@dataclass(frozen=True)
class Paid:
    order_id: str


@dataclass(frozen=True)
class PaymentMissed:
    order_id: str


@dataclass(frozen=True)
class Refused:
    order_id: str
    reasons: list[str]


@dataclass(frozen=True)
class Ship:
    order_id: str


@dataclass(frozen=True)
class Cancel:
    order_id: str


@dataclass(frozen=True)
class Notify:
    order_id: str
    text: str


OrderEvent = Confirmed | Paid | PaymentMissed | Refused


async def rest() -> None:
    """Let everything happen that needs no time; a callback of the event loop may set off more than once."""
    for _ in range(5):
        await all_wait()


def correlate(record: RecordedEvent[OrderEvent]) -> str | None:
    return record.data.order_id or None


def evolve(state: tuple[str, ...], event: OrderEvent) -> tuple[str, ...]:
    return (*state, type(event).__name__)


def react(state: tuple[str, ...], event: OrderEvent) -> Effect | list[Effect] | None:
    match event:
        case Confirmed(order_id):
            return SetDeadline("payment", PaymentMissed(order_id), after=timedelta(minutes=15))
        case Paid(order_id):
            return [CancelDeadline("payment"), Send(Ship(order_id), to=f"order-{order_id}")]
        case PaymentMissed(order_id):
            return [Send(Cancel(order_id), to=f"order-{order_id}"), Complete()]
        case Refused(order_id):
            return [Send(Notify(order_id, "; ".join(event.reasons)), to="desk"), Complete()]


def refused(rejected: Rejected) -> Refused:
    return Refused(rejected.command.order_id, list(rejected.reasons))


payment: Process[tuple[str, ...], OrderEvent] = Process((), correlate, react, evolve, refused)


@dataclass
class Desk:
    """Takes commands, each id once, and may be told to refuse or to fail."""

    rejects: dict[type, Rejection] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)
    taken: dict[str, Any] = field(default_factory=dict)
    calls: int = 0

    async def __call__(self, stream_id: str, command: Any, /, *, command_id: str) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        if type(command) in self.rejects:
            raise self.rejects[type(command)]
        self.taken.setdefault(command_id, command)

    @property
    def commands(self) -> list[Any]:
        return list(self.taken.values())


class World:
    """A journal in memory and a clock that stands still."""

    def __init__(self, journal: Journal, clock: ManualClock, set_back: list[int]) -> None:
        self.journal = journal
        self.clock = clock
        self.set_back = set_back
        self.desk = Desk()

    def wall_clock(self) -> int:
        return round(self.clock.now() * 1_000_000) - self.set_back[0]

    def manager(self, process: Process[Any, Any] = payment, **options: Any) -> ProcessManager[Any, Any]:
        options = {"deliver": self.desk, "backoff": Backoff(1, 1, jitter=0), "instance": "one", **options}
        return ProcessManager(
            self.journal,
            "payment",
            process,
            events=OrderEvent,
            commands=Ship | Cancel | Notify,
            wall_clock=self.wall_clock,
            clock=self.clock,
            **options,
        )

    async def happens(self, event: OrderEvent) -> RecordedEvent[OrderEvent]:
        reply = await self.journal.event_stream(f"order-{event.order_id}", OrderEvent).persist(event)
        await rest()
        return reply.records[0]

    async def recorded(self, *types: type) -> list[Any]:
        return [record.data async for record in self.journal.records(types=types, event_type=ProcessEvent)]
