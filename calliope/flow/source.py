"""`Source`: a re-runnable recipe for a stream of elements."""

from collections.abc import AsyncIterable, Awaitable, Callable, Hashable, Iterable
from itertools import repeat
from random import random
from typing import Any, Generic, NamedTuple, Never, TypeVar, overload

from calliope.flow import (
    broadcasting,
    buffering,
    effects,
    grouping,
    merging,
    parallel,
    retrying,
    sequences,
    timing,
    transforms,
    windows,
)
from calliope.flow.arguments import check_async_iterable, check_callable, check_count, check_iterable, check_seconds
from calliope.flow.buffering import Overflow
from calliope.flow.clock import LOOP_CLOCK, Clock, check_clock
from calliope.flow.inlet import CHUNK, Inlet, Stage
from calliope.flow.iteration import SourceIterator
from calliope.flow.origins import AsyncIterableInlet, FailedInlet, ForeignInlet, IterableInlet, UnfoldInlet
from calliope.flow.pipeline import Pipeline, Run
from calliope.flow.queues import Queue, QueueInlet
from calliope.flow.retrying import Backoff
from calliope.flow.sink import Sink
from calliope.flow.stages import Pipe, Recipe, Streamable

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")
W = TypeVar("W")
S = TypeVar("S")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)
T_co = TypeVar("T_co", covariant=True)


