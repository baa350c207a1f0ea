"""A process that persists is killed at random moments; what it acknowledged is there, and nothing is there in part."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from calliope import Journal
from calliope.verification import verify_journal
from tests.integration.journal_workload import Acknowledgement, check


def killed_run(path: Path, run: int, seconds: float) -> list[Acknowledgement]:
    """Let a process persist, kill it some time after its first acknowledgement, return what it acknowledged."""
    command = [sys.executable, "-m", "tests.integration.journal_workload", str(path), "--run", str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(seconds)
        process.kill()
        lines += process.stdout.readlines()
    assert process.returncode == -9
    return acknowledgements_in(lines)


def acknowledgements_in(lines: Iterable[str]) -> list[Acknowledgement]:
    return [Acknowledgement(*map(int, line.split())) for line in lines if line.endswith("\n")]


def one_of_two_killed_repeatedly(path: Path, kills: int) -> list[Acknowledgement]:
    """Let a process persist all the time, while others do the same and are killed; return what was acknowledged."""
    chance = Random(kills)
    acknowledged: list[Acknowledgement] = []
    command = [sys.executable, "-m", "tests.integration.journal_workload", str(path), "--run", str(kills)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as survivor:
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(survivor.stdout or []))
        reader.start()  # else it would wait with a full pipe
        for run in range(kills):
            acknowledged += killed_run(path, run, chance.uniform(0, 0.2))
        survivor.kill()
        reader.join()
    return acknowledged + acknowledgements_in(lines)


async def survived(path: Path, kills: int) -> None:
    acknowledged = one_of_two_killed_repeatedly(path, kills)
    assert len({done.run for done in acknowledged}) == kills + 1
    async with Journal.open(path) as journal:
        await check(journal, acknowledged)
    assert verify_journal(path).damages == []
    print(f"{kills} kills beside a survivor, {len(acknowledged)} acknowledged requests, none lost")


async def killed_repeatedly(path: Path, kills: int) -> None:
    chance = Random(kills)
    acknowledged: list[Acknowledgement] = []
    for run in range(kills):
        acknowledged += killed_run(path, run, chance.uniform(0, 0.1))
        assert verify_journal(path).damages == []
        async with Journal.open(path) as journal:
            assert await check(journal, acknowledged) >= len(acknowledged)
    assert verify_journal(path).damages == []
    print(f"{kills} kills, {len(acknowledged)} acknowledged requests, none lost")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    await killed_repeatedly(tmp_path / "journal.db", 3)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_process_goes_on_when_another_with_the_same_journal_is_killed(tmp_path: Path) -> None:
    await survived(tmp_path / "journal.db", 2)


@pytest.mark.soak
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_process_goes_on_when_thirty_others_with_the_same_journal_are_killed(tmp_path: Path) -> None:
    await survived(tmp_path / "journal.db", 30)


@pytest.mark.soak
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_what_was_acknowledged_survives_fifty_sigkills_of_one_journal(tmp_path: Path) -> None:
    await killed_repeatedly(tmp_path / "journal.db", 50)
