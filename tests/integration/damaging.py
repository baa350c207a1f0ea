"""Journals with everything in them, closed or cut off at awkward moments, and ways to damage their files."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from calliope import Journal
from calliope.stores import sqlite_connection
from tests.integration.faulty_file_layer import NO_FAULT, Fault, FaultyFileLayer, fail_io
from tests.integration.journal_workload import Step, event_id, persist

CALLERS = 4
REQUESTS = 20
SECTOR_BYTES = 512


async def fill(journal: Journal, run: int, requests: int = REQUESTS) -> None:
    """Write events, with tags and ids, and snapshots."""
    for request in range(requests):
        for caller in range(CALLERS):
            await persist(journal, run, caller, request)
        if request % 5 == 4:
            await journal.snapshots.save_snapshot(f"state-{run}", list(range(request)), sequence_number=request, keep=2)


async def contents(journal: Journal) -> dict[str, Any]:
    """Read everything in every way."""
    streams = await journal.streams().run_collect()
    found: dict[str, Any] = {
        "log": [record._record for record in await journal.records(event_type=Step).run_collect()],
        "streams": streams,
    }
    for summary in streams:
        records = await journal.event_stream(summary.stream_id, Step).records().run_collect()
        found[summary.stream_id] = [record.position for record in records]
    for tag in ("tag-0", "tag-1", "tag-2"):
        found[tag] = [record.position for record in await journal.records(tags=tag, event_type=Step).run_collect()]
    for run in range(4):
        name = f"state-{run}"
        found[name] = (
            await journal.snapshots.load_snapshot(name, list),
            await journal.snapshots.list_snapshots(name),
        )
    return found


async def replies(journal: Journal, expected: dict[str, Any]) -> list[tuple[int, int]]:
    """Send requests with known ids once more, and return where they stand."""
    firsts = [record for record in expected["log"] if record.attributes.event_id is not None]
    found = []
    for record in firsts[:: max(1, len(firsts) // 8)]:
        run, caller, request = map(int, record.attributes.event_id.split("-"))
        assert event_id(run, caller, request) == record.attributes.event_id
        again = await persist(journal, run, caller, request)
        found.append((again.position, again.sequence_number))
    return found


@dataclass(frozen=True)
class Source:
    """A journal's files as they were at one moment, and what they held."""

    name: str
    folder: Path
    contents: dict[str, Any]
    replies: list[tuple[int, int]]

    @property
    def files(self) -> list[Path]:
        """The files that may be damaged."""
        return sorted(path for path in self.folder.iterdir() if not path.name.endswith("-shm"))


async def sources(folder: Path) -> list[Source]:
    """Return journals that were closed, or killed at different moments of their log's life."""
    return [
        await _source(folder, "closed", _closed),
        await _source(folder, "killed before the first checkpoint", _killed),
        await _source(folder, "killed when the log had begun anew", _killed_after_restart),
        await _source(folder, "killed between a checkpoint and the next commit", _killed_after_checkpoint),
        await _source(folder, "killed in a checkpoint", _killed_in_checkpoint),
    ]


async def _source(folder: Path, name: str, make: Callable[[Path, Path], Any]) -> Source:
    live, kept, read = (folder / name / part for part in ("live", "kept", "read"))
    for part in (live, kept, read):
        part.mkdir(parents=True)
    await make(live / "journal.db", kept)
    _copy(kept, read)
    async with Journal.open(read / "journal.db") as journal:
        found = await contents(journal)
        return Source(name, kept, found, await replies(journal, found))


async def _closed(path: Path, kept: Path) -> None:
    async with Journal.open(path) as journal:
        await fill(journal, 0)
    _copy(path.parent, kept)


async def _killed(path: Path, kept: Path) -> None:
    async with Journal.open(path) as journal:
        await fill(journal, 0)
        _copy(path.parent, kept)


async def _killed_after_restart(path: Path, kept: Path) -> None:
    async with Journal.open(path) as journal:
        await fill(journal, 0)
        await _checkpoint(journal)
        await fill(journal, 1, 5)
        _copy(path.parent, kept)


async def _killed_after_checkpoint(path: Path, kept: Path) -> None:
    async with Journal.open(path) as journal:
        await fill(journal, 0)
        await _checkpoint(journal)
        _copy(path.parent, kept)


async def _killed_in_checkpoint(path: Path, kept: Path) -> None:
    layer = FaultyFileLayer()
    async with layer.journal(path) as journal:
        await fill(journal, 0)
        layer.fault = Fault(12, fail_io, concerns=lambda call: call.kind == "write" and call.file == path.name)
        await _checkpoint(journal)
        layer.fault = NO_FAULT
        _copy(path.parent, kept)


async def _checkpoint(journal: Journal) -> None:
    """Let the journal fold its log into the database before its next write, which does nothing else."""
    bound = sqlite_connection.CHECKPOINT_PAGES
    sqlite_connection.CHECKPOINT_PAGES = 1
    try:
        await journal.snapshots.delete_snapshots("nobody's")
    finally:
        sqlite_connection.CHECKPOINT_PAGES = bound


def _copy(source: Path, target: Path) -> None:
    for file in source.iterdir():
        if not file.name.endswith("-shm"):
            shutil.copyfile(file, target / file.name)


def damaged_copy(source: Source, folder: Path, chance: Random) -> str:
    """Copy a journal, damage one of its files, and return what was done."""
    folder.mkdir()
    _copy(source.folder, folder)
    (name,) = chance.choices(
        [file.name for file in source.files], [file.stat().st_size > 100 or 0.1 for file in source.files]
    )
    content = bytearray((folder / name).read_bytes())
    done = chance.choice((_flip_bit, _flip_bits, _cut, _zero_sector))(content, chance)
    (folder / name).write_bytes(content)
    return f"{name.removeprefix('journal')} {done}"


def _flip_bit(content: bytearray, chance: Random) -> str:
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    return f"bit flipped in byte {place}"


def _flip_bits(content: bytearray, chance: Random) -> str:
    places = [chance.randrange(len(content)) for _ in range(chance.randint(2, 8))]
    for place in places:
        content[place] ^= 1 << chance.randrange(8)
    return f"bits flipped in bytes {places}"


def _cut(content: bytearray, chance: Random) -> str:
    size = chance.choice((0, chance.randrange(len(content)), chance.randrange(len(content)) // 4096 * 4096))
    del content[size:]
    return f"cut to {size} bytes"


def _zero_sector(content: bytearray, chance: Random) -> str:
    start = chance.randrange(len(content)) // SECTOR_BYTES * SECTOR_BYTES
    content[start : start + SECTOR_BYTES] = bytes(len(content[start : start + SECTOR_BYTES]))
    return f"zeros from byte {start}"
