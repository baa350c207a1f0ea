"""Runs of one workload, each in a forked child that dies at another call; a program of its own, because it forks.

    python -m tests.integration.crash_sweep FOLDER --requests 10 --step 1 --tear

The parent opens nothing before it forks. Prints a line for each child that broke a promise, then a summary.
"""

import argparse
import asyncio
import os
import shutil
import sys
from itertools import count
from pathlib import Path

from calliope import Journal
from calliope.stores import sqlite_connection
from calliope.verification import verify_journal
from tests.integration.faulty_file_layer import KILLED_STATUS, Fault, FaultyFileLayer, kill, tear_and_kill
from tests.integration.journal_workload import Acknowledgement, check, persist, work

CALLERS = 5


def main(folder: Path, requests: int, step: int, *, tear: bool) -> int:
    """Kill at every `step`-th call until a run survives; return how many runs broke a promise."""
    sqlite_connection.CHECKPOINT_PAGES = 30
    broken = acknowledged = 0
    for at in count(1, step):
        run = folder / str(at)
        run.mkdir()
        child = os.fork()
        if child == 0:
            _run_and_die(run, requests, Fault(at, tear_and_kill if tear else kill))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        done = _acknowledgements(run)
        acknowledged += len(done)
        try:
            if status not in (0, KILLED_STATUS):
                raise AssertionError(f"the run ended with status {status}")
            asyncio.run(_checked(run / "journal.db", done))
        except Exception as error:
            broken += 1
            print(f"killed at call {at}: {type(error).__name__}: {error}")
        shutil.rmtree(run)
        if status == 0:
            print(f"killed at {at // step} of {at} calls, {acknowledged} acknowledged requests, {broken} runs broken")
            return broken
    raise AssertionError


def _run_and_die(run: Path, requests: int, fault: Fault) -> None:
    try:
        asyncio.run(_persist(run, requests, FaultyFileLayer(fault)))
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


async def _persist(run: Path, requests: int, layer: FaultyFileLayer) -> None:
    acknowledgements = os.open(run / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def acknowledge(done: Acknowledgement) -> None:
        os.write(acknowledgements, (" ".join(map(str, done)) + "\n").encode())

    async with layer.journal(run / "journal.db") as journal:
        await work(journal, 0, CALLERS, range(requests), acknowledge, persist)


def _acknowledgements(run: Path) -> list[Acknowledgement]:
    path = run / "acknowledged"
    lines = path.read_text().splitlines() if path.exists() else []
    return [Acknowledgement(*map(int, line.split())) for line in lines]


async def _checked(path: Path, done: list[Acknowledgement]) -> None:
    """Check what is there, go on with it, and check it once more."""
    async with Journal.open(path) as journal:
        await check(journal, done)
    assert verify_journal(path).damages == []
    async with Journal.open(path) as journal:
        done.append(await persist(journal, 1, 0, 1))
    async with Journal.open(path) as journal:
        await check(journal, done)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--requests", type=int, default=10)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--tear", action="store_true")
    arguments = parser.parse_args()
    sys.exit(min(main(arguments.folder, arguments.requests, arguments.step, tear=arguments.tear), 100))
