"""`Sink`: a consumer with a result."""

from collections.abc import Awaitable, Callable, Sequence
from functools import reduce
from inspect import isawaitable
from typing import Any, Generic, TypeVar

from calliope.flow.arguments import check_callable
from calliope.flow.errors import EmptyStreamError, RunDisposedError
from calliope.flow.inlet import EVERYTHING, Inlet
from calliope.flow.queues import Queue

T = TypeVar("T")
S = TypeVar("S")
T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Sink(Generic[T_contra, R_co]):
    """A re-usable description of what to do with the elements of a stream, and what comes out of it.

    Args:
        consume: pulls an inlet for as long as it wants and returns the result; closing is not its business.
    """

    def __init__(self, consume: Callable[[Inlet[T_contra]], Awaitable[R_co]]) -> None:
        check_callable("consume", consume)
        self.consume = consume

    @staticmethod
    def fold(initial: S, function: "Callable[[S, T], S]") -> "Sink[T, S]":
        """Combine all elements: `function(function(initial, first), second)` and so on."""
        check_callable("function", function)

        async def consume(inlet: Inlet[T]) -> S:
            state = initial
            while chunk := await inlet.pull(EVERYTHING):
                state = reduce(function, chunk, state)
            return state

        return Sink(consume)

    @staticmethod
    def for_each(function: "Callable[[T], Any]") -> "Sink[T, None]":
        """Call a function with every element; if it returns an awaitable, await it before the next call."""
        check_callable("function", function)

        async def consume(inlet: Inlet[T]) -> None:
            while chunk := await inlet.pull(EVERYTHING):
                for element in chunk:
                    result = function(element)
                    if result is not None and isawaitable(result):
                        await result

        return Sink(consume)

    @staticmethod
    def collect() -> "Sink[T, list[T]]":
        """Give all elements as one list."""

        async def consume(inlet: Inlet[T]) -> list[T]:
            elements: list[T] = []
            while chunk := await inlet.pull(EVERYTHING):
                elements += chunk
            return elements

        return Sink(consume)

    @staticmethod
    def first(*default: "T") -> "Sink[T, T]":
        """Give the first element and compute no second; `EmptyStreamError` if there is none and no default."""

        async def consume(inlet: Inlet[T]) -> T:
            for element in (*await inlet.pull(1), *default):
                return element
            raise EmptyStreamError("first")

        return Sink(consume)

    @staticmethod
    def last(*default: "T") -> "Sink[T, T]":
        """Give the last element; `EmptyStreamError` if there is none and no default."""

        async def consume(inlet: Inlet[T]) -> T:
            last: Sequence[T] = default
            while chunk := await inlet.pull(EVERYTHING):
                last = chunk
            for element in reversed(last):
                return element
            raise EmptyStreamError("last")

        return Sink(consume)

    @staticmethod
    def queue(queue: "Queue[T]") -> "Sink[T, None]":
        """Put every element into a queue, waiting for room, and close it in the end.

        If the stream fails, so does whoever reads the queue; if the run is cancelled, with `RunDisposedError`.
        """
        if not isinstance(queue, Queue):
            raise TypeError(f"queue must be a Queue or what Source.queue() gives, not {queue!r}")

        async def consume(inlet: Inlet[T]) -> None:
            try:
                while chunk := await inlet.pull(await queue.wait_for_room()):
                    for element in chunk:
                        await queue.put(element)
            except Exception as error:
                queue.fail(error)
                raise
            except BaseException:
                queue.fail(RunDisposedError())
                raise
            queue.close()

        return Sink(consume)

    @staticmethod
    def drain() -> "Sink[Any, None]":
        """Run the stream for its effects and drop its elements."""

        async def consume(inlet: Inlet[Any]) -> None:
            while await inlet.pull(EVERYTHING):
                pass

        return Sink(consume)
