"""What an event class is called in the journal: its stored type name, schema version and former names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from calliope.limits import TYPE_NAME_BYTES_MAX, checked_number, checked_text

C = TypeVar("C", bound=type)

type_attribute = "__calliope_event__"

_decorated: dict[str, WeakValueDictionary[tuple[str, str], type]] = {}

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes a payload of one schema version, as plain data, to the next version."""


@dataclass(frozen=True)
class EventDefinition:
    """How one event class is stored.

    Attributes:
        name: the stored type name.
        version: the schema version that new events are stored with; 1, 2, 3 …
        aliases: names under which older code stored the same event.
        upcasters: for a schema version, the function that takes its payloads to the next.
    """

    name: str
    version: int = 1
    aliases: tuple[str, ...] = ()
    upcasters: dict[int, Upcast] = field(default_factory=dict)


def event(name: str | None = None, *, version: int = 1, aliases: str | Sequence[str] = ()) -> Callable[[C], C]:
    """Name the stored type of an event class, so that the class may be renamed or moved.

    Without this decorator a class is stored under its own name, at version 1. Write it above `@dataclass` and its
    like, which may replace the class.

    Args:
        name: the stored type name; the class name if not given.
        version: the current schema version. Raise it when the fields change so that old payloads no longer fit, and
            say with `upcast` how they are taken further.
        aliases: a name, or several, under which the same event was stored before.

    Raises:
        TypeError: it decorates something that is not a class, or a name is not a str.
        ValueError: a name or the version is out of its limits.
    """
    if name is not None:
        checked_text("event name", name, TYPE_NAME_BYTES_MAX)
    checked_number("event version", version, minimum=1)
    former_names = (aliases,) if isinstance(aliases, str) else tuple(aliases)
    for alias in former_names:
        checked_text("event alias", alias, TYPE_NAME_BYTES_MAX)

    def define(event_class: C) -> C:
        if not isinstance(event_class, type):
            raise TypeError(f"@event decorates classes, not {event_class!r}")
        definition = EventDefinition(name or event_class.__name__, version, former_names)
        setattr(event_class, type_attribute, definition)
        for stored_name in (definition.name, *definition.aliases):
            _decorated.setdefault(stored_name, WeakValueDictionary())[_place_of(event_class)] = event_class
        return event_class

    return define


def decorated_classes(stored_name: str) -> set[type]:
    """Return the classes that were decorated with `@event` to be stored under a name."""
    return set(_decorated.get(stored_name, {}).values())


def redefines(event_class: type, earlier: type) -> bool:
    """Tell whether a class is the same as one found earlier, defined again: then the later definition counts.

    Decorators that add slots (`dataclass(slots=True)`, `attrs.define`) make a second class, and the first stays among
    the subclasses of its base until garbage is collected. A notebook's cell that is run again does the same.
    """
    return event_class is earlier or _place_of(event_class) == _place_of(earlier)


def _place_of(event_class: type) -> tuple[str, str]:
    return event_class.__module__, event_class.__qualname__


def definition_of(event_class: type) -> EventDefinition:
    """Return how a class is stored; a class that nobody decorated is stored under its own name, at version 1."""
    definition = event_class.__dict__.get(type_attribute)
    if isinstance(definition, EventDefinition):
        return definition
    return EventDefinition(checked_text("event class name", event_class.__name__, TYPE_NAME_BYTES_MAX))
