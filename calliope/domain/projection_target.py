"""What a projection projects into: a view that is changed in transactions, and remembers how far it has seen.

A target decides how often an event counts. `InMemory` and `SqlView` move view and offset together, so each event
counts exactly once. `AtLeastOnce` calls handlers first and saves the offset after: a crash in between repeats them.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, Protocol, TypeVar, runtime_checkable

import anyio

from calliope.domain.projection_errors import OffsetMovedError
from calliope.domain.projection_offsets import OffsetStore

View = TypeVar("View")
View_co = TypeVar("View_co", covariant=True)


class Transaction(Generic[View]):
    """One batch of events on its way into a view.

    Attributes:
        view: what handlers are given.
        reached: the position of the last event that was handled; the offset that will be kept.
    """

    def __init__(self, view: View, reached: int) -> None:
        self.view = view
        self.reached = reached


@runtime_checkable
class Target(Protocol[View]):
    """A view and its offset, for those who bring their own."""

    async def offset(self, name: str) -> int:
        """Return the position up to which the projection of a name has seen the journal; 0: nothing."""
        ...

    def transaction(self, name: str, offset: int) -> AbstractAsyncContextManager[Transaction[View]]:
        """Open a transaction in which events after an offset are handled.

        Leaving the block keeps what handlers did and `reached` as the offset. If the block fails or is cancelled, the
        target decides what is kept; afterwards `offset` tells.

        Raises:
            OffsetMovedError: the offset is another one; nothing is changed.
        """
        ...


@runtime_checkable
class Rebuildable(Protocol[View]):
    """A target whose view can be built anew beside the old one."""

    def rebuilding(self, name: str) -> AbstractAsyncContextManager[Target[View]]:
        """Lend an empty target of the same kind; when the block is left it is gone, unless it was switched to."""
        ...

    async def switch(self, name: str, rebuilt: Target[View]) -> bool:
        """Serve the rebuilt view from now on, in one step; False, and nothing is changed, if the old has seen more."""
        ...


class InMemory(Generic[View]):
    """A view that lives as long as the process: each run of the program builds it from the first event.

    Args:
        make: makes an empty view, such as `dict`.

    Attributes:
        view: the view that serves now; a rebuild replaces it.
    """

    def __init__(self, make: Callable[[], View]) -> None:
        self._make = make
        self._offset = 0
        self.view = make()

    async def offset(self, name: str) -> int:
        """Return how far the view has seen the journal."""
        return self._offset

    @asynccontextmanager
    async def transaction(self, name: str, offset: int) -> AsyncIterator[Transaction[View]]:
        """Lend the view; if a handler fails, the events before it count."""
        if offset != self._offset:
            raise OffsetMovedError(name, offset, self._offset)
        transaction = Transaction(self.view, offset)
        try:
            yield transaction
        finally:
            self._offset = transaction.reached

    @asynccontextmanager
    async def rebuilding(self, name: str) -> "AsyncIterator[InMemory[View]]":
        """Lend an empty view of the same make."""
        yield InMemory(self._make)

    async def switch(self, name: str, rebuilt: "Target[View]") -> bool:
        """Serve the rebuilt view from now on."""
        offset = await rebuilt.offset(name)
        if not isinstance(rebuilt, InMemory) or offset < self._offset:
            return False
        self.view, self._offset = rebuilt.view, offset
        return True


class AtLeastOnce(Generic[View]):
    """Anything that handlers change: a mail server, a search index, a file. Handlers should bear repetition.

    After a crash, the events of the last batch are handled again; after a failed handler, only its own.

    Args:
        view: what handlers are given.
        offsets: where the offset is kept; `JournalOffsets(journal)` keeps it in the journal.
    """

    def __init__(self, view: View, offsets: OffsetStore) -> None:
        self.view = view
        self._offsets = offsets

    async def offset(self, name: str) -> int:
        """Return the offset that was saved last."""
        return await self._offsets.load_offset(name)

    @asynccontextmanager
    async def transaction(self, name: str, offset: int) -> AsyncIterator[Transaction[View]]:
        """Lend the view, and save the offset of what was handled, also when a handler fails or is cancelled."""
        transaction = Transaction(self.view, offset)
        try:
            yield transaction
        finally:
            if transaction.reached > offset:
                with anyio.CancelScope(shield=True):
                    await self._offsets.save_offset(name, transaction.reached)
