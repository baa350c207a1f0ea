"""`Projection`: keeps a view up to date with a journal, event by event, each with its handler.

The view lags behind the journal by a moment, and whoever has just persisted can wait for it. In fifteen lines, into a
table of SQLite (install the extra `sql`; `SqlView` needs asyncio, everything else here runs on trio, too):

    view = SqlView("products.db", "CREATE TABLE IF NOT EXISTS product (id TEXT PRIMARY KEY, name TEXT NOT NULL)")
    projection = Projection("products", journal, view)

    @projection.on(ProductCreated)
    def created(record: RecordedEvent[ProductCreated], rows: SqlTransaction) -> None:
        rows.write("INSERT INTO product VALUES (:id, :name)", id=record.stream_id, name=record.data.name)

    @projection.on(ProductRenamed)
    def renamed(record: RecordedEvent[ProductRenamed], rows: SqlTransaction) -> None:
        rows.write("UPDATE product SET name = :name WHERE id = :id", id=record.stream_id, name=record.data.name)

    async with view, projection.running():
        reply = await journal.event_stream("product-1", ProductEvent).persist(ProductCreated("lamp"))
        await projection.wait_for(reply.position)
        print(await view.fetch("SELECT id, name FROM product"))

How often an event counts, is the target's promise: exactly once in a `SqlView`, whose rows and offset share a
transaction, at least once in anything else (`AtLeastOnce`); `InMemory` begins anew with the process.

Rules of a run:

1. Events are handled in the order of their positions, one at a time, up to `batch` of them in one transaction.
2. A handler that fails is tried again, with pauses. After that the projection is *parked*: it stands still at that
   event, never behind it, until `resume()` or `skip(position)`. What is skipped is kept in the journal.
3. What was stored when the run began is read to its end first; then new events come as they are committed.
4. A graceful stop finishes the batch under way; a cancelled run leaves the view as of the last commit.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from random import random as any_chance
from typing import Any, Generic, TypeVar

import anyio

from calliope.domain.projection_batches import Patience
from calliope.domain.projection_errors import ProjectionTimeoutError
from calliope.domain.projection_handlers import Handlers
from calliope.domain.projection_head import head_of
from calliope.domain.projection_progress import ProjectionStatus
from calliope.domain.projection_run import ProjectionRun
from calliope.domain.projection_selection import ProjectionSelection
from calliope.domain.projection_stop import Stop
from calliope.domain.projection_target import Rebuildable, Target
from calliope.errors import UnreadableEventError
from calliope.flow import Backoff, Clock, Run
from calliope.flow.arguments import check_count
from calliope.flow.clock import LOOP_CLOCK, check_clock
from calliope.journal import Journal
from calliope.limits import checked_number, checked_text
from calliope.recorded_event import RecordedEvent

E = TypeVar("E")
View = TypeVar("View")
Result = TypeVar("Result", bound=Awaitable[None] | None)

BATCH_RECORDS = 512
"""How many events share a transaction, at most, unless said otherwise."""

NAME_BYTES_MAX = 200
"""UTF-8 bytes of a projection's name."""


