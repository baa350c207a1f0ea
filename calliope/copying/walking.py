"""Reading journals from end to end in the order of positions: one, or two side by side."""

from calliope.limits import POSITION_MAX
from calliope.stores.protocol import EventStore
from calliope.stores.record import Selection, StoredRecord

PAGE_RECORDS = 4_096
"""How many records are read, and submitted, together; a page ends earlier if they are large."""


async def head_of(store: EventStore) -> int:
    """Return the journal's highest position now, also if another process moved it there."""
    return (await store.read_all(Selection(), after=store.tail.position, limit=1)).head


class Walk:
    """The records of a journal, page by page.

    Args:
        store: where they are.
        selection: which of them.
        after: the position to begin after.
        through: the last position to read.

    Attributes:
        after: up to which position everything was read.
    """

    def __init__(self, store: EventStore, selection: Selection, after: int, through: int = POSITION_MAX) -> None:
        self.after = after
        self._store = store
        self._selection = selection
        self._through = through

    async def next_page(self) -> list[StoredRecord]:
        """Return the next records: at least one, or none when there are no more."""
        while self.after < self._through:
            page = await self._store.read_all(self._selection, after=self.after, limit=PAGE_RECORDS)
            records = page.records
            if page.through > self._through:
                records = [record for record in records if record.position <= self._through]
            self.after = max(self.after, page.through)
            if records or page.complete:
                return records
        return []


class SideBySide:
    """Two walks, told of in stretches of equal length.

    Args:
        one: a walk.
        other: another.
    """

    def __init__(self, one: Walk, other: Walk) -> None:
        self._walks = one, other
        self._ahead: list[list[StoredRecord]] = [[], []]

    async def next_stretch(self) -> tuple[list[StoredRecord], list[StoredRecord]]:
        """Return the next records of both, as many of one as of the other; if a walk has ended, none of it."""
        for index, walk in enumerate(self._walks):
            if not self._ahead[index]:
                self._ahead[index] = await walk.next_page()
        one, other = self._ahead
        length = min(len(one), len(other)) or max(len(one), len(other))
        self._ahead = [one[length:], other[length:]]
        return one[:length], other[:length]
