"""`ProjectionRun`: what happens between the start of a projection and its end."""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio

from calliope.domain.projection_batches import Batches, Patience
from calliope.domain.projection_errors import OffsetMovedError, ProjectionError, ProjectionParkedError
from calliope.domain.projection_feed import Feed
from calliope.domain.projection_handlers import Handlers
from calliope.domain.projection_head import head_of
from calliope.domain.projection_history import History
from calliope.domain.projection_progress import Parked, Progress
from calliope.domain.projection_selection import ProjectionSelection
from calliope.domain.projection_stop import Stop
from calliope.domain.projection_target import Rebuildable, Target
from calliope.journal import Journal

View = TypeVar("View")

_logger = logging.getLogger(__name__)


class ProjectionRun(Generic[View]):
    """Moves one target along one journal; `Projection` is its front.

    Args:
        name: the projection.
        journal: the journal.
        target: the view.
        handlers: what becomes of a record.
        selection: which records.
        batch: how many records share a transaction, at most.
        patience: makes what meets failures, for a run that may be stopped.

    Attributes:
        progress: how far it has come.
        is_running: whether it runs.
    """

    def __init__(
        self,
        name: str,
        journal: Journal,
        target: Target[View],
        handlers: Handlers[View],
        selection: ProjectionSelection,
        batch: int,
        patience: Callable[[Stop], Patience],
    ) -> None:
        self._name = name
        self._journal = journal
        self._target = target
        self._handlers = handlers
        self._selection = selection
        self._batch = batch
        self._patience = patience
        self._history = History(journal, name)
        self._skipped: set[int] = set()
        self._stop = Stop()
        self._ended = anyio.Event()
        self._resumed = anyio.Event()
        self._lane = anyio.Lock()
        self.progress = Progress(name)
        self.is_running = False

    async def run(self) -> None:
        """Run until stopped."""
        self._begin()
        try:
            while not self._stop.requested:
                parked = await self._until_parked()
                if parked is not None and not self._stop.requested:
                    await self._stand_still(parked)
        finally:
            self._end()

    async def stop(self) -> None:
        """Let the run end after the batch under way, and return when it has."""
        self._stop.request()
        if self.is_running:
            await self._ended.wait()

    async def catch_up(self) -> None:
        """Handle what is stored now."""
        self._begin()
        try:
            feed = await self._prepared(self._batches_into(self._target, self._stop, self.progress), self._stop)
            self._check(await feed.catch_up(await head_of(self._journal)))
        finally:
            self._end()

    async def load(self) -> None:
        """Learn how far the target has seen; it sees no more meanwhile, else what was learned would lead back."""
        async with self._lane:
            self.progress.start_at(await self._target.offset(self._name))

    async def rebuild(self, target: Rebuildable[View]) -> None:
        """Build the view anew beside the old one and switch to it."""
        stop, beside = Stop(), Progress(self._name)
        async with target.rebuilding(self._name) as rebuilt:
            feed = await self._prepared(self._batches_into(rebuilt, stop, beside), stop)
            switched = False
            while not switched:
                self._check(await feed.catch_up(await head_of(self._journal)))
                async with self._lane:
                    self._check(await feed.catch_up(await self._target.offset(self._name)))
                    switched = await target.switch(self._name, rebuilt)
        await self.load()
        parked = self.progress.parked
        if parked is not None and parked.position <= self.progress.seen:
            self._go_on()

    def resume(self) -> None:
        """Try the event that it is parked at again."""
        self._parked_now()
        self._go_on()

    async def skip(self, position: int) -> None:
        """Go on without the event that it is parked at."""
        parked = self._parked_now()
        if parked.position != position:
            raise ProjectionError(self._name, f"is parked at position {parked.position}, not at {position}")
        await self._history.record_skipped(position, parked.error)
        self._skipped.add(position)
        self._go_on()

    def _go_on(self) -> None:
        self.progress.begin()
        self._resumed.set()

    def _begin(self) -> None:
        if self.is_running:
            raise ProjectionError(self._name, "runs already")
        self.is_running = True
        self.progress.start_at(0)  # until the target has told
        self._stop, self._ended = Stop(), anyio.Event()

    def _end(self) -> None:
        self.is_running = False
        self.progress.stop()
        self._ended.set()

    async def _until_parked(self) -> Parked | None:
        """Handle what is stored, then what comes; return what is in the way, or None: begin again."""
        self.progress.begin()
        feed = await self._prepared(self._batches_into(self._target, self._stop, self.progress), self._stop)
        try:
            parked = await feed.catch_up(await head_of(self._journal))
            if parked is None and not self._stop.requested:
                self.progress.go_live()
                parked = await feed.follow()
        except OffsetMovedError as error:
            _logger.info("%s", error)
            return None
        return parked

    async def _stand_still(self, parked: Parked) -> None:
        _logger.error("projection %r is parked at position %d: %s", self._name, parked.position, parked.error)
        await self._history.record_parked(parked)
        self._resumed = anyio.Event()
        self.progress.park(parked)
        await self._stop.unless_requested(self._resumed.wait)

    def _batches_into(self, target: Target[View], stop: Stop, progress: Progress) -> Batches[View]:
        lane = self._lane if target is self._target else anyio.Lock()
        return Batches(self._name, target, self._handlers, self._skipped, self._patience(stop), progress, lane)

    async def _prepared(self, batches: Batches[View], stop: Stop) -> Feed[View]:
        self._skipped |= await self._history.skipped()
        await batches.load()
        return Feed(self._selection, batches, self._skipped, self._batch, stop)

    def _parked_now(self) -> Parked:
        if self.progress.parked is None:
            raise ProjectionError(self._name, "is not parked")
        return self.progress.parked

    def _check(self, parked: Parked | None) -> None:
        if parked is not None:
            raise ProjectionParkedError(self._name, parked.position, parked.error)
