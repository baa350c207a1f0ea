"""What an event says of itself, wherever it is stored: this is copied, and this is compared."""

from collections.abc import Callable

import msgspec

from calliope.stores.record import Attributes, StoredRecord, minted_id

_encode = msgspec.msgpack.Encoder().encode

_FIELDS = ("stream", "sequence number", "type", "schema version", "time", "id", "tags", "metadata", "payload")


def copied_attributes(record: StoredRecord, journal_id: str) -> Attributes:
    """Return what a copy of a plain event carries: the id, too, that its journal gave it if nobody else did."""
    attributes = record.attributes
    if attributes.event_id is not None:
        return attributes
    return Attributes(minted_id(journal_id, record.position), attributes.tags, attributes.metadata)


def content_of(journal_id: str) -> Callable[[StoredRecord], bytes]:
    """Return a function that encodes all that a record of a journal says but for its position.

    Two records say the same if and only if these bytes are the same. Their form is a msgpack array of stream id,
    sequence number, type, schema version, time, id, tags, metadata and payload; a checksum is taken of them.
    """

    def content(record: StoredRecord) -> bytes:
        attributes = record.attributes
        event_id = attributes.event_id
        if event_id is None:
            event_id = f"{journal_id}-{record.position}"
        return _encode(
            (
                record.stream_id,
                record.sequence_number,
                *record.type,
                record.timestamp,
                event_id,
                attributes.tags,
                attributes.metadata,
                record.payload,
            )
        )

    return content


def place_in_words(record: StoredRecord) -> str:
    """Return which event a record is, for people."""
    return f"event {record.sequence_number:,} of stream {record.stream_id!r}"


def difference(one: bytes, other: bytes) -> str:
    """Return in which fields two contents differ, for people."""
    fields = zip(_FIELDS, msgspec.msgpack.decode(one), msgspec.msgpack.decode(other), strict=True)
    return ", ".join([name for name, ours, theirs in fields if _encode(ours) != _encode(theirs)])
