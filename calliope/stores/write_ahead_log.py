"""Reading a write-ahead log without SQLite, so that nothing is changed by looking (https://sqlite.org/fileformat2.html#walformat).

A log is a header and frames; a frame is a header and a page. Each frame's checksum continues that of the frame before
it, and each repeats the salts of the header, which change when the log begins anew. What counts is the longest
unbroken chain of frames, up to its last commit: everything after that, SQLite drops in silence.

    header, 32 bytes    magic (its last bit: the byte order of checksums), version, page size, number of checkpoints,
                        two salts, checksum (two numbers)
    frame, 24 bytes     page number, size of the database in pages if this frame commits or else 0, two salts, checksum
"""

import os
import struct
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple

from calliope.stores.high_water_mark import NO_SALTS
from calliope.stores.page_checksums import PAGE_BYTES

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES
_MAGIC = 0x377F0682
_HEADER = struct.Struct(">6I")
_PAIR = struct.Struct(">2I")
_FRAME_HEADER = struct.Struct(">6I")

Sums = tuple[int, int]


class Frame(NamedTuple):
    """A frame's header: which page it holds, and the database's size if it commits."""

    page_number: int
    committed_pages: int
    salts: Sums
    checksum: Sums


class WriteAheadLog:
    """A private copy of what a write-ahead log has committed.

    Attributes:
        page_count: the size of the database in pages after the last commit; None: nothing is committed.
        salts: what tells this log from those before it; zeros if it has no header.
        frame_count: how many frames there are up to the last commit.
        broken_at: the frame, counted from 1, where a chain ends that went on once: it holds a commit, or one follows
            it. 0: the header is broken. None: nothing is.
    """

    def __init__(self) -> None:
        self._copy: BinaryIO = TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._offsets: dict[int, int] = {}
        self.page_count: int | None = None
        self.salts = NO_SALTS
        self.frame_count = 0
        self.broken_at: int | None = None

    @classmethod
    def read(cls, path: Path) -> "WriteAheadLog":
        """Return a copy of the log at a path; an empty one if there is none.

        Raises:
            OSError: it cannot be read, or there is no room for a copy.
        """
        log = cls()
        try:
            if path.exists():
                with path.open("rb") as file:
                    log._take(file)
        except BaseException:
            log.close()
            raise
        return log

    def __contains__(self, page_number: int) -> bool:
        return page_number in self._offsets

    @property
    def page_numbers(self) -> list[int]:
        """The pages that it holds, in ascending order."""
        return sorted(self._offsets)

    def page(self, page_number: int) -> bytes | None:
        """Return the last committed content of a page; None: the log does not hold it."""
        offset = self._offsets.get(page_number)
        return None if offset is None else os.pread(self._copy.fileno(), PAGE_BYTES, offset)

    def close(self) -> None:
        """Delete the copy."""
        self._copy.close()

    def _take(self, file: BinaryIO) -> None:
        header = file.read(HEADER_BYTES)
        if not header:
            return
        chain = _chain_of(header)
        if chain is None:
            self.broken_at = 0
            return
        byte_order, salts, sums = chain
        self.salts = _PAIR.pack(*salts)
        number, uncommitted = 0, dict[int, int]()
        while len(data := file.read(FRAME_BYTES)) == FRAME_BYTES:
            number += 1
            frame = _frame_of(data)
            sums = _checksum(data[:8] + data[FRAME_HEADER_BYTES:], sums, byte_order)
            if frame.salts != salts or frame.checksum != sums:
                self._look_behind(file, frame, salts, number)
                return
            uncommitted[frame.page_number] = self._copy.seek(0, os.SEEK_END)
            self._copy.write(data[FRAME_HEADER_BYTES:])
            if frame.committed_pages:
                self.page_count, self.frame_count = frame.committed_pages, number
                self._offsets |= uncommitted
                uncommitted.clear()
        self._copy.flush()

    def _look_behind(self, file: BinaryIO, frame: Frame, salts: Sums, number: int) -> None:
        """Tell an end from a break: behind an end, no commit of this log follows.

        Frames that never committed may follow, of a transaction that was undone or cut off.
        """
        self._copy.flush()
        while True:
            if frame.salts == salts and frame.committed_pages:
                self.broken_at = number
                return
            data = file.read(FRAME_BYTES)
            if len(data) < FRAME_BYTES:
                return
            frame = _frame_of(data)


def _chain_of(header: bytes) -> tuple[str, Sums, Sums] | None:
    """Return the byte order, the salts and the first sums of a log, or None if its header is broken."""
    if len(header) < HEADER_BYTES:
        return None
    magic, version, page_bytes, _, *salts = _HEADER.unpack(header[:24])
    byte_order = ">" if magic & 1 else "<"
    sums = _checksum(header[:24], (0, 0), byte_order)
    if magic & ~1 != _MAGIC or version != 3_007_000 or page_bytes != PAGE_BYTES or sums != _PAIR.unpack(header[24:]):
        return None
    return byte_order, (salts[0], salts[1]), sums


def _frame_of(data: bytes) -> Frame:
    page_number, committed_pages, *rest = _FRAME_HEADER.unpack_from(data)
    return Frame(page_number, committed_pages, (rest[0], rest[1]), (rest[2], rest[3]))


def _checksum(data: bytes, sums: Sums, byte_order: str) -> Sums:
    first, second = sums
    words = iter(struct.unpack(f"{byte_order}{len(data) // 4}I", data))
    for one, two in zip(words, words, strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second
