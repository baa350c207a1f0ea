"""Correlation and causation: metadata that flows from the event that caused something to the events it causes.

A context variable carries it, so it follows `await` and tasks by itself, and every `persist` within the block stores it
in the metadata of its events.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from calliope.recorded_event import RecordedEvent

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_metadata: ContextVar[Mapping[str, Any]] = ContextVar("calliope_metadata", default=_NOTHING)


def current_metadata() -> Mapping[str, Any]:
    """Return the metadata that events persisted here get."""
    return _metadata.get()


@contextmanager
def with_metadata(**values: Any) -> Iterator[None]:
    """Add metadata to every event that is persisted within the block, such as `correlation_id="request-17"`."""
    token = _metadata.set(MappingProxyType({**_metadata.get(), **values}))
    try:
        yield
    finally:
        _metadata.reset(token)


@contextmanager
def caused_by(cause: RecordedEvent[Any]) -> Iterator[None]:
    """Mark every event that is persisted within the block as caused by a recorded one.

    Its `causation_id` becomes the id of the cause, its `correlation_id` the cause's own, or else the cause's id.
    """
    correlation_id = cause.metadata.get("correlation_id", cause.id)
    with with_metadata(correlation_id=correlation_id, causation_id=cause.id):
        yield
