"""Handlers of a projection: which function takes which event, and what that says about what must be read."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Generic, TypeVar, Union

from calliope.codec import stored_names
from calliope.flow.arguments import check_callable
from calliope.recorded_event import RecordedEvent

View = TypeVar("View")

Handler = Callable[[RecordedEvent[Any], View], Awaitable[None] | None]
"""Takes an event, with its place, into a view."""


class Handlers(Generic[View]):
    """Functions by the class of the event they take; a class stands for its subclasses that have none of their own."""

    def __init__(self) -> None:
        self._by_class: dict[type, Handler[View]] = {}
        self._found: dict[type, Handler[View]] = {}

    def add(self, event_class: Any, handler: Handler[View]) -> None:
        """Let a function take the events of a class.

        Raises:
            TypeError: the class cannot be that of an event, or the handler cannot be called.
            ValueError: the class has a handler.
        """
        check_callable("handler", handler)
        stored_names(event_class)  # raises what is wrong with it
        if not isinstance(event_class, type):
            raise TypeError(f"a handler takes the events of one class, not of {event_class!r}")
        if event_class in self._by_class:
            raise ValueError(f"{event_class.__name__} has a handler already: {self._by_class[event_class]!r}")
        self._by_class[event_class] = handler
        self._found.clear()

    @property
    def classes(self) -> tuple[type, ...]:
        """The classes that have handlers."""
        return tuple(self._by_class)

    @property
    def event_type(self) -> Any:
        """The union of the classes."""
        return Union[self.classes]  # noqa: UP007 - a union of what is known at run time only

    def call(self, record: RecordedEvent[Any], view: View) -> Awaitable[None] | None:
        """Call the handler of an event; what it returns, if anything, is to be awaited."""
        event_class = type(record.data)
        handler = self._found.get(event_class)
        if handler is None:
            handler = self._found[event_class] = self._nearest(event_class)
        result = handler(record, view)
        return result if result is not None and isawaitable(result) else None

    def _nearest(self, event_class: type) -> Handler[View]:
        return next(self._by_class[ancestor] for ancestor in event_class.__mro__ if ancestor in self._by_class)
