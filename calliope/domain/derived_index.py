"""The durable index of a derived stream: at which position of the journal which number stands.

Every thousandth number or so has a *mark*: a snapshot whose id ends in the number and whose state is the position. One
more snapshot, the *frontier*, names the highest number that has a mark. Marks follow from the journal alone, so whoever
reads past a place that lacks one sets it, and two readers set the same.

Invariant: if the frontier is at a number, every multiple of the interval up to it has had its mark.
Invariant: a mark that was lost costs reading from the one before, never a number.
"""

import logging
from typing import NamedTuple

from calliope.errors import JournalClosedError, JournalError
from calliope.journal import Journal

_logger = logging.getLogger(__name__)


class Mark(NamedTuple):
    """A place in both numberings.

    Attributes:
        number: the sequence number in the derived stream.
        position: where that record stands in the journal.
    """

    number: int
    position: int


BEGINNING = Mark(0, 0)


class DerivedIndex:
    """The marks of one derived stream.

    Args:
        journal: where they are kept.
        name: the derived stream, with all that its numbers depend on.
        interval: how many records there are from mark to mark.
    """

    def __init__(self, journal: Journal, name: str, interval: int) -> None:
        self._journal = journal
        self._name = f"calliope:derived:{name}:{interval}"
        self._interval = interval

    async def nearest(self, number: int) -> Mark:
        """Return the last mark that is at a number or before it."""
        frontier = await self._load("frontier")
        if frontier is None or frontier.number <= number:
            return frontier or BEGINNING
        for marked in range(number - number % self._interval, 0, -self._interval):
            mark = await self._load(str(marked))
            if mark is not None and mark.number == marked:
                return mark
        return BEGINNING

    def is_marked(self, number: int) -> bool:
        """Tell whether a number is one of those that have marks."""
        return number % self._interval == 0

    async def keep(self, mark: Mark) -> None:
        """Set a mark durably, if it can be: without it reading goes on. Cancellation leaves it set or not."""
        try:
            frontier = await self._load("frontier")
            if frontier is None or frontier.number < mark.number:
                await self._save(str(mark.number), mark)
                await self._save("frontier", mark)  # after the mark, see the invariant
        except JournalClosedError:
            raise
        except JournalError as error:
            _logger.warning("%s at %d is not marked, and will be read again: %s", self._name, mark.number, error)

    async def _load(self, which: str) -> Mark | None:
        snapshot = await self._journal.snapshots.load_snapshot(f"{self._name}:{which}", int)
        return None if snapshot is None else Mark(snapshot.sequence_number, snapshot.state)

    async def _save(self, which: str, mark: Mark) -> None:
        await self._journal.snapshots.save_snapshot(
            f"{self._name}:{which}", mark.position, sequence_number=mark.number, keep=1
        )
