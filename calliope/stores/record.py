"""What a store keeps of an event: bytes with a place, that know nothing of classes."""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import msgspec

StreamKind = Literal["plain", "replicated"]


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


class ReplicatedAttributes(Attributes, frozen=True, array_like=True, gc=False):
    """What an event of a replicated stream carries besides.

    Attributes:
        writer: who numbered it.
        version: what the writer had observed of the stream, this event included: one counter a writer.
    """

    writer: str = ""
    version: dict[str, int] = {}


NO_ATTRIBUTES = Attributes()


def minted_id(journal_id: str, position: int) -> str:
    """Return the id of an event that nobody named: where it was written first."""
    return f"{journal_id}-{position}"


def position_of_minted_id(event_id: str, journal_id: str) -> int | None:
    """Return the position in an id that this journal minted, or None if it is another's or a caller's."""
    _, _, digits = event_id.rpartition("-")
    position = int(digits) if digits.isdecimal() and len(digits) < 20 else 0
    return position if position and event_id == minted_id(journal_id, position) else None


def replicated_id(stream_id: str, writer: str, counter: int) -> str:
    """Return the id of an event of a replicated stream that nobody named: the same on every replica.

    The stream id and the writer may be long, so a digest (BLAKE2b, 16 bytes) of "stream id, NUL, writer" stands for
    them.
    """
    named = blake2b(f"{stream_id}\0{writer}".encode(), digest_size=16).hexdigest()
    return f"{named}-{counter}"


encode_attributes = msgspec.msgpack.Encoder().encode


def decode_attributes(data: bytes) -> Attributes:
    """Return the attributes: an array of five elements in replicated streams, of three in plain ones."""
    return _decode_replicated(data) if data[:1] == _ARRAY_OF_FIVE else _decode_plain(data)


_ARRAY_OF_FIVE = b"\x95"
_decode_plain = msgspec.msgpack.Decoder(Attributes).decode
_decode_replicated = msgspec.msgpack.Decoder(ReplicatedAttributes).decode


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that has no place yet.

    Attributes:
        type: the stored type name and schema version.
        payload: the event, encoded as one msgpack value: readers decode many at once.
        attributes: event id, tags and metadata.
    """

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
        payload: the event, encoded as one msgpack value.
        attributes: event id, tags and metadata; in a replicated stream the writer and the version too.
    """

    position: int
    stream_id: str
    sequence_number: int
    type: StoredType
    timestamp: int
    payload: bytes
    attributes: Attributes = NO_ATTRIBUTES

    @property
    def kind(self) -> StreamKind:
        """Which kind of stream holds it."""
        return "replicated" if isinstance(self.attributes, ReplicatedAttributes) else "plain"

    @property
    def writer(self) -> str:
        """Who numbered it in a replicated stream; empty in a plain one."""
        return self.attributes.writer if isinstance(self.attributes, ReplicatedAttributes) else ""

    @property
    def version(self) -> dict[str, int]:
        """What the writer had observed of a replicated stream, this event included; empty in a plain one."""
        return self.attributes.version if isinstance(self.attributes, ReplicatedAttributes) else {}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records a reader wants: those that fulfil every condition that is set.

    Attributes:
        stream_id: of this stream only.
        prefix: of streams whose id begins so.
        types: of one of these stored type names; empty: of any.
        tags: with all of these tags.
        kind: of streams of this kind only.
    """

    stream_id: str | None = None
    prefix: str = ""
    types: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    kind: StreamKind | None = None

    def matches(self, record: StoredRecord) -> bool:
        """Tell whether a record fulfils every condition."""
        return (
            (self.stream_id is None or record.stream_id == self.stream_id)
            and record.stream_id.startswith(self.prefix)
            and (not self.types or record.type.name in self.types)
            and self.tags.issubset(record.attributes.tags)
            and (self.kind is None or record.kind == self.kind)
        )

    def among(self, records: Collection[StoredRecord]) -> list[StoredRecord]:
        """Return the records that match, in their order."""
        return [record for record in records if self.matches(record)]
