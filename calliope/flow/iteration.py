"""`async for` over a source: an object instead of an async generator, so that a `break` closes upstream."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from calliope.flow.by_hand import dropper
from calliope.flow.closing import close
from calliope.flow.inlet import CHUNK, EVERYTHING, Inlet

T = TypeVar("T")


class SourceIterator(AsyncIterator[T], Generic[T]):
    """Iterates over one run of a source, element by element.

    Its demand grows (1, 2, 4 … elements at a time, everything after 512), so that leaving early has
    computed at most about twice what was used. Leaving the loop drops the iterator, which closes everything
    upstream. Whoever keeps it may go on iterating, and calls `aclose()` in the end (`contextlib.aclosing`).
    Like an async generator, it has ended once an error or a cancellation came out of it.
    """

    def __init__(self, open: Callable[[], Inlet[T]]) -> None:  # noqa: A002 - the verb of the domain
        self._open = open
        self._inlet: Inlet[T] | None = None
        self._drop: Callable[[Inlet[Any]], None] | None = None
        self._elements: Iterator[T] = iter(())
        self._demand = 1
        self._ended = False
        self._pulling = False

    def __aiter__(self) -> "SourceIterator[T]":
        return self

    async def __anext__(self) -> T:
        for element in self._elements:
            return element
        self._elements = iter(await self._refill())
        for element in self._elements:
            return element
        raise StopAsyncIteration

    async def _refill(self) -> Sequence[T]:
        if self._pulling:
            raise RuntimeError("another task is waiting for the next element of this iterator already")
        self._pulling = True
        try:
            return await self._pull()
        finally:
            self._pulling = False

    async def _pull(self) -> Sequence[T]:
        if self._ended:
            return ()
        if self._inlet is None:
            self._inlet, self._drop = self._open(), dropper()
        demand, self._demand = self._demand, self._demand * 2 if self._demand < CHUNK else EVERYTHING
        try:
            chunk = await self._inlet.pull(demand)
        except BaseException as error:
            await self._close_after(error)
            if isinstance(error, StopAsyncIteration):  # it would end the loop in silence
                raise RuntimeError("a function given to a stage raised StopAsyncIteration") from error
            raise
        if not chunk:
            await self.aclose()
        return chunk

    async def aclose(self) -> None:
        """Close everything upstream; elements that were pulled but not handed out yet are dropped."""
        self._ended = True
        self._elements = iter(())
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            await close(inlet)

    async def _close_after(self, error: BaseException) -> None:
        try:
            await self.aclose()
        except Exception as second:
            error.add_note(f"closing the stream failed as well: {second!r}")

    def __del__(self) -> None:
        if self._inlet is not None and self._drop is not None:
            self._drop(self._inlet)
