"""The order in the docstring of `calliope.domain.process_manager` is paid in time, or cancelled."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from textwrap import dedent
from typing import Any

import anyio
import pytest

from calliope import Journal, RecordedEvent
from calliope.domain import (
    CancelDeadline,
    Complete,
    Decider,
    Effect,
    Process,
    ProcessManager,
    Rejection,
    Repository,
    Send,
    SetDeadline,
    process_manager,
)
from calliope.flow.clock import settle
from calliope.testing import ManualClock

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Confirmed:
    order_id: str


@dataclass(frozen=True)
class Paid:
    order_id: str


@dataclass(frozen=True)
class Shipped:
    pass


@dataclass(frozen=True)
class Cancelled:
    pass


@dataclass(frozen=True)
class PaymentMissed:
    order_id: str


@dataclass(frozen=True)
class Ship:
    pass


@dataclass(frozen=True)
class Cancel:
    pass


@dataclass(frozen=True)
class Pay:
    order_id: str


@dataclass(frozen=True)
class Confirm:
    order_id: str


def decide(command: Any, state: str) -> Any:
    match command:
        case Confirm(order_id):
            return Confirmed(order_id)
        case Pay(order_id):
            if state == "Cancelled":
                raise Rejection("the order is cancelled")
            return Paid(order_id)
        case Ship():
            return Shipped()
        case Cancel():
            return Cancelled()


order: Decider[str, Any, Any] = Decider("", decide, lambda state, event: type(event).__name__)

ILLUSTRATION_LINES_MAX = 40


def illustration() -> str:
    """Return the code in the docstring."""
    docstring = inspect.getdoc(process_manager) or ""
    start, end = docstring.index("    OrderEvent ="), docstring.index("`Confirmed` and")
    return dedent(docstring[start:end])


WHAT_IT_USES = {
    "Any": Any,
    "Cancel": Cancel,
    "CancelDeadline": CancelDeadline,
    "Cancelled": Cancelled,
    "Complete": Complete,
    "Confirmed": Confirmed,
    "Effect": Effect,
    "Journal": Journal,
    "Paid": Paid,
    "PaymentMissed": PaymentMissed,
    "Process": Process,
    "ProcessManager": ProcessManager,
    "RecordedEvent": RecordedEvent,
    "Repository": Repository,
    "Send": Send,
    "Sequence": Sequence,
    "SetDeadline": SetDeadline,
    "Ship": Ship,
    "Shipped": Shipped,
    "order": order,
    "timedelta": timedelta,
}


@pytest.fixture
def serve() -> Any:
    names: dict[str, Any] = dict(WHAT_IT_USES)
    exec(illustration(), names)
    return names["serve"]


async def happened(serve: Any, *story: Any) -> list[str]:
    """Run the illustration, send commands, let minutes pass, and return what happened to the order."""
    clock = ManualClock(1_000_000)

    def wall_clock() -> int:
        return round(clock.now() * 1_000_000)

    async with Journal.open("memory://", clock=wall_clock) as journal, anyio.create_task_group() as tasks:
        orders: Repository[str, Any, Any] = Repository(journal, order, Confirmed | Paid | Shipped | Cancelled)
        tasks.start_soon(lambda: serve(journal, wall_clock=wall_clock, clock=clock))
        for step in story:
            if isinstance(step, timedelta):
                await clock.advance(step.total_seconds())
            else:
                await orders.execute("order-17", step)
            for _ in range(5):
                await settle()
        stored = await journal.event_stream("order-17", Confirmed | Paid | Shipped | Cancelled).records().run_collect()
        tasks.cancel_scope.cancel()
    return [record.type for record in stored]


async def test_an_order_that_is_paid_in_time_is_shipped(serve: Any) -> None:
    story = (Confirm("17"), timedelta(minutes=14), Pay("17"), timedelta(minutes=30))
    assert await happened(serve, *story) == ["Confirmed", "Paid", "Shipped"]


async def test_an_order_that_is_not_paid_in_time_is_cancelled(serve: Any) -> None:
    story = (Confirm("17"), timedelta(minutes=15), timedelta(minutes=30))
    assert await happened(serve, *story) == ["Confirmed", "Cancelled"]


def test_the_illustration_is_short() -> None:
    assert len(illustration().splitlines()) < ILLUSTRATION_LINES_MAX
