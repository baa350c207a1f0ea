"""A small file beside a journal that remembers how far acknowledgements went.

SQLite recovers from a damaged write-ahead log by dropping everything from the damage on, in silence: commits that were
acknowledged are gone and nobody hears of it. The mark is written after each commit, before its callers resume, so on
opening the journal must hold at least what the mark says. It is a lower bound and needs no sync: after a power cut it
may lag behind the journal, never run ahead of it.

The file, 32 bytes: `CALLMARK`, the journal id (8 bytes), the position (8 bytes, big-endian), four zero bytes, and the
CRC-32 of all that (4 bytes, big-endian).
"""

import os
import struct
from pathlib import Path
from zlib import crc32

from calliope.errors import CorruptJournalError

_MAGIC = b"CALLMARK"
_FORM = struct.Struct(">8s8sQ4x")
MARK_BYTES = _FORM.size + 4


class HighWaterMark:
    """The highest acknowledged position of one journal.

    Args:
        path: the mark's file; created when first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def read(self, journal_id: bytes | None = None) -> int:
        """Return the position; 0 if there is no mark, or it belongs to another journal (None: to whichever).

        Raises:
            CorruptJournalError: the file is damaged.
        """
        if not self.path.exists():
            return 0
        data = self.path.read_bytes()
        if len(data) != MARK_BYTES or crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
            raise CorruptJournalError(
                f"the mark {self.path} does not match its checksum; if the journal verifies, remove the mark"
            )
        magic, owner, position = _FORM.unpack(data[:-4])
        ours = magic == _MAGIC and journal_id in (None, owner)
        return int(position) if ours else 0

    def write(self, journal_id: bytes, position: int) -> None:
        """Remember a position that is durable.

        Raises:
            OSError: the file cannot be written.
        """
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        data = _FORM.pack(_MAGIC, journal_id, position)
        os.pwrite(self._descriptor, data + crc32(data).to_bytes(4, "big"), 0)

    def close(self) -> None:
        """Release the file; closing twice does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
