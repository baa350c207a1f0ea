"""`Feed`: reads the records of a projection and hands them on in batches, until something is in the way."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from calliope.domain.projection_batches import Batches
from calliope.domain.projection_progress import Parked
from calliope.domain.projection_selection import ProjectionSelection, Record
from calliope.domain.projection_stop import Stop
from calliope.errors import UnreadableEventError
from calliope.flow import Inlet, Source
from calliope.flow.closing import opened

View = TypeVar("View")


class Feed(Generic[View]):
    """Feeds one target; each method returns the event at which it cannot go on, or None.

    Args:
        selection: what is read.
        batches: where it goes.
        skipped: positions of events to go on without, also of such that cannot be read.
        batch: how many records are handed on together, at most.
        stop: ends it early.
    """

    def __init__(
        self,
        selection: ProjectionSelection,
        batches: Batches[View],
        skipped: set[int],
        batch: int,
        stop: Stop,
    ) -> None:
        self._selection = selection
        self._batches = batches
        self._skipped = skipped
        self._batch = batch
        self._stop = stop

    async def catch_up(self, until: int) -> Parked | None:
        """Take what is stored up to a position, and keep that position as the offset."""
        parked = await self._drain(lambda after: self._selection.stored(after, until))
        if parked is None and not self._stop.requested:
            await self._batches.move_to(until)
        return parked

    async def follow(self) -> Parked | None:
        """Take what is stored and what comes."""
        return await self._drain(self._selection.live)

    async def _drain(self, records_after: Callable[[int], Source[Record]]) -> Parked | None:
        while not self._stop.requested:
            try:
                async with opened(records_after(self._batches.offset).open()) as inlet:
                    return await self._take_all(inlet)
            except UnreadableEventError as error:
                if error.position not in self._skipped:
                    return Parked(error.position, error.type, error.stream_id, f"{type(error).__name__}: {error}", 1)
                await self._batches.move_to(error.position)
        return None

    async def _take_all(self, inlet: Inlet[Any]) -> Parked | None:
        parked = None
        while parked is None and (records := await self._stop.unless_requested(lambda: inlet.pull(self._batch))):
            parked = await self._batches.take(records)
        return parked
