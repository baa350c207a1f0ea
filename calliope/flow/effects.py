"""Asynchronous side effects, one element at a time."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from calliope.flow.arguments import check_callable
from calliope.flow.inlet import Inlet, Stage
from calliope.flow.stages import attaching
from calliope.flow.transforms import is_asynchronous, observing

T = TypeVar("T")


class OnEachInlet(Generic[T]):
    """Awaits a function for every element before it lets the element pass."""

    def __init__(self, upstream: Inlet[T], function: Callable[[T], Awaitable[Any]]) -> None:
        self._upstream = upstream
        self._function = function
        self._pulled: Iterator[T] = iter(())

    async def pull(self, limit: int) -> Sequence[T]:
        """Return one element: the next may have to wait."""
        for element in self._pulled:
            await self._function(element)
            return (element,)
        self._pulled = iter(chunk := await self._upstream.pull(limit))
        return await self.pull(limit) if chunk else ()

    async def aclose(self) -> None:
        """Close what is upstream."""
        self._pulled = iter(())
        await self._upstream.aclose()


def on_each(function: Callable[[Any], Any]) -> Stage:
    """Make the stage of `Source.on_each`."""
    check_callable("function", function)
    if not is_asynchronous(function):
        return observing(function)
    return attaching(lambda upstream: OnEachInlet(upstream, function))
