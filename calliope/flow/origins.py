"""Inlets that have nothing upstream: the elements of iterables, of async iterables, of foreign inlets."""

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from inspect import isawaitable
from itertools import chain, islice
from typing import Any, Generic, Never, TypeVar

from calliope.flow.by_hand import foreign
from calliope.flow.inlet import CHUNK, Inlet
from calliope.flow.pace import give_way

T = TypeVar("T")
S = TypeVar("S")


class IterableInlet(Generic[T]):
    """Hands over the elements of an iterable; a generator is closed with it.

    Synchronous stages right behind it read it lazily (`read`), so that not one element more is asked of the
    iterable than they use; everybody else pulls lists.
    """

    def __init__(self, iterable: Iterable[T]) -> None:
        self._iterable = iterable
        self._iterator: Iterator[T] | None = None
        self._elements: Iterator[T] = iter(())
        self._error: BaseException | None = None
        self._ended = False

    async def read(self, limit: int) -> Iterable[T]:
        """Return an iterator over at most `limit` elements, computed as they are read; `()` at the end."""
        if self._ended:
            return ()
        await give_way()
        if self._iterator is None:
            self._iterator = iter(self._iterable)
            self._elements = chain(self._iterator, iter(self._end, None))
        return islice(self._elements, min(limit, CHUNK))

    def _end(self) -> None:
        self._ended = True

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
        self._ended, self._error = True, None
        iterator = self._iterable if self._iterator is None else self._iterator
        if isinstance(iterator, Generator):
            iterator.close()


class AsyncIterableInlet(Generic[T]):
    """Hands over the elements of an async iterable one by one: whether the next one waits is unknown."""

    def __init__(self, iterable: AsyncIterable[T]) -> None:
        self._iterable = iterable
        self._iterator: AsyncIterator[T] | None = None
        self._count = 0
        self._ended = False

    async def pull(self, limit: int) -> Sequence[T]:
        """Return the next element, alone."""
        if self._ended:
            return ()
        if self._iterator is None:
            self._iterator = aiter(self._iterable)
        self._count += 1
        if not self._count % 16:
            await give_way()
        try:
            return (await anext(self._iterator),)
        except StopAsyncIteration:
            self._ended = True
            return ()

    async def aclose(self) -> None:
        """Close the iterator if it is a generator, or was made for this run: its `finally` blocks run now."""
        self._ended = True
        iterator = self._iterable if self._iterator is None else self._iterator
        if isinstance(iterator, AsyncGenerator) or (iterator is not self._iterable and hasattr(iterator, "aclose")):
            await foreign(iterator.aclose)


class ForeignInlet(Generic[T]):
    """Holds an inlet that is not ours to the rules, whatever it does.

    It is opened by the first pull and closed once; it is not pulled again after its end; elements beyond the
    limit, the rest of a page, are kept for the next pull; other tasks get their turn.
    """

    def __init__(self, open: Callable[[], Inlet[T]]) -> None:  # noqa: A002 - the verb of the domain
        self._open = open
        self._inlet: Inlet[T] | None = None
        self._page: Sequence[T] = ()
        self._used = 0
        self._ended = False

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what the inlet returns, or what was left of that."""
        if self._used == len(self._page):
            self._page, self._used = await self._pull(limit), 0
        if not self._used and len(self._page) <= limit:
            page, self._page = self._page, ()
            return page
        chunk = self._page[self._used : self._used + limit]
        self._used += len(chunk)
        return chunk

    async def _pull(self, limit: int) -> Sequence[T]:
        if self._ended:
            return ()
        await give_way()
        if self._inlet is None:
            self._inlet = self._open()
        page = await self._inlet.pull(limit)
        self._ended = not page
        return page

    async def aclose(self) -> None:
        """Close the inlet, if it was opened, the first time."""
        self._ended = True
        self._page, self._used = (), 0
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            await foreign(inlet.aclose)


class FailedInlet:
    """Has an error and no elements."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def pull(self, limit: int) -> Sequence[Never]:
        """Raise the error."""
        raise self._error

    async def aclose(self) -> None:
        """Forget this run: the error is the recipe's, and must not keep its frames alive."""
        self._error.__traceback__ = None


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
        self._ended, self._error = True, None
