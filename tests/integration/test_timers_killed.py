"""Programs with timers, jobs, processes and receptors are killed at random: everything happens once, nothing early."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import anyio
import pytest

from calliope import Journal
from calliope.domain.job_events import JobEvent, JobStarted, JobSucceeded
from calliope.domain.process_events import DeadlineReached, ProcessEvent
from calliope.domain.timer_events import TimerEvent, TimerFired
from calliope.verification import verify_journal
from tests.integration.timers_workload import Counted, Done, Ran

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

FINISH_SECONDS = 60
LAST = (Counted, TimerFired, JobSucceeded)


def started(path: Path, seed: int, orders: int) -> subprocess.Popen[str]:
    """Start a program and return when everything in it runs."""
    command = [sys.executable, "-m", "tests.integration.timers_workload", str(path), str(seed), str(orders)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    return process


def ended(process: subprocess.Popen[str]) -> None:
    """Kill a program, which must have run until then."""
    process.kill()
    process.communicate()
    assert process.returncode == -9


def killed_at_random(path: Path, orders: int, kills: int) -> None:
    """Keep two programs running, and kill and restart one of them after the other."""
    chance = Random(kills)
    running = [started(path, 0, orders), started(path, 1, orders)]
    for kill in range(kills):
        time.sleep(chance.uniform(0, 0.6))
        ended(running.pop(0))
        running.append(started(path, kill, orders))
    for process in running:
        ended(process)


async def finish(path: Path, orders: int) -> None:
    """Let one program bring everything to its end."""
    process = started(path, 99, orders)
    try:
        async with Journal.open(path) as journal:
            with anyio.fail_after(FINISH_SECONDS):
                everything = journal.live_records(types=LAST, event_type=Counted | TimerFired | JobSucceeded)
                await everything.take(3 * orders).run_drain()
    finally:
        ended(process)


async def check(path: Path, orders: int) -> None:
    """Check that everything happened once, and not before its time."""
    numbers = range(orders)
    async with Journal.open(path) as journal:
        fired = await journal.records(types=TimerFired, event_type=TimerEvent).run_collect()
        assert Counter(record.data.timer_id for record in fired) == Counter(map(str, numbers))
        reached = await journal.records(types=DeadlineReached, event_type=ProcessEvent).run_collect()
        assert Counter(record.stream_id for record in reached) == Counter(f"shipping-{number}" for number in numbers)
        for record in (*fired, *reached):
            assert record.timestamp >= record.data.due
        done = await journal.records(event_type=Done, types=Done.__args__).run_collect()
        assert Counter((record.type, record.data.order) for record in done) == Counter(
            (kind, number) for kind in ("Accepted", "Shipped", "Counted") for number in numbers
        )
        for kind in (JobStarted, JobSucceeded):
            records = await journal.records(types=kind, event_type=JobEvent).run_collect()
            assert Counter(record.data.job_id for record in records) == Counter(map(str, numbers))
        ran = await journal.records(types=Ran, event_type=Ran).run_collect()
        assert Counter(record.data.job_id for record in ran) == Counter(map(str, numbers))
        assert all(record.data.at >= record.data.planned for record in ran)
    assert verify_journal(path).damages == []


async def survives(path: Path, orders: int, kills: int) -> None:
    killed_at_random(path, orders, kills)
    await finish(path, orders)
    await check(path, orders)
    print(f"{kills} kills, {orders} timers, jobs and processes, each once and none early")


async def test_timers_jobs_and_processes_survive_kills(tmp_path: Path) -> None:
    await survives(tmp_path / "journal.db", orders=40, kills=4)


@pytest.mark.soak
async def test_timers_jobs_and_processes_survive_forty_kills(tmp_path: Path) -> None:
    await survives(tmp_path / "journal.db", orders=300, kills=40)
