"""A program that runs timers, jobs and processes over one journal, and may be killed at any moment.

python -m tests.integration.timers_workload PATH SEED ORDERS

It begins so many orders as are missing, sets a timer and schedules a job for each, and runs everything until it is
killed. Each order is to be accepted, then shipped when its deadline is reached; each job notes that it ran.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from calliope import Journal, RecordedEvent
from calliope.domain import Decider, Repository
from calliope.domain.job_work import JobRun
from calliope.domain.process import Complete, Effect, Process, Send, SetDeadline
from calliope.domain.process_manager import ProcessManager
from calliope.domain.receptor import Receptor
from calliope.domain.schedule import Once
from calliope.domain.scheduler import Scheduler
from calliope.domain.timers import Timers

LONGEST_DELAY_SECONDS = 1.5
TAKEOVER_SECONDS = 0.3


@dataclass(frozen=True)
class Began:
    order: int


@dataclass(frozen=True)
class TimeToShip:
    order: int


@dataclass(frozen=True)
class Accept:
    order: int


@dataclass(frozen=True)
class Ship:
    order: int


@dataclass(frozen=True)
class Count:
    order: int


@dataclass(frozen=True)
class Accepted:
    order: int


@dataclass(frozen=True)
class Shipped:
    order: int


@dataclass(frozen=True)
class Counted:
    order: int


@dataclass(frozen=True)
class Ran:
    job_id: str
    planned: datetime
    at: datetime


Command = Accept | Ship | Count
Done = Accepted | Shipped | Counted


def decide(command: Command, state: tuple[str, ...]) -> Done:
    """Accept whatever comes: that a command comes once is not the aggregate's business here."""
    match command:
        case Accept(order):
            return Accepted(order)
        case Ship(order):
            return Shipped(order)
        case Count(order):
            return Counted(order)


def react(state: int, event: Began | TimeToShip) -> Sequence[Effect]:
    if isinstance(event, Began):
        delay = timedelta(seconds=(event.order * 7919 % 1000) / 1000 * LONGEST_DELAY_SECONDS)
        return [
            Send(Accept(event.order), to=f"order-{event.order}"),
            SetDeadline("ship", TimeToShip(event.order), after=delay),
        ]
    return [Send(Ship(event.order), to=f"order-{event.order}"), Complete()]


orders: Decider[tuple[str, ...], Command, Done] = Decider((), decide, lambda state, event: state)
shipping: Process[int, Began | TimeToShip] = Process(
    0, lambda record: str(record.data.order), react, lambda state, event: state + 1
)


def count(record: RecordedEvent[Shipped]) -> Send:
    return Send(Count(record.data.order), to=f"count-{record.data.order % 5}")


async def begin(journal: Journal, timers: Timers, scheduler: Scheduler, count: int) -> None:
    """Begin what is missing; every step is repeated without harm."""
    for order in range(count):
        at = datetime.fromtimestamp(time.time() + order * 7919 % 1000 / 1000 * LONGEST_DELAY_SECONDS, UTC)
        began = journal.event_stream(f"began-{order}", Began)
        await began.persist(Began(order), event_id="began")
        await timers.set(str(order), at=at, request_id="once")
        await scheduler.schedule(str(order), "note", Once(at), request_id="once")


async def main(path: Path, seed: int, count_of_orders: int) -> None:
    async with Journal.open(path) as journal:
        repository = Repository(journal, orders, Done)

        async def note(run: JobRun) -> None:
            ran = Ran(run.job_id, run.planned, datetime.now(UTC))
            await journal.event_stream(f"ran-{run.job_id}", Ran).persist(ran, event_id=run.id)

        timers = Timers(journal, "timers")
        scheduler = Scheduler(journal, "jobs", {"note": note}, lease_seconds=TAKEOVER_SECONDS)
        manager = ProcessManager(
            journal,
            "shipping",
            shipping,
            events=Began | TimeToShip,
            commands=Command,
            deliver=repository.execute,
            takeover_seconds=TAKEOVER_SECONDS,
        )
        receptor = Receptor(journal, "counting", count, events=Shipped, commands=Count, deliver=repository.execute)
        async with timers.running(), scheduler.running(), manager.running(), receptor.running():
            print("running", flush=True)
            await asyncio.sleep(Random(seed).uniform(0, 0.05))
            await begin(journal, timers, scheduler, count_of_orders)
            await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
