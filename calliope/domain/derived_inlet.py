"""How a derived stream is read: records of the journal come in, numbered ones go out, marks are set on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

from calliope.domain.derived_index import DerivedIndex, Mark
from calliope.flow import Inlet, Source
from calliope.limits import POSITION_MAX
from calliope.recorded_event import RecordedEvent

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


@dataclass(frozen=True, slots=True)
class DerivedRecord(Generic[E_co]):
    """A record with its number in a derived stream.

    Attributes:
        sequence_number: its place in the derived stream: 1, 2, 3 …
        record: the event where it was written, with the stream and sequence number it has there.
    """

    sequence_number: int
    record: RecordedEvent[E_co]

    @property
    def data(self) -> E_co:
        """The event."""
        return self.record.data

    @property
    def position(self) -> int:
        """The place in the journal."""
        return self.record.position


class DerivedInlet(Generic[E]):
    """Numbers records from the nearest mark on, and hands out those after a number.

    Args:
        index: the marks.
        records_after: reads the records of the derived stream after a position of the journal.
        after: the number to begin after.
        until: the last number to hand out; None: all.
    """

    def __init__(
        self,
        index: DerivedIndex,
        records_after: Callable[[int], Source[RecordedEvent[E]]],
        after: int,
        until: int | None,
    ) -> None:
        self._index = index
        self._records_after = records_after
        self._after = after
        self._until = POSITION_MAX if until is None else until
        self._number = 0
        self._upstream: Inlet[RecordedEvent[E]] | None = None

    async def pull(self, limit: int, /) -> Sequence[DerivedRecord[E]]:
        """Hand out the next records; see `Inlet.pull`."""
        upstream = self._upstream or await self._opened()
        wanted: list[DerivedRecord[E]] = []
        while not wanted and self._number < self._until:
            records = await upstream.pull(min(limit, self._until - self._number))
            if not records:
                break
            numbered = list(map(DerivedRecord, count(self._number + 1), records))
            self._number += len(numbered)
            await self._mark(numbered)
            wanted = [each for each in numbered if each.sequence_number > self._after]
        return wanted

    async def aclose(self) -> None:
        """Close the reader of the journal."""
        if self._upstream is not None:
            await self._upstream.aclose()

    async def _opened(self) -> Inlet[RecordedEvent[E]]:
        mark = await self._index.nearest(self._after)
        self._number = mark.number
        self._upstream = self._records_after(mark.position).open()
        return self._upstream

    async def _mark(self, numbered: Sequence[DerivedRecord[E]]) -> None:
        for each in numbered:
            if self._index.is_marked(each.sequence_number):
                await self._index.keep(Mark(each.sequence_number, each.position))
