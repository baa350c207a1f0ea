"""How stages and recipes are put together, and what a function may return where a stream is expected."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, Generic, TypeVar

from calliope.flow.inlet import Inlet, Open, Stage
from calliope.flow.origins import AsyncIterableInlet, IterableInlet

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


class Recipe(ABC, Generic[T_co]):
    """What can be opened: a `Source`."""

    @abstractmethod
    def open(self) -> Inlet[T_co]:
        """Open one run of the recipe; who opens it closes it."""


class Pipe(ABC, Generic[T_contra, T_co]):
    """What puts stages behind a recipe: a `Flow`."""

    @abstractmethod
    def attach(self, open_upstream: Callable[[], Inlet[T_contra]], /) -> Callable[[], Inlet[T_co]]:
        """Return the recipe with the stages behind it."""


Streamable = Recipe[T] | Iterable[T] | AsyncIterable[T]
"""What a function may return where a stream is expected: a source, an iterable or an async iterable."""


def taken(held: deque[T], limit: int) -> list[T]:
    """Take elements from the left of a deque, at most `limit`."""
    if limit >= len(held):
        chunk = list(held)
        held.clear()
        return chunk
    return [held.popleft() for _ in range(limit)]


def attaching(attach: Callable[[Inlet[Any]], Inlet[Any]]) -> Stage:
    """Make a stage of a function that wraps one opened inlet."""

    def stage(open_upstream: Open) -> Open:
        return lambda: attach(open_upstream())

    return stage


def inlet_of(elements: Any) -> Inlet[Any]:
    """Open a source, an iterable or an async iterable.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(elements, Recipe):
        return elements.open()
    if isinstance(elements, Iterable):
        return IterableInlet(elements)
    if isinstance(elements, AsyncIterable):
        return AsyncIterableInlet(elements)
    raise TypeError(f"expected a Source, an iterable or an async iterable, not {elements!r}")


def check_recipes(name: str, values: tuple[Any, ...]) -> None:
    """Raise `TypeError` unless all values are sources."""
    for value in values:
        if not isinstance(value, Recipe):
            raise TypeError(f"{name} takes sources, not {value!r}")
