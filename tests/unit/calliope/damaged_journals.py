"""Journals as a closing and as a kill leave them, and ways to damage them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import apsw

from calliope import Journal, UntypedEvent
from calliope.stores.page_checksums import PAGE_BYTES, VFS_NAME
from calliope.stores.write_ahead_log import FRAME_BYTES
from calliope.verification import verify_journal

SECTOR_BYTES = 512


async def fill(journal: Journal) -> None:
    """Persist events of several streams, some with tags and ids, and snapshots of which some are deleted."""
    for number in range(1, 25):
        stream = journal.event_stream(f"s-{number % 4}", UntypedEvent)
        events = [UntypedEvent("counted", {"number": number, "note": "x" * 300})] * (1 + number % 2)
        await stream.persist(events, tags=["even"] * (number % 2 == 0), event_id=f"e-{number}" if number % 3 else None)
        if number % 6 == 0:
            await journal.snapshots.save_snapshot("s-1", ["y" * 9_000], sequence_number=number // 6, keep=2)


async def make_closed(path: Path) -> None:
    async with Journal.open(path) as journal:
        await fill(journal)


async def make_crashed(path: Path) -> None:
    """Make what a process leaves behind that was killed: a part of the journal is in the write-ahead log only."""
    original = path.parent / "original" / path.name
    original.parent.mkdir()
    async with Journal.open(original) as journal:
        await fill(journal)
        for file in original.parent.iterdir():
            shutil.copy(file, path.parent / file.name)
    shutil.rmtree(original.parent)


def change(path: Path, do: Callable[[bytearray], object]) -> None:
    data = bytearray(path.read_bytes())
    do(data)
    path.write_bytes(data)


def flip(path: Path, byte: int, bit: int = 0) -> None:
    def flip_bit(data: bytearray) -> None:
        data[byte] ^= 1 << bit

    change(path, flip_bit)


def execute(path: Path, *statements: str) -> None:
    """Change a journal behind its back, but with all page checksums right."""
    connection = apsw.Connection(str(path), vfs=VFS_NAME)
    for statement in statements:
        connection.execute(statement)
        assert connection.changes() > 0
    connection.close()


def header_of_a_commit(log: Path) -> bytes:
    return log.read_bytes()[-FRAME_BYTES:-PAGE_BYTES]


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def damages_of(path: Path) -> list[str]:
    return [str(damage) for damage in verify_journal(path).damages]


def contents(path: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.iterdir()}
