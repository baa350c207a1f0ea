"""`async for` over a source: an object instead of an async generator, so that a `break` closes upstream."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from calliope.flow import closing
from calliope.flow.inlet import CHUNK, EVERYTHING, Inlet

T = TypeVar("T")


class SourceIterator(AsyncIterator[T], Generic[T]):
    """Iterates over one run of a source, element by element.

    Its demand grows: 1, 2, 4 … elements at a time, and everything after 256, so that leaving early has
    computed at most about twice what was used. Leaving the loop drops the iterator, which closes everything
    upstream (see `closing`); whoever keeps it may iterate further, and calls `aclose()` in the end
    (`contextlib.aclosing` does).
    """

    def __init__(self, open: Callable[[], Inlet[T]]) -> None:  # noqa: A002 - the verb of the domain
        self._open = open
        self._inlet: Inlet[T] | None = None
        self._close: Callable[[Inlet[Any]], None] | None = None
        self._elements: Iterator[T] = iter(())
        self._demand = 1
        self._ended = False

    def __aiter__(self) -> "SourceIterator[T]":
        return self

    async def __anext__(self) -> T:
        for element in self._elements:
            return element
        self._elements = iter(await self._pull())
        for element in self._elements:
            return element
        raise StopAsyncIteration

    async def _pull(self) -> Sequence[T]:
        if self._ended:
            return []
        if self._inlet is None:
            self._inlet, self._close = self._open(), closing.closer()
        demand, self._demand = self._demand, self._demand * 2 if self._demand < CHUNK else EVERYTHING
        try:
            chunk = await self._inlet.pull(demand)
        except BaseException:
            await self.aclose()
            raise
        if not chunk:
            await self.aclose()
        return chunk

    async def aclose(self) -> None:
        """Closes everything upstream; elements that were pulled but not yet handed out are dropped."""
        self._ended = True
        self._elements = iter(())
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            await closing.close(inlet)

    def __del__(self) -> None:
        if self._inlet is not None and self._close is not None:
            self._close(self._inlet)
