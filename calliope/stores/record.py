"""What a store keeps of an event: bytes with a place, that know nothing of classes."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec


class StoredType(NamedTuple):
    """A stored event type.

    Attributes:
        name: the stored type name.
        schema_version: the version of the payload's shape; 1, 2, 3 …
    """

    name: str
    schema_version: int


class Attributes(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an event may carry besides its payload.

    Attributes:
        event_id: the id that the caller gave, or None: the journal then names the event by its position.
        tags: labels for filtering, sorted, each once.
        metadata: context as plain data, such as correlation and causation ids.
    """

    event_id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}


NO_ATTRIBUTES = Attributes()


def minted_id(journal_id: str, position: int) -> str:
    """Return the id of an event that nobody named: where it was written first."""
    return f"{journal_id}-{position}"


def position_of_minted_id(event_id: str, journal_id: str) -> int | None:
    """Return the position in an id that this journal minted, or None if it is another's or a caller's."""
    _, _, digits = event_id.rpartition("-")
    position = int(digits) if digits.isdecimal() and len(digits) < 20 else 0
    return position if position and event_id == minted_id(journal_id, position) else None


encode_attributes = msgspec.msgpack.Encoder().encode
decode_attributes = msgspec.msgpack.Decoder(Attributes).decode


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that has no place yet."""

    type: StoredType
    payload: bytes
    attributes: Attributes = NO_ATTRIBUTES


class StoredRecord(msgspec.Struct, frozen=True, gc=False):
    """An event in its place.

    Attributes:
        position: its place in the journal; grows, and may have gaps.
        stream_id: its stream.
        sequence_number: its place in the stream: 1, 2, 3 …
        type: the stored type name and schema version.
        timestamp: when it was persisted, in microseconds since 1970 UTC.
        payload: the event, encoded.
        attributes: event id, tags and metadata.
    """

    position: int
    stream_id: str
    sequence_number: int
    type: StoredType
    timestamp: int
    payload: bytes
    attributes: Attributes = NO_ATTRIBUTES


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records a reader wants: those that fulfil every condition that is set.

    Attributes:
        stream_id: of this stream only.
        prefix: of streams whose id begins so.
        types: of one of these stored type names; empty: of any.
        tags: with all of these tags.
    """

    stream_id: str | None = None
    prefix: str = ""
    types: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()

    def matches(self, record: StoredRecord) -> bool:
        """Tell whether a record fulfils every condition."""
        return (
            (self.stream_id is None or record.stream_id == self.stream_id)
            and record.stream_id.startswith(self.prefix)
            and (not self.types or record.type.name in self.types)
            and self.tags.issubset(record.attributes.tags)
        )

    def among(self, records: Collection[StoredRecord]) -> list[StoredRecord]:
        """Return the records that match, in their order."""
        return [record for record in records if self.matches(record)]
