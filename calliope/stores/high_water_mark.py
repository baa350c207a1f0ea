"""A small file beside a journal that remembers how far acknowledgements went.

SQLite recovers from a damaged write-ahead log by dropping everything from the damage on, in silence: commits that were
acknowledged are gone and nobody hears of it. The mark is written after each commit, before its callers resume, so on
opening the journal must hold at least what the mark says. It is a lower bound and needs no sync: after a power cut it
may lag behind the journal, never run ahead of it; or be an empty file, or one of zeros, and then it says nothing.

The number of events alone would not do. What else is written (snapshots) is counted too. And a damaged log whose
pages are in the database already would lay old versions of some of them over the newer ones, without the last event
being in any of these. So the mark also says how far the log went; the salts tell whether it is still the same log.

The file, 56 bytes: `CALLMARK`, the journal id (8 bytes), the position, the count of other writes and the frames of the
log (8 bytes each, big-endian), its salts (8 bytes), four zero bytes, and the CRC-32 of all that (4 bytes, big-endian).
"""

import os
import struct
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from calliope.errors import CorruptJournalError

_MAGIC = b"CALLMARK"
_FORM = struct.Struct(">8s8sQQQ8s4x")
MARK_BYTES = _FORM.size + 4

READS_MAX = 10
"""How often a mark is read before it counts as damaged: another process may be in the middle of writing it."""

NO_SALTS = bytes(8)
"""Instead of a log's salts: it is unknown which log it was."""


class Marked(NamedTuple):
    """What a mark says: what was acknowledged at least.

    Attributes:
        journal_id: the journal that it belongs to.
        position: its last event.
        other_writes: how often something other than events was written, such as a snapshot.
        log_frames: how many frames its write-ahead log had.
        log_salts: which log that was, by its header; zeros: unknown.
    """

    journal_id: bytes
    position: int
    other_writes: int = 0
    log_frames: int = 0
    log_salts: bytes = NO_SALTS


def shortfall(marked: Marked, held: Marked) -> str | None:
    """Return what a journal lacks of what was acknowledged, as the end of a sentence about it; None: nothing."""
    if held.position < marked.position:
        return f"ends at position {held.position}, but {marked.position} was acknowledged"
    if held.other_writes < marked.other_writes:
        return f"holds {held.other_writes} changes other than events, but {marked.other_writes} were acknowledged"
    if held.log_salts == marked.log_salts != NO_SALTS and held.log_frames < marked.log_frames:
        return f"has a log of {held.log_frames} frames, but {marked.log_frames} were acknowledged"
    return None


class HighWaterMark:
    """The highest acknowledged position of one journal.

    Args:
        path: the mark's file; created when first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def read(self) -> Marked | None:
        """Return what the mark says; None if there is none.

        Raises:
            CorruptJournalError: the file is damaged.
        """
        for _ in range(READS_MAX):
            data = self.path.read_bytes() if self.path.exists() else b""
            if not any(data):
                return None
            if len(data) == MARK_BYTES and crc32(data[:-4]) == int.from_bytes(data[-4:], "big"):
                return Marked(*_FORM.unpack(data[:-4])[1:])
        raise CorruptJournalError(
            f"the mark {self.path} does not match its checksum; if the journal verifies, remove the mark"
        )

    def write(
        self,
        journal_id: bytes,
        position: int,
        other_writes: int = 0,
        log_frames: int = 0,
        log_salts: bytes = NO_SALTS,
    ) -> None:
        """Remember what is durable.

        Raises:
            OSError: the file cannot be written.
        """
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        data = _FORM.pack(_MAGIC, journal_id, position, other_writes, log_frames, log_salts)
        os.pwrite(self._descriptor, data + crc32(data).to_bytes(4, "big"), 0)

    def close(self) -> None:
        """Release the file; closing twice does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
