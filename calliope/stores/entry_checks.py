"""Checking what another replica sent before anything of it is stored."""

from collections.abc import Sequence

import msgspec

from calliope.errors import MalformedEntryError
from calliope.limits import (
    EVENT_ID_BYTES_MAX,
    METADATA_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    POSITION_MAX,
    REQUEST_EVENTS_MAX,
    STREAM_ID_BYTES_MAX,
    TAG_BYTES_MAX,
    TAGS_MAX,
    TIMESTAMP_MAX,
    TYPE_NAME_BYTES_MAX,
    checked_number,
    checked_text,
)
from calliope.payload import encode_plain
from calliope.stores.run import are_single_values
from calliope.stores.versioned import LOG_ID_BYTES_MAX, Item, LogEntry, Versioned


def check_whole(entry: LogEntry) -> None:
    """Check that an entry says of itself what it is.

    Raises:
        MalformedEntryError: it does not match its checksum, or its log id or number is none.
    """
    try:
        checked_text("the log id", entry.log_id, LOG_ID_BYTES_MAX)
        checked_number("the number", entry.number, minimum=1)
    except (TypeError, ValueError) as error:
        raise MalformedEntryError(entry.log_id, entry.number, f"is malformed: {error}") from error
    if not entry.is_whole:
        raise MalformedEntryError(entry.log_id, entry.number, "does not match its checksum")


def checked_changes(entry: LogEntry) -> Sequence[Versioned]:
    """Return the changes of an entry of events, each as a replica could have written it.

    Raises:
        MalformedEntryError: it does not decode, or holds what is beyond the limits.
    """
    try:
        changes = entry.changes
        if not changes:
            raise ValueError("it holds nothing")
        for change in changes:
            _check(change)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise MalformedEntryError(entry.log_id, entry.number, f"is malformed: {error}") from error
    return changes


def _check(change: Versioned) -> None:
    checked_text("stream_id", change.stream_id, STREAM_ID_BYTES_MAX)
    checked_text("the writer", change.writer, LOG_ID_BYTES_MAX)
    checked_number("the number of its events", len(change.items), minimum=1, maximum=REQUEST_EVENTS_MAX)
    checked_number("the counter", change.counter, minimum=1, maximum=POSITION_MAX - REQUEST_EVENTS_MAX)
    checked_number("the time", change.timestamp, maximum=TIMESTAMP_MAX)
    for writer, counter in change.observed.items():
        checked_text("a writer", writer, LOG_ID_BYTES_MAX)
        checked_number("a counter", counter, minimum=1)
    if change.writer in change.observed:
        raise ValueError("it has observed itself")
    if change.event_id is not None:
        checked_text("event_id", change.event_id, EVENT_ID_BYTES_MAX)
    _check_context(change)
    for item in change.items:
        _check_item(item)
    if not are_single_values([item.payload for item in change.items]):
        raise ValueError("a payload is not one msgpack value")


def _check_context(change: Versioned) -> None:
    if len(change.tags) > TAGS_MAX or list(change.tags) != sorted(set(change.tags)):
        raise ValueError(f"its tags are not at most {TAGS_MAX}, sorted, each once")
    for tag in change.tags:
        checked_text("tag", tag, TAG_BYTES_MAX)
    if change.metadata and len(encode_plain(change.metadata)) > METADATA_BYTES_MAX:
        raise ValueError(f"its metadata has more than {METADATA_BYTES_MAX} bytes")


def _check_item(item: Item) -> None:
    checked_text("the type", item.type_name, TYPE_NAME_BYTES_MAX)
    checked_number("the schema version", item.schema_version, minimum=1)
    if len(item.payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a payload has more than {PAYLOAD_BYTES_MAX} bytes")
