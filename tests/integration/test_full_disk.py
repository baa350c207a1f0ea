"""A full disk: those who could not write are told, everyone else reads on, and with room again the journal goes on.

Run as a program it fills a disk, or what it may use of it, and shows that.
"""

import argparse
import asyncio
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from calliope import Journal
from calliope.errors import JournalError, StorageError, StorageFullError
from calliope.stores import sqlite_connection
from tests.integration.faulty_file_layer import NO_FAULT, Fault, FaultyFileLayer, fail_io, fill_disk
from tests.integration.journal_workload import Acknowledgement, Step, check, persist

FOR_EVER = 10**9
LIMIT_BYTES = 192 * 1024
BALLAST_BYTES = 768 * 1024

asynchronous = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.mark.anyio
@asynchronous
@pytest.mark.parametrize("file", ["journal.db-wal", "journal.db"])
async def test_callers_are_told_that_nothing_was_written_and_may_write_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setattr(sqlite_connection, "CHECKPOINT_PAGES", 20)
    layer = FaultyFileLayer()
    path = tmp_path / "journal.db"
    async with layer.journal(path) as journal:
        acknowledged = [await persist(journal, 0, 0, request) for request in range(20)]
        layer.fault = Fault(1, fill_disk, FOR_EVER, lambda call: call.kind == "write" and call.file == file)
        refused, told = [], set()
        for request in range(20, 40):
            try:
                acknowledged.append(await persist(journal, 0, 0, request))
            except StorageFullError as error:
                refused.append(request)
                told.add(str(error).partition(" (")[0])
        assert told <= {"there is no room left, nothing was written"}
        assert bool(refused) == (file == "journal.db-wal")  # a log that cannot be folded in only grows
        await check(journal, acknowledged)
        layer.fault = NO_FAULT
        acknowledged += [await persist(journal, 0, 0, request) for request in refused]
        await check(journal, acknowledged)
    async with Journal.open(path) as journal:
        assert await check(journal, acknowledged) == sum(len(range(size)) for size in sizes_of(acknowledged))


def sizes_of(acknowledged: list[Acknowledgement]) -> list[int]:
    places = sorted(done.position for done in acknowledged)
    return [after - before for before, after in zip([0, *places], places, strict=False)]


@pytest.mark.anyio
@asynchronous
@pytest.mark.parametrize("strike", [fill_disk, fail_io])
async def test_making_a_journal_without_room_says_so_and_leaves_nothing_in_the_way(
    tmp_path: Path, strike: Callable[[Callable[[], None]], None]
) -> None:
    expected = StorageFullError if strike is fill_disk else StorageError
    for at in count(1):
        layer = FaultyFileLayer()
        layer.fault = Fault(at, strike, FOR_EVER, lambda call: call.kind == "write")
        path = tmp_path / f"{at}.db"
        with suppress(expected):
            async with layer.journal(path):
                pass
        if not layer.fault.struck:
            break
        layer.fault = NO_FAULT
        async with layer.journal(path) as journal:
            await check(journal, [await persist(journal, 0, 0, 0)])
    assert at > 5


@pytest.mark.anyio
@asynchronous
async def test_a_journal_on_a_full_disk_can_be_opened_and_read(tmp_path: Path) -> None:
    layer = FaultyFileLayer()
    path = tmp_path / "journal.db"
    async with layer.journal(path) as journal:
        acknowledged = [await persist(journal, 0, 0, request) for request in range(5)]
        path = copied(path, tmp_path / "killed.db")
    layer.fault = Fault(1, fill_disk, FOR_EVER)
    async with layer.journal(path) as journal:
        await check(journal, acknowledged)
        with pytest.raises(StorageFullError):
            await persist(journal, 0, 0, 5)
        layer.fault = NO_FAULT
        await check(journal, [*acknowledged, await persist(journal, 0, 0, 5)])


def copied(path: Path, target: Path) -> Path:
    """Copy an open journal, as if it had been killed instead."""
    for part in ("", "-wal", "-mark"):
        shutil.copyfile(f"{path}{part}", f"{target}{part}")
    return target


def run_in_little_room(*arguments: str) -> None:
    command = [sys.executable, "-m", "tests.integration.test_full_disk", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_process_that_may_not_write_larger_files_goes_on_when_it_may(tmp_path: Path) -> None:
    run_in_little_room("--limit", str(tmp_path / "journal.db"))


@pytest.mark.soak
def test_a_file_system_that_is_really_full(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        print("no file system can be mounted here: a limit on the size of files instead")
        return run_in_little_room("--limit", str(folder / "journal.db"))
    try:
        run_in_little_room(str(folder / "journal.db"))
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    return None


async def persist_until_full(journal: Journal, acknowledged: list[Acknowledgement]) -> JournalError:
    """Let three callers persist until all have failed; return the error."""
    errors: list[JournalError] = []

    async def call(caller: int) -> None:
        for request in count():
            try:
                acknowledged.append(await persist(journal, 0, caller, request))
            except (StorageFullError, StorageError) as error:
                errors.append(error)
                return

    await asyncio.gather(*map(call, range(3)))
    return errors[0]


async def fill_and_make_room(path: Path, make_room: Callable[[], None]) -> None:
    acknowledged: list[Acknowledgement] = []
    async with Journal.open(path) as journal:
        error = await persist_until_full(journal, acknowledged)
        print(f"{len(acknowledged)} requests, then {type(error).__name__}: {error}")
        await check(journal, acknowledged)
        make_room()
        acknowledged += [await persist(journal, 1, 0, request) for request in range(20)]
        await check(journal, acknowledged)
        await journal.event_stream("big", Step).persist([Step(2, 0, 0, index, 100) for index in range(100)])
    async with Journal.open(path) as journal:
        await check(journal, acknowledged)


def main(path: Path, *, limit: bool) -> None:
    sqlite_connection.CHECKPOINT_PAGES = 40
    ballast = path.parent / "ballast"
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, resource.RLIM_INFINITY))
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        asyncio.run(fill_and_make_room(path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)))
    else:
        ballast.write_bytes(bytes(BALLAST_BYTES))
        asyncio.run(fill_and_make_room(path, lambda: os.remove(ballast)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--limit", action="store_true", help="limit the size of files instead of filling the disk")
    given = parser.parse_args()
    main(given.path, limit=given.limit)
