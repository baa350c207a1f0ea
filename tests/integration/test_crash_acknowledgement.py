"""No acknowledgement leaves before the sync of what it acknowledges: counted in SQLite's file layer, and by strace."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pytest

from calliope.stores import sqlite_connection
from calliope.stores.sqlite import Durability
from tests.integration.faulty_file_layer import FaultyFileLayer
from tests.integration.journal_workload import persist

REQUESTS = 60

Call = Literal["write", "sync", "acknowledge"]


def unsynced_acknowledgements(calls: Iterable[Call]) -> tuple[int, int]:
    """Return how many acknowledgements there are, and how many of them came before the sync of a write, or without."""
    acknowledged = early = 0
    written, synced = False, False
    for call in calls:
        if call == "write":
            written, synced = True, False
        elif call == "sync":
            synced = True
        else:
            acknowledged += 1
            early += not (written and synced)
            written = synced = False
    return acknowledged, early


async def calls_in_the_file_layer(path: Path, durability: Durability = "full") -> list[Call]:
    """Let one caller persist; return what was done to the log, and when it was acknowledged."""
    layer = FaultyFileLayer()
    async with layer.journal(path, durability) as journal:
        for request in range(REQUESTS):
            await persist(journal, 0, 0, request)
            layer.acknowledge(path)
    calls: list[Call] = []
    for call in layer.calls:
        if call.kind == "acknowledge" or (call.file.endswith("-wal") and call.kind in ("write", "sync")):
            calls.append(call.kind)  # type: ignore[arg-type] # it is one of the three
    return calls


def calls_by_strace(folder: Path) -> list[Call] | None:
    """Return the system calls on the log of a process with one caller; None: strace does not work here."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    trace = folder / "trace"
    command = [strace, "-f", "-y", "-o", str(trace), "-e", "trace=pwrite64,write,fsync,fdatasync", sys.executable]
    command += ["-m", "tests.integration.journal_workload", str(folder / "journal.db")]
    command += ["--callers", "1", "--requests", str(REQUESTS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    return _calls_of(trace.read_text()) if done.returncode == 0 else None


def _calls_of(trace: str) -> list[Call]:
    """Return the calls in order: an acknowledgement where it begins, all others where they have ended."""
    calls: list[Call] = []
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        if re.search(r'\bwrite\(1<[^>]*>, "0 0 \d+ ', call):
            calls.append("acknowledge")
        elif call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>")
            continue
        elif "resumed>" in call:
            call = begun.pop(thread, "") + call
        if re.search(r"\bpwrite64\(\d+<[^>]*-wal>", call):
            calls.append("write")
        elif re.search(r"\bf(data)?sync\(\d+<[^>]*-wal>.*= 0", call):
            calls.append("sync")
    return calls


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_each_acknowledgement_follows_the_sync_of_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connection, "CHECKPOINT_PAGES", 40)
    calls = await calls_in_the_file_layer(tmp_path / "journal.db")
    assert unsynced_acknowledgements(calls) == (REQUESTS, 0)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_measure_sees_the_acknowledgements_that_relaxed_durability_does_not_sync(tmp_path: Path) -> None:
    calls = await calls_in_the_file_layer(tmp_path / "journal.db", "relaxed")
    assert unsynced_acknowledgements(calls) == (REQUESTS, REQUESTS)


@pytest.mark.soak
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_each_acknowledgement_follows_its_sync_in_the_eyes_of_the_operating_system(tmp_path: Path) -> None:
    calls = calls_by_strace(tmp_path)
    if calls is None:
        print("strace does not work here: counted in SQLite's file layer instead")
        calls = await calls_in_the_file_layer(tmp_path / "counted.db")
    acknowledged, early = unsynced_acknowledgements(calls)
    assert (acknowledged, early) == (REQUESTS, 0)
    print(f"{acknowledged} acknowledgements, {calls.count('sync')} syncs, {calls.count('write')} writes")
