"""The shapes of messages on the wire: each mirrors one of `replication.core.messages`, and makes it once it is checked.

How many of everything there may be is checked where the bytes announce it, before anything is made of them, and no
shape holds another of its own kind, so depth is bounded, too. `checked` then looks at what was read as values: ids,
numbers, times. The bodies of entries are not looked into: the store that receives them checks them.
"""

import math
from typing import Annotated

import msgspec
from msgspec import Meta

from calliope.limits import POSITION_MAX, STREAM_ID_BYTES_MAX, TYPE_NAME_BYTES_MAX, checked_text
from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import LogEntry
from crdts import VersionVector
from replication.addresses import ADDRESS_BYTES_MAX
from replication.core.messages import (
    Acknowledgement,
    Answer,
    Claim,
    Cursor,
    Digest,
    Entries,
    Fence,
    Heard,
    Heartbeat,
    Introduction,
    Question,
    Row,
    SnapshotChunk,
    SnapshotRequest,
)
from replication.identifiers import checked_log_id, checked_replica_id

LOGS_MAX = 16_384
"""Logs in one version vector."""

INTRODUCTIONS_MAX = 4_096
"""Introductions in one digest."""

CLAIMS_MAX = 1_024
"""Claims in one digest."""

HEARD_MAX = 1_024
"""How many times at which members were heard one message holds."""

MEMBERS_MAX = 65_536
"""Numbers of members; a set of them is a bit each."""

FENCES_MAX = 4_096
"""Fences in one digest."""

NEIGHBOURS_MAX = 4_096
"""Neighbours in one digest."""

ENTRIES_MAX = 65_536
"""Entries in one message."""

STATES_MAX = 65_536
"""States in one message."""

_CHECKSUM_MAX = 2**32 - 1