class Source(Recipe[T_co]):
    """A recipe for a stream: where its elements come from and which stages they go through.

    A source is immutable, and nothing happens until it is run: `run_with(sink)`, one of the other `run_…`
    methods, `running(sink)` or `async for`. Every run opens the recipe anew. Whatever ends a run (the last
    element, an error, a cancelled caller, a `take`, a `break`), everything upstream is closed before the run
    returns; after a `break` out of `async for`, which cannot wait, as soon as the event loop gets to it.

    An error of a function given to a stage surfaces from the run as itself, after the elements before it.
    Functions are called with one element at a time, in order, and only for elements that are asked for.

    Stages that work concurrently (`buffer`, `merge`, `map_async`, `batch_within` and the like) do so in tasks
    that belong to the run and end with it.
    """

    def __init__(self, open: Callable[[], Inlet[T_co]]) -> None:  # noqa: A002 - the verb of the domain
        self._open = open

    def open(self) -> Inlet[T_co]:
        """Open one run of the recipe; who opens it closes it."""
        return self._open()

    def _then(self, stage: Stage) -> "Source[Any]":
        return Source(stage(self.open))

    # Where elements come from.

    @staticmethod
    def of(*elements: T) -> "Source[T]":
        """Hand out its arguments."""
        return Source.from_iterable(elements)

    @staticmethod
    def single(element: T) -> "Source[T]":
        """Hand out one element."""
        return Source.from_iterable((element,))

    @staticmethod
    def empty() -> "Source[Never]":
        """Hand out nothing."""
        return Source.from_iterable(())

    @staticmethod
    def failed(error: BaseException) -> "Source[Never]":
        """Fail with an error."""
        if not isinstance(error, BaseException):
            raise TypeError(f"error must be an exception, not {error!r}")
        return Source(lambda: FailedInlet(error))

    @staticmethod
    def repeat(element: T, times: int | None = None) -> "Source[T]":
        """Hand out one element again and again, for ever or a number of times."""
        if times is None:
            return Source(lambda: IterableInlet(repeat(element)))
        check_count("times", times, minimum=0)
        return Source(lambda: IterableInlet(repeat(element, times)))

    @staticmethod
    def from_iterable(elements: Iterable[T]) -> "Source[T]":
        """Hand out the elements of an iterable; each run iterates over it from the beginning.

        An iterator or generator can be run once only, and a generator is closed with the run.
        """
        check_iterable("elements", elements)
        return Source(lambda: IterableInlet(elements))

    @staticmethod
    def from_async(elements: AsyncIterable[T]) -> "Source[T]":
        """Hand out the elements of an async iterable; an async generator can be run once, and is closed."""
        check_async_iterable("elements", elements)
        return Source(lambda: AsyncIterableInlet(elements))

    @staticmethod
    def from_inlet(open: Callable[[], Inlet[T]]) -> "Source[T]":  # noqa: A002 - the verb of the domain
        """Pull an inlet, which every run opens anew: the way in for whatever hands out whole pages.

        An inlet of this kind may return more than it was asked for: the rest of a page waits for the next pull.
        """
        check_callable("open", open)
        return Source(lambda: ForeignInlet(open))

    @staticmethod
    def unfold(
        state: S, function: Callable[[S], tuple[T, S] | None] | Callable[[S], Awaitable[tuple[T, S] | None]]
    ) -> "Source[T]":
        """Grow a stream from a state: the function returns the next element and state, or None at the end.

        The function may be asynchronous; pages of a web service are unfolded from their cursor.
        """
        check_callable("function", function)
        return Source(lambda: UnfoldInlet(state, function))

    @staticmethod
    def tick(seconds: float, *, clock: Clock = LOOP_CLOCK) -> "Source[int]":
        """Hand out 1, 2, 3 … at the end of each interval, for ever and without drift.

        The number counts intervals: those in which nobody asked for a tick are skipped.
        """
        check_seconds("seconds", seconds)
        check_clock(clock)
        return Source(lambda: timing.TickInlet(seconds, clock))

    @staticmethod
    def queue(capacity: int = CHUNK) -> "QueueSource[Any]":
        """Hand out what other code puts in: `await queue.put(element)`, and `queue.close()` in the end."""
        return QueueSource(capacity)

    # What happens to each element.

    def map(self, function: Callable[[T_co], U]) -> "Source[U]":
        """Replace every element by what the function returns for it."""
        return self._then(transforms.mapping(function))

    def filter(self, predicate: Callable[[T_co], Any]) -> "Source[T_co]":
        """Let those elements pass for which the predicate is true."""
        return self._then(transforms.filtering(predicate))

    def flat_map(self, function: Callable[[T_co], Streamable[U]]) -> "Source[U]":
        """Replace every element by all elements of a stream: a source, an iterable or an async iterable.

        The streams follow one another; each is closed before the next is opened.
        """
        return self._then(sequences.flat_mapping(function))

    def scan(self, initial: S, function: Callable[[S, T_co], S]) -> "Source[S]":
        """Hand out the initial state, at once, and the state after each element: a fold that shows its work."""
        return self._then(sequences.scanning(initial, function))

    def distinct(self, key: Callable[[T_co], Hashable] | None = None, *, remember: int = 65_536) -> "Source[T_co]":
        """Drop elements that are equal, or have an equal key, to one that was there before.

        Args:
            key: what to compare; the element itself if None.
            remember: how many different keys are remembered; the one not seen for longest is forgotten first.
                With 1, only repetitions in a row are dropped.
        """
        return self._then(transforms.distinguishing(key, remember))

    def on_each(self, function: Callable[[T_co], Any]) -> "Source[T_co]":
        """Call a function with every element before the element goes on; await it if it is `async def`."""
        return self._then(effects.on_each(function))

    def map_async(self, function: Callable[[T_co], Awaitable[U]], parallelism: int) -> "Source[U]":
        """Replace every element by the awaited result; results keep the order of their elements.

        At most `parallelism` elements are under way: pulled, and their results not handed out yet. When a call
        fails, the results before it go first, no call is started any more and those under way are cancelled.
        """
        return self._then(parallel.mapping_async(function, parallelism, ordered=True))

    def map_async_unordered(self, function: Callable[[T_co], Awaitable[U]], parallelism: int) -> "Source[U]":
        """Do what `map_async` does, but hands out results in the order in which they come."""
        return self._then(parallel.mapping_async(function, parallelism, ordered=False))

    # How many elements.

    def take(self, n: int) -> "Source[T_co]":
        """End after `n` elements, and ask upstream for no more than these."""
        return self._then(windows.taking(n))

    def take_while(self, predicate: Callable[[T_co], Any], *, inclusive: bool = False) -> "Source[T_co]":
        """End before the first element for which the predicate is false, or with it if `inclusive`."""
        return self._then(transforms.taking_while(predicate, inclusive=inclusive))

    def drop(self, n: int) -> "Source[T_co]":
        """Leave out the first `n` elements."""
        return self._then(windows.dropping(n))

    def drop_while(self, predicate: Callable[[T_co], Any]) -> "Source[T_co]":
        """Leave out all elements before the first for which the predicate is false."""
        return self._then(transforms.dropping_while(predicate))

    def batch(self, n: int) -> "Source[list[T_co]]":
        """Put every `n` elements into a list; the last list may be shorter."""
        return self._then(windows.batching(n))

    def batch_within(self, n: int, seconds: float, *, clock: Clock = LOOP_CLOCK) -> "Source[list[T_co]]":
        """Put elements into lists that are handed out when they have `n`, or are `seconds` old."""
        return self._then(timing.batching_within(n, seconds, clock))

    # Several streams.

    def concat(self, *others: "Source[U]") -> "Source[T_co | U]":
        """Go on with the elements of other sources; each is opened when the one before it has ended."""
        return self._then(sequences.concatenating(others))

    def merge(self, *others: "Source[U]") -> "Source[T_co | U]":
        """Hand out the elements of all sources as they come, and end with the last; each keeps its order.

        The first error ends the stream. Each source runs ahead of the consumer by at most one chunk.
        """
        return self._then(merging.merging(others))

    @overload
    def zip(self, first: "Source[U]", /) -> "Source[tuple[T_co, U]]": ...
    @overload
    def zip(self, first: "Source[U]", second: "Source[V]", /) -> "Source[tuple[T_co, U, V]]": ...
    @overload
    def zip(self, first: "Source[U]", second: "Source[V]", third: "Source[W]", /) -> "Source[tuple[T_co, U, V, W]]": ...
    @overload
    def zip(self, *others: "Source[Any]") -> "Source[tuple[Any, ...]]": ...
    def zip(self, *others: "Source[Any]") -> "Source[Any]":
        """Hand out tuples of one element of each source, which are pulled at the same time; the shortest ends it."""
        return self._then(merging.zipping(others))

    def broadcast(self, *flows: Pipe[T_co, U], buffer: int = CHUNK) -> "Source[U]":
        """Send every element through each of several flows and hand out what comes out of all of them.

        At most `buffer` elements wait before each flow; when one is full, the others wait for it too. A flow that
        ends early (with a `take`, say) is no longer waited for.
        """
        return self._then(broadcasting.broadcasting(flows, buffer))

    def group_by(
        self, key: Callable[[T_co], K], *, max_groups: int = 1024, buffer: int = CHUNK
    ) -> "Source[Group[K, T_co]]":
        """Hand out one `Group(key, elements)` for each key that turns up; `elements` is a source to be run once.

        The groups flow side by side, so they must be run side by side:
        `source.group_by(key).map_async_unordered(handle_group, parallelism=1024)`. At most `buffer` elements
        of a group wait for it to be run, and everything waits for a group that is full. A group that was left
        early drops the rest of its elements.

        Raises:
            TooManyGroupsError: more than `max_groups` keys turned up.
        """
        return self._then(grouping.grouping(key, max_groups, buffer)).map(Group.of)

    # When elements come, and when they fail to.

    def buffer(self, n: int, overflow: Overflow = "backpressure") -> "Source[T_co]":
        """Let upstream run ahead of the consumer by up to `n` elements; `overflow` says what a full buffer does.

        Args:
            n: how many elements are held at most.
            overflow: `"backpressure"`: upstream waits. `"drop_oldest"`, `"drop_newest"`, `"drop_buffer"`: elements
                are lost. `"fail"`: the stream ends with `BufferOverflowError`.
        """
        return self._then(buffering.buffering(n, overflow))

    def throttle(self, n: int, seconds: float = 1.0, *, clock: Clock = LOOP_CLOCK) -> "Source[T_co]":
        """Let at most `n` elements pass in any `seconds`, by making upstream wait; nothing is dropped."""
        return self._then(timing.throttling(n, seconds, clock))

    def debounce(self, seconds: float, *, clock: Clock = LOOP_CLOCK) -> "Source[T_co]":
        """Let an element pass once no other has followed it for `seconds`; those that were followed are dropped."""
        return self._then(timing.debouncing(seconds, clock))

    def timeout(self, seconds: float, *, clock: Clock = LOOP_CLOCK) -> "Source[T_co]":
        """Fail with `StreamTimeoutError` when an element is asked for and none comes within `seconds`."""
        return self._then(timing.timing_out(seconds, clock))

    def recover(
        self,
        function: Callable[[Exception], Streamable[U]],
        errors: type[Exception] | tuple[type[Exception], ...] = Exception,
    ) -> "Source[T_co | U]":
        """Go on with another stream after an error, which the function is given; it may also raise it again."""
        return self._then(sequences.recovering(function, errors))

    def retry(
        self,
        attempts: int = 3,
        *,
        backoff: Backoff = Backoff(),  # noqa: B008 - immutable
        errors: type[Exception] | tuple[type[Exception], ...] = Exception,
        clock: Clock = LOOP_CLOCK,
        random: Callable[[], float] = random,
    ) -> "Source[T_co]":
        """Open everything upstream again when it fails; elements that came before the failure come again.

        Args:
            attempts: how often upstream is opened at most; the error of the last attempt surfaces.
            backoff: how long to pause before each further attempt.
            errors: which errors are worth another attempt.
            clock: what the pauses are measured by.
            random: returns numbers from 0 to 1, for the jitter.
        """
        return self._then(retrying.retrying(attempts, backoff, errors, clock, random))

    # Composing and running.

    def via(self, flow: Pipe[T_co, U]) -> "Source[U]":
        """Put the stages of a flow behind this source."""
        if not isinstance(flow, Pipe):
            raise TypeError(f"via takes a Flow, not {flow!r}")
        return Source(flow.attach(self.open))

    def to(self, sink: Sink[T_co, R]) -> Pipeline[R]:
        """Put a sink behind this source; `run()` runs it."""
        return Pipeline(self.open, sink)

    async def run_with(self, sink: Sink[T_co, R]) -> R:
        """Run into a sink and return its result."""
        return await self.to(sink).run()

    def running(self, sink: Sink[T_co, R]) -> Run[R]:
        """Run into a sink in the background of an `async with` block; leaving the block disposes it."""
        return self.to(sink).running()

    async def run_fold(self, initial: S, function: Callable[[S, T_co], S]) -> S:
        """Return `function(function(initial, first), second)` and so on; `initial` of an empty stream."""
        return await self.run_with(Sink.fold(initial, function))

    async def run_for_each(self, function: Callable[[T_co], Any]) -> None:
        """Call a function with every element; if it returns an awaitable, await it before the next call."""
        await self.run_with(Sink.for_each(function))

    async def run_collect(self) -> list[T_co]:
        """Return all elements as one list."""
        collect: Sink[T_co, list[T_co]] = Sink.collect()
        return await self.run_with(collect)

    @overload
    async def run_first(self) -> T_co: ...
    @overload
    async def run_first(self, default: U, /) -> T_co | U: ...
    async def run_first(self, *default: Any) -> Any:
        """Return the first element and compute no second.

        Raises:
            EmptyStreamError: there is none, and no default.
        """
        return await self.run_with(Sink.first(*default))

    async def run_drain(self) -> None:
        """Run for the effects only."""
        await self.run_with(Sink.drain())

    def __aiter__(self) -> SourceIterator[T_co]:
        return SourceIterator(self.open)


class QueueSource(Source[T], Queue[T]):
    """A source that hands out what other code puts in.

    Several runs share it, each element goes to one of them, and what a run has not pulled is there for the next.
    """

    def __init__(self, capacity: int) -> None:
        Queue.__init__(self, capacity)
        Source.__init__(self, lambda: QueueInlet(self))


class Group(NamedTuple, Generic[K, T]):
    """One of the streams that `group_by` takes a stream apart into."""

    key: K
    elements: Source[T]

    @staticmethod
    def of(inlet: "grouping.GroupInlet[K, T]") -> "Group[K, T]":
        """Show a group's inlet as a source."""
        return Group(inlet.key, Source(inlet.open))
