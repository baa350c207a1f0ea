"""Inlets that have nothing upstream: the elements of iterables and of async iterables."""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Sequence
from itertools import chain, islice
from typing import Generic, TypeVar

from calliope.flow.inlet import CHUNK
from calliope.flow.pace import give_way

T = TypeVar("T")


class IterableInlet(Generic[T]):
    """Hands over the elements of an iterator; a generator is closed with it.

    Synchronous stages right behind it read it lazily (`read`), so that not one element more is asked of the
    iterator than they use; everybody else pulls lists.
    """

    def __init__(self, elements: Iterable[T]) -> None:
        self._iterator = iter(elements)
        self._elements = chain(self._iterator, iter(self._end, None))
        self._error: BaseException | None = None
        self._ended = False

    def _end(self) -> None:
        self._ended = True

    async def read(self, limit: int) -> Iterable[T]:
        """Returns an iterator over at most `limit` elements, computed as they are read; `()` at the end."""
        if self._ended:
            return ()
        await give_way()
        return islice(self._elements, min(limit, CHUNK))

    async def pull(self, limit: int) -> Sequence[T]:
        """Returns the next elements, at most `limit`; those before an error come before the error."""
        if self._error is not None:
            raise self._error
        chunk: list[T] = []
        try:
            chunk.extend(await self.read(limit))
        except Exception as error:
            if not chunk:
                raise
            self._error = error
        return chunk

    async def aclose(self) -> None:
        """Closes the iterator if it is a generator: its `finally` blocks run now."""
        self._ended = True
        if isinstance(self._iterator, Generator):
            self._iterator.close()


class AsyncIteratorInlet(Generic[T]):
    """Hands over the elements of an async iterator one by one: whether the next one waits is unknown."""

    def __init__(self, iterator: AsyncIterator[T]) -> None:
        self._iterator = iterator
        self._ended = False

    async def pull(self, limit: int) -> Sequence[T]:
        """Returns the next element, alone."""
        if self._ended:
            return []
        await give_way()
        try:
            return [await anext(self._iterator)]
        except StopAsyncIteration:
            self._ended = True
            return []

    async def aclose(self) -> None:
        """Closes the iterator if it can be closed: the `finally` blocks of an async generator run now."""
        self._ended = True
        if isinstance(self._iterator, AsyncGenerator):
            await self._iterator.aclose()
