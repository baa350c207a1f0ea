"""Where an at-least-once projection keeps its offset: in the journal, or wherever you like.

The journal's snapshots were chosen over a stream of its own: a stream would grow with every batch for ever, and wake
every live reader of the journal each time, the projection itself among them. A snapshot is one row that is replaced.
Should it be lost (snapshots are caches), the one before it counts: some events are handled again, none is missed.
"""

from typing import Protocol

from calliope.journal import Journal
from calliope.limits import checked_number

_KEPT = 2
"""Snapshots of one offset: the newest, and the one that counts if that is damaged."""


class OffsetStore(Protocol):
    """Keeps a position for each projection."""

    async def load_offset(self, name: str) -> int:
        """Return the position that was saved last under a name; 0 if none was."""
        ...

    async def save_offset(self, name: str, position: int) -> None:
        """Keep a position durably; cancellation leaves this one or the one before."""
        ...


class JournalOffsets:
    """Keeps offsets beside the events, among the journal's snapshots.

    Args:
        journal: the journal, open whenever this is used.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def load_offset(self, name: str) -> int:
        """Return the position that was saved last under a name; 0 if none was."""
        snapshot = await self._journal.snapshots.load_snapshot(_snapshot_id(name), int)
        return 0 if snapshot is None else snapshot.state

    async def save_offset(self, name: str, position: int) -> None:
        """Keep a position durably; of several, the highest counts."""
        checked_number("position", position)
        await self._journal.snapshots.save_snapshot(_snapshot_id(name), position, sequence_number=position, keep=_KEPT)


def _snapshot_id(name: str) -> str:
    return f"calliope:projection:{name}"
