"""Synchronous stages, fused: ten of them cost one step per chunk, not ten awaits per element.

A synchronous stage is a *transform*: it turns an iterator over a chunk into a lazy iterator over what
becomes of it (`map`, `filter` and their like, which run in C): one result of each element, or none.
Neighbouring transforms are stacked, and the whole stack is drawn through one `list.extend` per chunk.
Elements therefore still go through the stages one after the other, depth first, as in a plain `for` loop:
whatever is not drawn is not computed.

Two subtleties:

* `list.extend` keeps what it has drawn when the iterator raises, which is how the elements before an error
  get downstream before it does.
* A function that raises `StopIteration` looks to the built-ins like the end of the chunk, and elements
  would vanish. So a marker ends every chunk: when the stack stops and the marker has not been reached, and
  no stage has said that it stopped on purpose, a `RuntimeError` says what happened (as PEP 479 does).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Generic, TypeVar

from calliope.flow.inlet import Inlet, Open, Stage
from calliope.flow.origins import IterableInlet

T = TypeVar("T")

Transform = Callable[[Iterator[Any]], Iterator[Any]]
"""Turns the iterator over one chunk into a lazy iterator over what the stage makes of it."""


class Stop:
    """Lets a transform say that no further element will pass it."""

    stopped = False


class FusedInlet(Generic[T]):
    """Draws the chunks of one inlet through a stack of transforms."""

    def __init__(self, upstream: Inlet[Any]) -> None:
        self._upstream = upstream
        self._read: Callable[[int], Any] = upstream.read if isinstance(upstream, IterableInlet) else upstream.pull
        self._transforms: list[Transform] = []
        self._stop = Stop()
        self._whole = False
        self._ended = False
        self._error: Exception | None = None

    def push(self, begin: Callable[[Stop], Transform]) -> None:
        """Put one more transform onto the stack."""
        self._transforms.append(begin(self._stop))

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what becomes of the next elements."""
        while not self._ended:
            chunk = await self._read(limit)
            if not chunk:
                self._ended = True
            elif elements := self._draw(chunk):
                return elements
        if self._error is not None:
            raise self._error
        return ()

    def _draw(self, chunk: Iterable[Any]) -> list[T]:
        elements: list[T] = []
        self._whole = False
        try:
            elements.extend(self._stack(chunk))
        except Exception as error:
            self._fail(error)
        else:
            self._check_end()
        return elements

    def _stack(self, chunk: Iterable[Any]) -> Iterator[T]:
        elements: Iterator[Any] = chain(chunk, iter(self._mark, None))
        for transform in self._transforms:
            elements = transform(elements)
        return elements

    def _mark(self) -> None:
        self._whole = True

    def _check_end(self) -> None:
        if self._stop.stopped:
            self._ended = True
        elif not self._whole:
            self._fail(RuntimeError("a function given to a stage raised StopIteration"))

    def _fail(self, error: Exception) -> None:
        self._ended = True
        self._error = error

    async def aclose(self) -> None:
        """Close what is upstream."""
        self._ended, self._error = True, None
        await self._upstream.aclose()


def fused(begin: Callable[[Stop], Transform]) -> Stage:
    """Make a stage of a transform; every run begins one of its own."""

    def stage(open_upstream: Open) -> Open:
        def open_fused() -> Inlet[Any]:
            upstream = open_upstream()
            inlet: FusedInlet[Any] = upstream if isinstance(upstream, FusedInlet) else FusedInlet(upstream)
            inlet.push(begin)
            return inlet

        return open_fused

    return stage
