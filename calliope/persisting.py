"""From what a caller hands to `persist` to a request that a store can keep: checked before anything is written."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

from calliope.codec import EventCodec
from calliope.context import current_metadata
from calliope.errors import shortened
from calliope.limits import (
    EVENT_ID_BYTES_MAX,
    METADATA_BYTES_MAX,
    REQUEST_BYTES_MAX,
    REQUEST_EVENTS_MAX,
    TAG_BYTES_MAX,
    TAGS_MAX,
    TIMESTAMP_MAX,
    checked_number,
    checked_text,
)
from calliope.payload import decode_plain, encode_plain
from calliope.stores.protocol import AppendRequest, StreamKind
from calliope.stores.record import NO_ATTRIBUTES, Attributes, NewEvent, encode_attributes

E = TypeVar("E")


def append_request(
    stream_id: str,
    kind: StreamKind,
    codec: EventCodec[E],
    event_or_events: E | Sequence[E],
    timestamp: int,
    *,
    expected_version: int | None = None,
    tags: str | Collection[str] = (),
    metadata: Mapping[str, Any] | None = None,
    event_id: str | UUID | None = None,
) -> AppendRequest:
    """Return the checked and encoded request; `EventStream.persist` says what the arguments are and what is raised."""
    if expected_version is not None:
        checked_number("expected_version", expected_version)
    checked_number("the clock's time", timestamp, maximum=TIMESTAMP_MAX)
    attributes = _attributes(tags, metadata)
    first_attributes = attributes
    if event_id is not None:
        event_id = checked_text(
            "event_id", str(event_id) if isinstance(event_id, UUID) else event_id, EVENT_ID_BYTES_MAX
        )
        first_attributes = Attributes(event_id, attributes.tags, attributes.metadata)
    if isinstance(event_or_events, (list, tuple)):
        events = _encoded(codec, event_or_events, first_attributes, attributes)
    else:
        events = [NewEvent(*codec.encode(event_or_events), first_attributes)]  # type: ignore[arg-type] # not a sequence
    return AppendRequest(stream_id, kind, events, timestamp, expected_version, event_id)


def checked_tags(tags: str | Collection[str]) -> tuple[str, ...]:
    """Return tags sorted, each once, or raise an error that names the illegal one."""
    if not tags and not isinstance(tags, str):
        return ()
    if not isinstance(tags, Iterable):
        raise TypeError(f"tags must be a str or a collection of them, not {shortened(tags)}")
    labels = {tags} if isinstance(tags, str) else set(tags)
    if len(labels) > TAGS_MAX:
        raise ValueError(f"at most {TAGS_MAX} tags are allowed, not {len(labels)}")
    return tuple(sorted([checked_text("tag", tag, TAG_BYTES_MAX) for tag in labels]))


def _attributes(tags: str | Collection[str], metadata: Mapping[str, Any] | None) -> Attributes:
    context = current_metadata()
    if not tags and metadata is None and not context and tags != "":
        return NO_ATTRIBUTES
    if not isinstance(metadata, Mapping | None):
        raise TypeError(f"metadata must be a mapping, not {shortened(metadata)}")
    return Attributes(None, checked_tags(tags), _checked_metadata({**context, **(metadata or {})}))


def _checked_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of metadata that nobody else can change, or raise an error that names what is illegal."""
    try:
        encoded = encode_plain(metadata)
        copy = decode_plain(encoded)
        plain = copy == metadata and all(type(key) is str for key in metadata)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"metadata {shortened(metadata)} cannot be stored: {error}") from error
    if not plain:
        raise ValueError(
            f"metadata must be plain data with text keys, not {shortened(metadata)}: it reads back as another"
        )
    if len(encoded) > METADATA_BYTES_MAX:
        raise ValueError(f"metadata must have at most {METADATA_BYTES_MAX} bytes, not {len(encoded)}")
    return cast(dict[str, Any], copy)


def _encoded(
    codec: EventCodec[E], events: Sequence[E], first_attributes: Attributes, attributes: Attributes
) -> list[NewEvent]:
    if not events:
        raise ValueError("there is nothing to persist: the list of events is empty")
    if len(events) > REQUEST_EVENTS_MAX:
        raise ValueError(f"at most {REQUEST_EVENTS_MAX} events fit one request, not {len(events)}")
    encoded = [NewEvent(*codec.encode(event), attributes) for event in events]
    byte_count = sum([len(event.payload) for event in encoded])
    if attributes is not NO_ATTRIBUTES:
        byte_count += len(encoded) * len(encode_attributes(attributes))
    if byte_count > REQUEST_BYTES_MAX:
        raise ValueError(f"at most {REQUEST_BYTES_MAX} bytes fit one request, not {byte_count}")
    encoded[0] = NewEvent(encoded[0].type, encoded[0].payload, first_attributes)
    return encoded
