"""Requests for stores under test, made of plain bytes: a store knows no classes."""

from collections.abc import Mapping
from typing import Any

from calliope.stores.protocol import AppendRequest, StreamKind
from calliope.stores.record import Attributes, NewEvent, StoredType
from calliope.stores.replica_store import Writing

PAYLOAD = b"\xa7payload"
"""The payload of a request that gives none: one msgpack value, as stores expect it."""

TIMESTAMP = 1_700_000_000_123_456
"""When the requests were persisted if they do not say: in November 2023, with microseconds that must not get lost."""


def append_of(
    stream_id: str,
    *payloads: bytes,
    type: str = "Happened",  # noqa: A002 - the field's name
    schema_version: int = 1,
    tags: tuple[str, ...] = (),
    metadata: Mapping[str, Any] | None = None,
    kind: StreamKind = "plain",
    timestamp: int = TIMESTAMP,
    expected_version: int | None = None,
    event_id: str | None = None,
) -> AppendRequest:
    """Return a request to append one event for each payload; the first bears the event id, as a journal does it."""
    labels = tuple(sorted(tags))
    stored_type = StoredType(type, schema_version)
    shared = Attributes(None, labels, dict(metadata or {}))
    events = [NewEvent(stored_type, payload, shared) for payload in payloads or (PAYLOAD,)]
    events[0] = NewEvent(stored_type, events[0].payload, Attributes(event_id, shared.tags, shared.metadata))
    return AppendRequest(stream_id, kind, events, timestamp, expected_version, event_id)


def writing_of(
    replica_id: str = "berlin",
    observed: Mapping[str, int] | None = None,
    *,
    token: bytes = b"the only one",
    has_written: bool = False,
) -> Writing:
    """Return who writes to a replicated stream, and what he has observed: nothing, if nothing is said."""
    written_as = frozenset({replica_id}) if has_written else frozenset()
    return Writing(replica_id, token, written_as, dict(observed or {}))
