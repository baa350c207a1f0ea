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
from typing import Any, Literal
from zlib import crc32

import msgspec

EntryKind = Literal["events", "operations"]

ENTRY_BYTES_TARGET = 64 * 1024
"""A commit's changes are gathered into entries of about this size; a larger change makes an entry of its own."""

LOG_ID_BYTES_MAX = 255 + 1 + 16
"""A replica id of at most 255 bytes, "~" and an incarnation of at most 16 hexadecimal digits."""


class Item(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One event or operation: the stored type name (of an operation: its CRDT type), schema version and payload."""

    type_name: str
    schema_version: int
    payload: bytes


class Versioned(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
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
    body = _body_of(list(map(encode_change, changes)))
    return LogEntry(log_id, number, kind, checksum_of(log_id, number, kind, body), body)


def checksum_of(log_id: str, number: int, kind: EntryKind, body: bytes) -> int:
    """Return the CRC-32 of an entry: of its log id, number and kind as text, each followed by NUL, and its body."""
    return crc32(body, crc32(f"{log_id}\0{number}\0{kind}\0".encode()))


def replica_of(log_id: str) -> str:
    """Return the replica whose log this is."""
    return log_id.rpartition("~")[0]


class EntryGathering:
    """Gathers the changes of one commit into entries, in order: each of one kind, and of about `ENTRY_BYTES_TARGET`.

    Args:
        log_id: the log.
        number: the number of its last entry.

    Attributes:
        number: the number of the entry that the last change went into.
    """

    def __init__(self, log_id: str, number: int) -> None:
        self.log_id = log_id
        self.number = number
        self._entries: list[LogEntry] = []
        self._kind: EntryKind = "operations"
        self._changes: list[bytes] = []
        self._byte_count = 0

    def add(self, kind: EntryKind, changes: Sequence[bytes]) -> int:
        """Add changes, each encoded; return the number of the entry that the last of them is in."""
        for encoded in changes:
            if self._changes and (kind != self._kind or self._byte_count + len(encoded) > ENTRY_BYTES_TARGET):
                self._finish()
            if not self._changes:
                self._kind = kind
                self.number += 1
            self._changes.append(encoded)
            self._byte_count += len(encoded)
        return self.number

    def entries(self) -> list[LogEntry]:
        """Return the entries gathered since the last call."""
        self._finish()
        entries, self._entries = self._entries, []
        return entries

    def _finish(self) -> None:
        if self._changes:
            body = _body_of(self._changes)
            checksum = checksum_of(self.log_id, self.number, self._kind, body)
            self._entries.append(LogEntry(self.log_id, self.number, self._kind, checksum, body))
            self._changes = []
            self._byte_count = 0


def _body_of(changes: Sequence[bytes]) -> bytes:
    """Return the msgpack array (https://github.com/msgpack/msgpack/blob/master/spec.md) of encoded changes."""
    count = len(changes)
    if count < 16:
        head = bytes([0x90 | count])
    elif count < 65_536:
        head = b"\xdc" + count.to_bytes(2, "big")
    else:
        head = b"\xdd" + count.to_bytes(4, "big")
    return head + b"".join(changes)


encode_change = msgspec.msgpack.Encoder().encode
_decode_changes = msgspec.msgpack.Decoder(list[Versioned]).decode