class Projection(Generic[View]):
    """Takes the events of a journal into a view, in order, and remembers how far it came.

    One run at a time takes one name into one target. A second process that does so into the same `SqlView` costs time
    and harms nothing.

    Args:
        name: names the offset; 1 to 200 bytes in UTF-8.
        journal: where the events are.
        target: the view: a `SqlView`, `AtLeastOnce(view, offsets)`, `InMemory(make)` or your own `Target`.
        tags: only events with all of these tags.
        prefix: only events of streams whose ids begin so.
        batch: how many events share a transaction, at most; there are fewer when fewer have come.
        attempts: how often an event is tried before the projection is parked.
        backoff: the pauses between.
        clock: measures the pauses.
        random: returns numbers from 0 to 1, which spread the pauses.

    Raises:
        TypeError, ValueError: an argument is not legal.

    Attributes:
        name: as given.
    """

    def __init__(
        self,
        name: str,
        journal: Journal,
        target: Target[View],
        *,
        tags: str | Collection[str] = (),
        prefix: str = "",
        batch: int = BATCH_RECORDS,
        attempts: int = 5,
        backoff: Backoff = Backoff(),  # noqa: B008 - immutable
        clock: Clock = LOOP_CLOCK,
        random: Callable[[], float] = any_chance,
    ) -> None:
        self.name = checked_text("name", name, NAME_BYTES_MAX)
        if not isinstance(target, Target):
            raise TypeError(f"target must be a Target such as SqlView or InMemory, not {target!r}")
        check_count("batch", batch)
        check_count("attempts", attempts)
        check_clock(clock)
        self._journal = journal
        self._target = target
        self._handlers = Handlers[View]()
        self._selection = ProjectionSelection(journal, self._handlers, tags, prefix)

        def patience(stop: Stop) -> Patience:
            return Patience(attempts, backoff, clock, random, stop)

        self._run = ProjectionRun(name, journal, target, self._handlers, self._selection, batch, patience)

    def on(
        self, event_class: type[E]
    ) -> Callable[[Callable[[RecordedEvent[E], View], Result]], Callable[[RecordedEvent[E], View], Result]]:
        """Let the decorated function take the events of a class, and of its subclasses that have no handler.

        The function is given the event as a `RecordedEvent` and the view, or the transaction of a `SqlView`. It may
        be `async def`. Write the decorator twice for two classes.

        Raises:
            TypeError: it is no class of events.
            ValueError: the class has a handler already.
        """

        def register(handler: Callable[[RecordedEvent[E], View], Result]) -> Callable[[Any, View], Result]:
            self._handlers.add(event_class, handler)
            return handler

        return register

    # Running.

    @asynccontextmanager
    async def running(self) -> "AsyncIterator[Projection[View]]":
        """Run while the block lasts; leaving the block stops gracefully, leaving it by an error cancels.

        If the run fails, because the journal was closed, say, the block is cancelled and the error raised.
        """
        if not self._run.is_running:
            self._run.progress.start_at(0)  # the view may be another one than in the last run
        async with Run(self.run):
            yield self
            await self.stop()

    async def run(self) -> None:
        """Run until stopped: read what is stored, then what comes.

        Raises:
            JournalError: the journal cannot be read.
            ProjectionError: it runs already.

        Cancellation leaves the view, and the offset, as of the last commit.
        """
        await self._run.run()

    async def stop(self) -> None:
        """Let the run end after the batch under way, and return when it has; without a run, do nothing."""
        await self._run.stop()

    async def catch_up(self) -> None:
        """Handle what is stored now, and return; for views that need not be live, and for tests.

        Raises:
            ProjectionParkedError: an event could not be handled; those before it are in the view.
            ProjectionError: it runs already.
        """
        await self._run.catch_up()

    # Looking at it.

    async def wait_for(self, position: int, *, timeout: float | None = None) -> None:
        """Return when the view has seen a position of the journal, such as that of a `PersistReply`.

        Args:
            position: a position that the journal has.
            timeout: after how many seconds to give up; None: never.

        Raises:
            ProjectionTimeoutError: it took too long.
            ProjectionParkedError: the projection stands still before the position.
            ProjectionStoppedError: it was stopped before the position. One that nobody runs yet is waited for.
            ValueError: the journal has no such position.
        """
        checked_number("position", position)
        progress = self._run.progress
        if progress.seen >= position:
            return
        with anyio.move_on_after(timeout):
            await self._wait_for(position)
            return
        raise ProjectionTimeoutError(self.name, position, progress.seen, timeout or 0)

    async def status(self) -> ProjectionStatus:
        """Return what the projection does, and how far it is behind."""
        if not self._run.is_running:
            await self._run.load()
        progress = self._run.progress
        state, seen, parked, head = progress.state, progress.seen, progress.parked, await head_of(self._journal)
        lag = head - seen if seen < head and await self._has_any(seen, head) else 0
        return ProjectionStatus(state, seen, head, lag, parked)

    # Parked.

    def resume(self) -> None:
        """Try the event that it is parked at again.

        Raises:
            ProjectionError: it is not parked.
        """
        self._run.resume()

    async def skip(self, position: int) -> None:
        """Go on without the event that it is parked at, for ever; the journal keeps that it was skipped.

        Args:
            position: the event's position, so that no other one is skipped by mistake.

        Raises:
            ProjectionError: it is not parked, or not there; nothing is skipped.
        """
        await self._run.skip(position)

    # Building it anew.

    async def rebuild(self) -> None:
        """Build the view anew from the first event while the old one serves, then switch to it in one step.

        The projection may run meanwhile, or be parked, or not run at all. Handlers are as they are now, so this is
        what to do after they were mended. Events that were skipped are skipped again.

        Raises:
            TypeError: the target cannot be rebuilt: give a new target and a new name to a second projection instead.
            ProjectionParkedError: an event could not be handled; the old view serves on, what was built is gone.

        Cancellation leaves the old view, and nothing else.
        """
        target = self._target
        if not isinstance(target, Rebuildable):
            raise TypeError(f"{type(target).__name__} cannot be rebuilt beside itself")
        await self._run.rebuild(target)

    async def _wait_for(self, position: int) -> None:
        head = await head_of(self._journal)
        if position > head:
            raise ValueError(f"the journal has no position {position} yet; its last is {head}")
        progress = self._run.progress
        await progress.wait_until_live(position)
        await progress.wait_for(await self._last_taken(progress.seen, position))

    async def _last_taken(self, after: int, until: int) -> int:
        try:
            return await self._selection.last_position(after, until) if after < until else until
        except UnreadableEventError as error:
            return error.position  # the projection will be parked there

    async def _has_any(self, after: int, until: int) -> bool:
        try:
            return await self._selection.has_any(after, until)
        except UnreadableEventError:
            return True
