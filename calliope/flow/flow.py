"""`Flow`: stages without a source, to be put behind one later."""

from collections.abc import Awaitable, Callable, Hashable
from random import random
from typing import Any, TypeVar, overload

from calliope.flow.buffering import Overflow
from calliope.flow.clock import LOOP_CLOCK, Clock
from calliope.flow.closing import opened
from calliope.flow.inlet import CHUNK, Inlet
from calliope.flow.retrying import Backoff
from calliope.flow.sink import Sink
from calliope.flow.source import Group, Source
from calliope.flow.stages import Pipe, Streamable

A_contra = TypeVar("A_contra", contravariant=True)
B_co = TypeVar("B_co", covariant=True)
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
S = TypeVar("S")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)

_NO_SOURCE: Source[Any] = Source.empty()


def _unchanged(source: Source[C]) -> Source[C]:
    return source


class Flow(Pipe[A_contra, B_co]):
    """Stages, to be put behind a source (`source.via(flow)`), another flow, or in front of a sink.

    `Flow[int, int]()` changes nothing; its stages are those of `Source`, and do what they do there.
    """

    def __init__(self, apply: Callable[[Source[A_contra]], Source[B_co]] | None = None) -> None:
        self._apply: Callable[[Source[Any]], Source[Any]] = apply or _unchanged

    def _then(self, stage: Callable[[Source[B_co]], Source[C]]) -> "Flow[A_contra, C]":
        stage(_NO_SOURCE)  # mistakes in the arguments are reported now
        return Flow(lambda source: stage(self._apply(source)))

    def attach(self, open_upstream: Callable[[], Inlet[A_contra]], /) -> Callable[[], Inlet[B_co]]:
        """Put the stages behind a recipe."""
        return self._apply(Source(open_upstream)).open

    def via(self, flow: Pipe[B_co, C]) -> "Flow[A_contra, C]":
        """Put the stages of another flow behind these."""
        return self._then(lambda source: source.via(flow))

    def to(self, sink: Sink[B_co, R]) -> Sink[A_contra, R]:
        """Put these stages in front of a sink."""

        async def consume(inlet: Inlet[A_contra]) -> R:
            async with opened(self.attach(lambda: inlet)()) as transformed:
                return await sink.consume(transformed)

        return Sink(consume)

    def map(self, function: Callable[[B_co], C]) -> "Flow[A_contra, C]":
        """Do what `Source.map` does."""
        return self._then(lambda source: source.map(function))

    def filter(self, predicate: Callable[[B_co], Any]) -> "Flow[A_contra, B_co]":
        """Do what `Source.filter` does."""
        return self._then(lambda source: source.filter(predicate))

    def flat_map(self, function: Callable[[B_co], Streamable[C]]) -> "Flow[A_contra, C]":
        """Do what `Source.flat_map` does."""
        return self._then(lambda source: source.flat_map(function))

    def scan(self, initial: S, function: Callable[[S, B_co], S]) -> "Flow[A_contra, S]":
        """Do what `Source.scan` does."""
        return self._then(lambda source: source.scan(initial, function))

    def distinct(
        self, key: Callable[[B_co], Hashable] | None = None, *, remember: int = 65_536
    ) -> "Flow[A_contra, B_co]":
        """Do what `Source.distinct` does."""
        return self._then(lambda source: source.distinct(key, remember=remember))

    def on_each(self, function: Callable[[B_co], Any]) -> "Flow[A_contra, B_co]":
        """Do what `Source.on_each` does."""
        return self._then(lambda source: source.on_each(function))

    def map_async(self, function: Callable[[B_co], Awaitable[C]], parallelism: int) -> "Flow[A_contra, C]":
        """Do what `Source.map_async` does."""
        return self._then(lambda source: source.map_async(function, parallelism))

    def map_async_unordered(self, function: Callable[[B_co], Awaitable[C]], parallelism: int) -> "Flow[A_contra, C]":
        """Do what `Source.map_async_unordered` does."""
        return self._then(lambda source: source.map_async_unordered(function, parallelism))

    def take(self, n: int) -> "Flow[A_contra, B_co]":
        """Do what `Source.take` does."""
        return self._then(lambda source: source.take(n))

    def take_while(self, predicate: Callable[[B_co], Any], *, inclusive: bool = False) -> "Flow[A_contra, B_co]":
        """Do what `Source.take_while` does."""
        return self._then(lambda source: source.take_while(predicate, inclusive=inclusive))

    def drop(self, n: int) -> "Flow[A_contra, B_co]":
        """Do what `Source.drop` does."""
        return self._then(lambda source: source.drop(n))

    def drop_while(self, predicate: Callable[[B_co], Any]) -> "Flow[A_contra, B_co]":
        """Do what `Source.drop_while` does."""
        return self._then(lambda source: source.drop_while(predicate))

    def batch(self, n: int) -> "Flow[A_contra, list[B_co]]":
        """Do what `Source.batch` does."""
        return self._then(lambda source: source.batch(n))

    def batch_within(self, n: int, seconds: float, *, clock: Clock = LOOP_CLOCK) -> "Flow[A_contra, list[B_co]]":
        """Do what `Source.batch_within` does."""
        return self._then(lambda source: source.batch_within(n, seconds, clock=clock))

    def concat(self, *others: Source[C]) -> "Flow[A_contra, B_co | C]":
        """Do what `Source.concat` does."""
        return self._then(lambda source: source.concat(*others))

    def merge(self, *others: Source[C]) -> "Flow[A_contra, B_co | C]":
        """Do what `Source.merge` does."""
        return self._then(lambda source: source.merge(*others))

    @overload
    def zip(self, first: Source[C], /) -> "Flow[A_contra, tuple[B_co, C]]": ...
    @overload
    def zip(self, first: Source[C], second: Source[D], /) -> "Flow[A_contra, tuple[B_co, C, D]]": ...
    @overload
    def zip(
        self, first: Source[C], second: Source[D], third: Source[E], /
    ) -> "Flow[A_contra, tuple[B_co, C, D, E]]": ...
    @overload
    def zip(self, *others: Source[Any]) -> "Flow[A_contra, tuple[Any, ...]]": ...
    def zip(self, *others: Source[Any]) -> "Flow[A_contra, Any]":
        """Do what `Source.zip` does."""
        return self._then(lambda source: source.zip(*others))

    def broadcast(self, *flows: Pipe[B_co, C], buffer: int = CHUNK) -> "Flow[A_contra, C]":
        """Do what `Source.broadcast` does."""
        return self._then(lambda source: source.broadcast(*flows, buffer=buffer))

    def group_by(
        self, key: Callable[[B_co], K], *, max_groups: int = 1024, buffer: int = CHUNK
    ) -> "Flow[A_contra, Group[K, B_co]]":
        """Do what `Source.group_by` does."""
        return self._then(lambda source: source.group_by(key, max_groups=max_groups, buffer=buffer))

    def buffer(self, n: int, overflow: Overflow = "backpressure") -> "Flow[A_contra, B_co]":
        """Do what `Source.buffer` does."""
        return self._then(lambda source: source.buffer(n, overflow))

    def throttle(self, n: int, seconds: float = 1.0, *, clock: Clock = LOOP_CLOCK) -> "Flow[A_contra, B_co]":
        """Do what `Source.throttle` does."""
        return self._then(lambda source: source.throttle(n, seconds, clock=clock))

    def debounce(self, seconds: float, *, clock: Clock = LOOP_CLOCK) -> "Flow[A_contra, B_co]":
        """Do what `Source.debounce` does."""
        return self._then(lambda source: source.debounce(seconds, clock=clock))

    def timeout(self, seconds: float, *, clock: Clock = LOOP_CLOCK) -> "Flow[A_contra, B_co]":
        """Do what `Source.timeout` does."""
        return self._then(lambda source: source.timeout(seconds, clock=clock))

    def recover(
        self,
        function: Callable[[Exception], Streamable[C]],
        errors: type[Exception] | tuple[type[Exception], ...] = Exception,
    ) -> "Flow[A_contra, B_co | C]":
        """Do what `Source.recover` does."""
        return self._then(lambda source: source.recover(function, errors))

    def retry(
        self,
        attempts: int = 3,
        *,
        backoff: Backoff = Backoff(),  # noqa: B008 - immutable
        errors: type[Exception] | tuple[type[Exception], ...] = Exception,
        clock: Clock = LOOP_CLOCK,
        random: Callable[[], float] = random,
    ) -> "Flow[A_contra, B_co]":
        """Do what `Source.retry` does: opens the source of this flow again, too."""
        return self._then(
            lambda source: source.retry(attempts, backoff=backoff, errors=errors, clock=clock, random=random)
        )
