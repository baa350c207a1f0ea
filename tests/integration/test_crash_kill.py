"""A process that persists is killed at random moments; what it acknowledged is there, and nothing is there in part."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from calliope import Journal
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
    return [Acknowledgement(*map(int, line.split())) for line in lines if line.endswith("\n")]


async def killed_repeatedly(path: Path, kills: int) -> None:
    chance = random.Random(kills)
    acknowledged: list[Acknowledgement] = []
    for run in range(kills):
        acknowledged += killed_run(path, run, chance.uniform(0, 0.3))
        async with Journal.open(path) as journal:
            assert await check(journal, acknowledged) >= len(acknowledged)
    print(f"{kills} kills, {len(acknowledged)} acknowledged requests, none lost")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    await killed_repeatedly(tmp_path / "journal.db", 3)


@pytest.mark.soak
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_what_was_acknowledged_survives_fifty_sigkills_of_one_journal(tmp_path: Path) -> None:
    await killed_repeatedly(tmp_path / "journal.db", 50)
