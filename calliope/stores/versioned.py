"""What replicas exchange: changes, in log entries that travel unchanged.

A *change* is one request: events of one replicated stream, or operations of one CRDT key. A *log entry* is what one
commit added to its writer's log: a few changes, all events or all operations, encoded once. Each log numbers its
entries 1, 2, 3 … without gaps, so one number a log says what a journal holds (a version vector), and an entry goes from
replica to replica and into each journal as the bytes that its writer made.

    LogEntry    [log id, number, kind, checksum, body]; body is the msgpack array of its changes
    Versioned   [stream id, writer, counter, observed, timestamp, event id, tags, metadata, items]
    Item        [type name, schema version, payload]

A log id is a replica id, "~" and a random incarnation. The writer of operations is the log id; the writer of events is
the replica id of the handle. Item i of a change has the dot (writer, counter + i) and the version
`observed` + {writer: counter + i}.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from zlib import crc32

import msgspec

EntryKind = Literal["events", "operations"]

ENTRY_BYTES_TARGET = 64 * 1024
"""A commit's changes are gathered into entries of about this size; a larger change makes an entry of its own."""

LOG_ID_BYTES_MAX = 255 + 1 + 16
"""A replica id of at most 255 bytes, "~" and an incarnation of at most 16 hexadecimal digits."""


class Item(NamedTuple):
    """One event or operation: the stored type name (of an operation: its CRDT type), schema version and payload."""

    type_name: str
    schema_version: int
    payload: bytes


class Versioned(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A change: events of one stream, or operations of one key, all or nothing.

    Attributes:
        stream_id: the stream, or the CRDT key.
        writer: whose counters its dots are.
        counter: the counter of the first item; the others follow.
        observed: what the writer had observed of the stream before, without its own counter.
        timestamp: when it was persisted, in microseconds since 1970 UTC, by the writer's clock.
        event_id: the id of the first event, or None; further events are named by their dots.
        tags: labels of all its events.
        metadata: context of all its events.
        items: the events or operations, at least one.
    """

    stream_id: str
    writer: str
    counter: int
    observed: dict[str, int]
    timestamp: int
    event_id: str | None
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    items: tuple[Item, ...]


class LogEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What one commit added to a log; travels unchanged, for ever.

    Attributes:
        log_id: the log.
        number: its place there: 1, 2, 3 …
        kind: whether its changes are events or operations.
        checksum: the CRC-32 of log id, number, kind and body, by its writer.
        body: the changes, encoded.
    """

    log_id: str
    number: int
    kind: EntryKind
    checksum: int
    body: bytes

    @property
    def is_whole(self) -> bool:
        """Whether it matches its checksum."""
        return self.checksum == checksum_of(self.log_id, self.number, self.kind, self.body)

    @property
    def changes(self) -> list[Versioned]:
        """The changes.

        Raises:
            msgspec.ValidationError, msgspec.DecodeError: the body is malformed.
        """
        return _decode_changes(self.body)


def log_entry(log_id: str, number: int, kind: EntryKind, changes: Sequence[Versioned]) -> LogEntry:
    """Return the entry that holds changes."""
    body = _encode_changes(changes)
    return LogEntry(log_id, number, kind, checksum_of(log_id, number, kind, body), body)


def checksum_of(log_id: str, number: int, kind: EntryKind, body: bytes) -> int:
    """Return the CRC-32 of an entry: of its log id, number and kind as text, each followed by NUL, and its body."""
    return crc32(body, crc32(f"{log_id}\0{number}\0{kind}\0".encode()))


def replica_of(log_id: str) -> str:
    """Return the replica whose log this is."""
    return log_id.rpartition("~")[0]


_encode_changes = msgspec.msgpack.Encoder().encode
_decode_changes = msgspec.msgpack.Decoder(list[Versioned]).decode
