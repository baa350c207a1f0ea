"""`Following`: reading a journal from where one stopped, and keeping that place.

The place, and what was not finished there, is a *checkpoint*, a snapshot beside the streams. It is a cache of what the
events say: an old one, or none, means that records are read again, and whoever handles them recognises them.

Invariant: a checkpoint names a position only when all records up to it were handled.
Invariant: of several processes' checkpoints the one that is furthest counts.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio

from calliope.errors import CalliopeError
from calliope.event import event
from calliope.flow import Inlet, Sink, Source
from calliope.journal import Journal
from calliope.recorded_event import RecordedEvent

E = TypeVar("E")

CHUNK_RECORDS_MAX = 256
"""How many records are handled together, at most."""

CHECKPOINT_RECORDS = 1_000
"""After how many handled records the place is saved; so many are read again after a kill, at most, and a chunk more."""

_logger = logging.getLogger(__name__)


@event("calliope.checkpoint")
@dataclass(frozen=True)
class Checkpoint:
    """How far a follower has come.

    Attributes:
        position: the last position that was handled.
        open_ids: what was begun up to there and not finished.
    """

    position: int
    open_ids: list[str]


class Following(Generic[E]):
    """Hands records to a function, chunk by chunk, in order, and remembers how far it came.

    Args:
        journal: what is followed.
        name: names the checkpoint; followers of one name share it.
        records: gives the live records after a position.
        handle: handles a chunk; when it returns, the records count as handled.
        open_ids: what is not finished now.

    Attributes:
        position: the last position that was handled.
    """

    def __init__(
        self,
        journal: Journal,
        name: str,
        records: Callable[[int], Source[RecordedEvent[E]]],
        handle: Callable[[Sequence[RecordedEvent[E]]], Awaitable[None]],
        open_ids: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._journal = journal
        self._checkpoint_id = f"{name}/checkpoint"
        self._records = records
        self._handle = handle
        self._open_ids = open_ids
        self._saved = 0
        self._unsaved = 0
        self.position = 0

    async def load(self) -> list[str]:
        """Go to where the last one stopped; return what was not finished there."""
        snapshot = await self._journal.snapshots.load_snapshot(self._checkpoint_id, Checkpoint)
        if snapshot is None:
            return []
        self.position = self._saved = snapshot.state.position
        return snapshot.state.open_ids

    async def run(self) -> None:
        """Follow until cancelled; then the place is saved, if the journal still can."""
        try:
            await self._records(self.position).run_with(Sink(self._consume))
        finally:
            with anyio.CancelScope(shield=True):
                await self._save_at_last()

    async def _consume(self, inlet: Inlet[Any]) -> None:
        while chunk := await inlet.pull(CHUNK_RECORDS_MAX):
            await self._handle(chunk)
            self.position = chunk[-1].position
            self._unsaved += len(chunk)
            if self._unsaved >= CHECKPOINT_RECORDS:
                await self.save()

    async def save(self) -> None:
        """Save the place."""
        checkpoint = Checkpoint(self.position, sorted(self._open_ids()))
        await self._journal.snapshots.save_snapshot(
            self._checkpoint_id, checkpoint, sequence_number=checkpoint.position, keep=1
        )
        self._saved, self._unsaved = checkpoint.position, 0

    async def _save_at_last(self) -> None:
        try:
            if self.position > self._saved:
                await self.save()
        except CalliopeError as error:
            _logger.warning("%s is not saved, some records will be read again: %s", self._checkpoint_id, error)
