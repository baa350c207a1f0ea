"""`Commit`: what a replica's log gained at once, as it is kept in JetStream, and how the log stands since then.

The log of a journal is the stream `NAME_log`. Each commit of it is one message, or several if it is large: its *parts*,
published all or nothing, of which each is the CRC-32 of its body (four bytes, little-endian) and the body, a msgpack
array:

    form            1
    commit          the number of the commit: 1, 2, 3 …
    part, parts     which part of it this is, counted from 0, and how many there are
    data            the commit, encoded as msgpack, or this part of it

A commit says how the log stands after it, so the last one tells all that a writer must know. Who writes the next one
expects that it is the last one still (`Nats-Expected-Last-Subject-Sequence`, over both subjects of the log); so any
number of processes number one log, and none of them by what it remembers.

A commit is all that must be durable at once: what it says of other places is carried out after it (`nats_redo`).
"""

import secrets
from collections.abc import Sequence
from zlib import crc32

import msgspec

from calliope.errors import CorruptJournalError
from calliope.stores.log_state import LogState
from calliope.stores.nats_message import CHECKSUM_BYTES
from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import LogEntry
from crdts import VersionVector

FORM = 1

PART_BYTES = 960 * 1024
"""How many bytes of a commit one message holds at most."""

VersionChange = tuple[str, str, int, bytes, bytes]
"""A stream, a writer, the counter of his last event, his token, and what he had observed, encoded."""


class StateFields(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A `LogState`, as it is kept."""

    log_id: str
    first_log_id: str
    position: int
    checkpoint: int
    forgotten_through: int
    vector: dict[str, int]
    floor: dict[str, int]


class Commit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the log gained at once.

    Attributes:
        number: 1, 2, 3 …
        name: tells it from what others may have wanted to write in its place.
        fields: how the log stands after it.
        holder: the node that holds the journal, or did last.
        entries: the new entries, the last of which has the highest log position.
        first_numbers: the sequence number of the first new event of each replicated stream.
        versions: how far writers of replicated streams have come now.
        states: the states of CRDT keys to replace.
        facts: the facts to keep, or to forget.
    """

    number: int
    name: str
    fields: StateFields
    holder: str
    entries: list[LogEntry]
    first_numbers: dict[str, int]
    versions: list[VersionChange]
    states: list[StoredState]
    facts: dict[str, bytes | None]

    @property
    def state(self) -> LogState:
        """How the log stands after it."""
        fields = self.fields
        return LogState(
            fields.log_id,
            fields.first_log_id,
            fields.position,
            fields.checkpoint,
            fields.forgotten_through,
            VersionVector(fields.vector),
            VersionVector(fields.floor),
        )

    @property
    def placed_entries(self) -> list[tuple[int, LogEntry]]:
        """The new entries, each with its log position."""
        return list(enumerate(self.entries, self.fields.position - len(self.entries) + 1))

    @property
    def has_events(self) -> bool:
        """Whether any of the new entries holds events, and so stays for ever."""
        return any(entry.kind == "events" for entry in self.entries)


def fields_of(state: LogState) -> StateFields:
    """Return the state of a log, as it is kept."""
    return StateFields(
        state.log_id,
        state.first_log_id,
        state.position,
        state.checkpoint,
        state.forgotten_through,
        state.vector.to_dict(),
        state.floor.to_dict(),
    )


NO_COMMIT = Commit(0, "", fields_of(LogState()), "", [], {}, [], [], {})
"""What there is before the first commit."""


def new_name() -> str:
    """Return a name that no other commit has."""
    return secrets.token_hex(8)


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part of a commit; see the head of this module."""

    form: int
    commit: int
    part: int
    parts: int
    data: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode_part = msgspec.msgpack.Decoder(Part).decode
_decode_commit = msgspec.msgpack.Decoder(Commit).decode


def messages_of(commit: Commit) -> list[bytes]:
    """Return the messages that keep a commit."""
    data = _encode(commit)
    starts = range(0, len(data), PART_BYTES)
    bodies = [
        _encode(Part(FORM, commit.number, part, len(starts), data[start : start + PART_BYTES]))
        for part, start in enumerate(starts)
    ]
    return [crc32(body).to_bytes(CHECKSUM_BYTES, "little") + body for body in bodies]


def part_of(sequence: int, message: bytes) -> Part:
    """Return the part of a commit that a message keeps.

    Raises:
        CorruptJournalError: it does not match its checksum, or is no part of a commit.
    """
    body = message[CHECKSUM_BYTES:]
    if crc32(body) != int.from_bytes(message[:CHECKSUM_BYTES], "little"):
        raise CorruptJournalError(f"message {sequence} of the replica's log does not match its checksum")
    try:
        part = _decode_part(body)
    except msgspec.DecodeError as error:
        raise CorruptJournalError(f"message {sequence} of the replica's log cannot be read: {error}") from None
    if part.form != FORM:
        raise CorruptJournalError(f"message {sequence} of the replica's log is of form {part.form}, which is not known")
    return part


def joined(parts: Sequence[Part]) -> Commit:
    """Return the commit whose parts these are.

    Raises:
        CorruptJournalError: they are not all parts of one commit.
    """
    number, count = parts[0].commit, parts[0].parts
    if [(part.commit, part.part) for part in parts] != [(number, place) for place in range(count)]:
        raise CorruptJournalError(f"commit {number} of the replica's log is not whole")
    try:
        return _decode_commit(b"".join([part.data for part in parts]))
    except msgspec.DecodeError as error:
        raise CorruptJournalError(f"commit {number} of the replica's log cannot be read: {error}") from None
