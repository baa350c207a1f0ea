"""Upcasters: functions that take payloads of an old schema version to the next one, until they fit the class."""

from collections.abc import Callable
from typing import Any, TypeVar

from calliope.event import EventDefinition, Upcast, definition_of, type_attribute

U = TypeVar("U", bound=Upcast)


def upcast(event_class: type, *, from_version: int) -> Callable[[U], U]:
    """Register how payloads of one schema version become payloads of the next.

    The function takes and returns the payload as plain data (a dict of fields) and runs when an old event is read;
    the journal is never rewritten. Versions follow one another: for `@event(version=3)` one function from 1 and one
    from 2.

        @upcast(ItemAdded, from_version=1)
        def quantity_was_implicit(payload):
            return {**payload, "quantity": 1}

    Raises:
        ValueError: the class has no version after `from_version`, or an upcaster from it already.
    """
    definition = definition_of(event_class)
    if not isinstance(event_class.__dict__.get(type_attribute), EventDefinition):
        raise ValueError(f"{event_class.__name__} has no versions to upcast: decorate it with @event(version=2)")
    if not 1 <= from_version < definition.version:
        raise ValueError(
            f"from_version must be from 1 to {definition.version - 1} for {definition.name!r}, not {from_version!r}"
        )
    if from_version in definition.upcasters:
        raise ValueError(f"{definition.name!r} has an upcaster from version {from_version} already")

    def register(function: U) -> U:
        definition.upcasters[from_version] = function
        return function

    return register


def missing_upcaster(definition: EventDefinition, from_version: int) -> int | None:
    """Return the first version on the way to the current one from which no upcaster leads on, or None."""
    versions = range(from_version, definition.version)
    return next((version for version in versions if version not in definition.upcasters), None)


def upcasted(definition: EventDefinition, payload: Any, from_version: int) -> Any:
    """Take a payload from the version it was stored with to the current one; every upcaster must be there."""
    for version in range(from_version, definition.version):
        payload = definition.upcasters[version](payload)
    return payload
