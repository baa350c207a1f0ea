"""Inlets that have nothing upstream: the elements of iterables, of async iterables, of foreign inlets."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Sequence
from inspect import isawaitable
from itertools import chain, islice
from typing import Any, Generic, Never, TypeVar

from calliope.flow.by_hand import foreign
from calliope.flow.inlet import CHUNK, Inlet
from calliope.flow.pace import give_way

T = TypeVar("T")
S = TypeVar("S")


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
        """Return an iterator over at most `limit` elements, computed as they are read; `()` at the end."""
        if self._ended:
            return ()
        await give_way()
        return islice(self._elements, min(limit, CHUNK))

    async def pull(self, limit: int) -> Sequence[T]:
        """Return the next elements, at most `limit`; those before an error come before the error."""
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
        """Close the iterator if it is a generator: its `finally` blocks run now."""
        self._ended = True
        if isinstance(self._iterator, Generator):
            self._iterator.close()


class AsyncIteratorInlet(Generic[T]):
    """Hands over the elements of an async iterator one by one: whether the next one waits is unknown."""

    def __init__(self, iterator: AsyncIterator[T]) -> None:
        self._iterator = iterator
        self._next = iterator.__anext__
        self._count = 0
        self._ended = False

    async def pull(self, limit: int) -> Sequence[T]:
        """Return the next element, alone."""
        if self._ended:
            return ()
        self._count += 1
        if not self._count & 15:
            await give_way()
        try:
            return (await self._next(),)
        except StopAsyncIteration:
            self._ended = True
            return ()

    async def aclose(self) -> None:
        """Close the iterator if it is a generator: its `finally` blocks run now."""
        self._ended = True
        if isinstance(self._iterator, AsyncGenerator):
            await foreign(self._iterator.aclose)


class ForeignInlet(Generic[T]):
    """Holds an inlet that is not ours to the rules: no pull after the end, closed once, fair to other tasks."""

    def __init__(self, inlet: Inlet[T]) -> None:
        self._inlet = inlet
        self._ended = False
        self._closed = False

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what the inlet returns."""
        if self._ended:
            return ()
        await give_way()
        chunk = await self._inlet.pull(limit)
        self._ended = not chunk
        return chunk

    async def aclose(self) -> None:
        """Close the inlet, the first time."""
        self._ended = True
        if not self._closed:
            self._closed = True
            await foreign(self._inlet.aclose)


class FailedInlet:
    """Has an error and no elements."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def pull(self, limit: int) -> Sequence[Never]:
        """Raise the error, with a traceback of this run only."""
        raise self._error.with_traceback(None)

    async def aclose(self) -> None:
        """Do nothing."""


class UnfoldInlet(Generic[S, T]):
    """Grows elements from a state, by a function that may be synchronous or asynchronous."""

    def __init__(self, state: S, function: Callable[[S], Any]) -> None:
        self._state = state
        self._function = function
        self._ended = False
        self._error: Exception | None = None

    async def pull(self, limit: int) -> Sequence[T]:
        """Return the next elements: one if the function is asynchronous, several if it is not."""
        await give_way()
        chunk: list[T] = []
        while len(chunk) < min(limit, CHUNK) and not self._ended:
            try:
                if await self._step(chunk):
                    break
            except Exception as error:
                self._ended, self._error = True, error
        if not chunk and self._error is not None:
            raise self._error
        return chunk

    async def _step(self, chunk: list[T]) -> bool:
        # A function that waits once will wait again: what there is goes first.
        grown = self._function(self._state)
        if waits := isawaitable(grown):
            grown = await grown
        if grown is None:
            self._ended = True
            return True
        element, self._state = grown
        chunk.append(element)
        return waits

    async def aclose(self) -> None:
        """Grow no further element."""
        self._ended = True
