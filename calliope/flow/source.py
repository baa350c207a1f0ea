"""`Source`: a re-runnable recipe for a stream of elements."""

from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, Generic, TypeVar

from calliope.flow import transforms, windows
from calliope.flow.arguments import check_async_iterable, check_callable, check_iterable
from calliope.flow.closing import opened
from calliope.flow.inlet import Inlet
from calliope.flow.iteration import SourceIterator
from calliope.flow.origins import AsyncIteratorInlet, IterableInlet
from calliope.flow.run import Run
from calliope.flow.sink import Sink
from calliope.flow.transforms import Stage

T = TypeVar("T")
U = TypeVar("U")
S = TypeVar("S")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)


class Source(Generic[T_co]):
    """A recipe for a stream: where its elements come from and which stages they go through.

    A source is immutable, and nothing happens until it is run. Every run opens the recipe anew; whatever
    ends it (the last element, an error, a cancelled caller, a `take`, a `break`), everything upstream is
    closed before the run returns.
    """

    def __init__(self, origin: Callable[[], Inlet[Any]], stages: tuple[Stage, ...] = ()) -> None:
        self._origin = origin
        self._stages = stages

    def open(self) -> Inlet[T_co]:
        """Opens one run of the recipe; who opens it closes it."""
        inlet = self._origin()
        for stage in self._stages:
            inlet = stage(inlet)
        return inlet

    def _then(self, stage: Stage) -> "Source[Any]":
        return Source(self._origin, (*self._stages, stage))

    @staticmethod
    def from_inlet(open: Callable[[], Inlet[T]]) -> "Source[T]":  # noqa: A002 - the verb of the domain
        """Pulls an inlet, which every run opens anew: the way in for anything that hands out pages."""
        check_callable("open", open)
        return Source(open)

    @staticmethod
    def from_iterable(elements: Iterable[T]) -> "Source[T]":
        """Hands out the elements of an iterable; each run iterates over it from the beginning.

        An iterator or generator can be run once only; a generator is closed with the run.
        """
        check_iterable("elements", elements)
        return Source(lambda: IterableInlet(elements))

    @staticmethod
    def of(*elements: T) -> "Source[T]":
        """Hands out its arguments."""
        return Source.from_iterable(elements)

    @staticmethod
    def from_async(elements: AsyncIterable[T]) -> "Source[T]":
        """Hands out the elements of an async iterable; an async generator can be run once, and is closed."""
        check_async_iterable("elements", elements)
        return Source(lambda: AsyncIteratorInlet(aiter(elements)))

    def map(self, function: Callable[[T_co], U]) -> "Source[U]":
        """Replaces every element by what the function returns for it."""
        return self._then(transforms.mapping(function))

    def filter(self, predicate: Callable[[T_co], Any]) -> "Source[T_co]":
        """Lets those elements pass for which the predicate is true."""
        return self._then(transforms.filtering(predicate))

    def take(self, n: int) -> "Source[T_co]":
        """Ends after `n` elements, without asking upstream for more."""
        return self._then(windows.taking(n))

    async def run_with(self, sink: "Sink[T_co, R]") -> R:
        """Runs into a sink and returns its result."""
        async with opened(self.open()) as inlet:
            return await sink.consume(inlet)

    async def run_fold(self, initial: S, function: "Callable[[S, T_co], S]") -> S:
        """Returns `function(function(initial, first), second)` and so on; `initial` of an empty stream."""
        return await self.run_with(Sink.fold(initial, function))

    async def run_for_each(self, function: Callable[[T_co], Any]) -> None:
        """Calls a function with every element; if it returns an awaitable, awaits it before the next call."""
        await self.run_with(Sink.for_each(function))

    async def run_collect(self) -> list[T_co]:
        """Returns all elements as one list."""
        collect: Sink[T_co, list[T_co]] = Sink.collect()
        return await self.run_with(collect)

    async def run_first(self) -> T_co:
        """Returns the first element and computes no second; raises `EmptyStreamError` if there is none."""
        first: Sink[T_co, T_co] = Sink.first()
        return await self.run_with(first)

    async def run_drain(self) -> None:
        """Runs for the effects only."""
        await self.run_with(Sink.drain())

    def running(self, sink: "Sink[T_co, R]") -> Run[R]:
        """Runs into a sink in the background of an `async with` block; leaving the block disposes it."""
        return Run(lambda: self.run_with(sink))

    def __aiter__(self) -> "SourceIterator[T_co]":
        return SourceIterator(self.open)