_Number = Annotated[int, Meta(ge=0, le=POSITION_MAX)]
_Members = Annotated[bytes, Meta(max_length=MEMBERS_MAX // 8)]
_Vector = Annotated[dict[str, Annotated[int, Meta(ge=1, le=POSITION_MAX)]], Meta(max_length=LOGS_MAX)]
_LogEntries = Annotated[tuple[LogEntry, ...], Meta(max_length=ENTRIES_MAX)]


class _Shape(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What is read."""


class _Row(_Shape):
    replica_id: str
    incarnation: _Number
    log_id: str
    vector: _Vector
    address: str

    def checked(self) -> Row:
        return Row(
            checked_replica_id(self.replica_id),
            self.incarnation,
            checked_log_id(self.log_id),
            _vector(self.vector),
            _checked_address(self.address),
        )


class _Introduction(_Shape):
    replica_id: str
    incarnation: _Number
    address: str

    def checked(self) -> Introduction:
        return Introduction(checked_replica_id(self.replica_id), self.incarnation, _checked_address(self.address))


class _Claim(_Shape):
    vector: _Vector
    members: _Members

    def checked(self) -> Claim:
        return Claim(_vector(self.vector), self.members)


class _Heard(_Shape):
    age_seconds: float
    members: _Members

    def checked(self) -> Heard:
        return Heard(_checked_age(self.age_seconds), self.members)


class _Fence(_Shape):
    replica_id: str
    vector: _Vector

    def checked(self) -> Fence:
        return Fence(checked_replica_id(self.replica_id), _vector(self.vector))


class _Digest(_Shape, tag="digest"):
    own: _Row
    floor: _Vector
    introductions: Annotated[tuple[_Introduction, ...], Meta(max_length=INTRODUCTIONS_MAX)] = ()
    roster: _Number = 0
    incarnations: _Number = 0
    claims: Annotated[tuple[_Claim, ...], Meta(max_length=CLAIMS_MAX)] = ()
    heard: Annotated[tuple[_Heard, ...], Meta(max_length=HEARD_MAX)] = ()
    fences: Annotated[tuple[_Fence, ...], Meta(max_length=FENCES_MAX)] = ()
    neighbours: Annotated[tuple[str, ...], Meta(max_length=NEIGHBOURS_MAX)] = ()
    beginning: _Number = 0
    asks: bool = False
    staged: _Vector = {}

    def checked(self) -> Digest:
        return Digest(
            self.own.checked(),
            _vector(self.floor),
            tuple(introduction.checked() for introduction in self.introductions),
            self.roster,
            self.incarnations,
            tuple(claim.checked() for claim in self.claims),
            tuple(heard.checked() for heard in self.heard),
            tuple(fence.checked() for fence in self.fences),
            tuple(checked_replica_id(neighbour) for neighbour in self.neighbours),
            self.beginning,
            self.asks,
            _vector(self.staged),
        )


class _Heartbeat(_Shape, tag="heartbeat"):
    fingerprint: _Number
    roster: _Number = 0
    incarnations: _Number = 0
    heard: Annotated[tuple[_Heard, ...], Meta(max_length=HEARD_MAX)] = ()

    def checked(self) -> Heartbeat:
        return Heartbeat(
            self.fingerprint, self.roster, self.incarnations, tuple(heard.checked() for heard in self.heard)
        )


class _Acknowledgement(_Shape, tag="ack"):
    vector: _Vector

    def checked(self) -> Acknowledgement:
        return Acknowledgement(_vector(self.vector))


class _Entries(_Shape, tag="entries"):
    entries: _LogEntries
    beginning: _Number = 0

    def checked(self) -> Entries:
        return Entries(_checked_entries(self.entries), self.beginning)


class _Cursor(_Shape):
    after_key: str | None = ""
    after_position: _Number = 0

    def checked(self) -> Cursor:
        after_key = self.after_key and checked_text("after_key", self.after_key, STREAM_ID_BYTES_MAX)
        return Cursor(after_key, self.after_position)


class _SnapshotRequest(_Shape, tag="snapshot?"):
    cursor: _Cursor
    cut: _Vector | None = None
    have: _Vector = {}

    def checked(self) -> SnapshotRequest:
        cut = None if self.cut is None else _vector(self.cut)
        return SnapshotRequest(self.cursor.checked(), cut, _vector(self.have))


class _SnapshotChunk(_Shape, tag="snapshot"):
    cursor: _Cursor
    cut: _Vector
    states: Annotated[tuple[StoredState, ...], Meta(max_length=STATES_MAX)]
    entries: _LogEntries
    following: _Cursor | None
    reach: _Vector = {}

    def checked(self) -> SnapshotChunk:
        for state in self.states:
            checked_text("key", state.key, STREAM_ID_BYTES_MAX)
            checked_text("type_name", state.type_name, TYPE_NAME_BYTES_MAX)
        return SnapshotChunk(
            self.cursor.checked(),
            _vector(self.cut),
            self.states,
            _checked_entries(self.entries),
            None if self.following is None else self.following.checked(),
            _vector(self.reach),
        )


class _Question(_Shape, tag="question"):
    asker: str
    number: _Number
    vector: _Vector

    def checked(self) -> Question:
        return Question(checked_replica_id(self.asker), self.number, _vector(self.vector))


class _Answer(_Shape, tag="answer"):
    asker: str
    number: _Number
    replica_id: str
    vector: _Vector

    def checked(self) -> Answer:
        return Answer(
            checked_replica_id(self.asker), self.number, checked_replica_id(self.replica_id), _vector(self.vector)
        )


MessageShape = (
    _Digest | _Heartbeat | _Acknowledgement | _Entries | _SnapshotRequest | _SnapshotChunk | _Question | _Answer
)
"""What a message is read as."""


def _vector(counters: dict[str, int]) -> VersionVector:
    for log_id in counters:
        checked_log_id(log_id)
    return VersionVector.wrap(counters)


def _checked_entries(entries: tuple[LogEntry, ...]) -> tuple[LogEntry, ...]:
    known = ""
    for entry in entries:
        if entry.log_id != known:
            known = checked_log_id(entry.log_id)
        if not 0 < entry.number <= POSITION_MAX or not 0 <= entry.checksum <= _CHECKSUM_MAX:
            raise ValueError(f"entry {entry.number} of {known!r} with checksum {entry.checksum} is out of range")
    return entries


def _checked_address(address: str) -> str:
    return address and checked_text("address", address, ADDRESS_BYTES_MAX)


def _checked_age(seconds: float) -> float:
    if not 0 <= seconds < math.inf:
        raise ValueError(f"an age must be a number of seconds, not {seconds}")
    return seconds
