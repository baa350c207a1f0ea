"""What the core wants done: one value per input, carried out in the order of its fields.

`persist` comes first and must be durable before anything of the same value is sent: nothing is sent or acknowledged
before it is durable. Whoever carries effects out tells the core of what became durable by `persisted`, of what could
not be done by `failed`, and of what was read by `loaded` and `states_loaded`.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import LogEntry, Versioned
from crdts import VersionVector
from replication.core.messages import Message, SnapshotChunk


@dataclass(frozen=True, slots=True)
class UseLog:
    """Number what is written here from now on in this log."""

    log_id: str


@dataclass(frozen=True, slots=True)
class Append:
    """Write own operations, all or nothing."""

    changes: tuple[Versioned, ...]
    token: Hashable = None


@dataclass(frozen=True, slots=True)
class Receive:
    """Store a peer's entries; `snapshot`: numbers up to it may be jumped over."""

    peer: str
    entries: tuple[LogEntry, ...]
    snapshot: VersionVector | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Keep a part of a peer's snapshot, apart from keys and log, once it was found that it could be taken over."""

    peer: str
    number: int
    chunk: SnapshotChunk


@dataclass(frozen=True, slots=True)
class Unstage:
    """Forget all parts of a snapshot."""


@dataclass(frozen=True, slots=True)
class MergeStates:
    """Join states that were staged into ours, durably; one that does not join with ours is left out."""

    states: tuple[StoredState, ...]


@dataclass(frozen=True, slots=True)
class Install:
    """Say durably that everything up to a vector is held."""

    vector: VersionVector


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep a small fact durably; None: forget it."""

    name: str
    fact: bytes | None


Persist = UseLog | Append | Receive | Stage | Unstage | MergeStates | Install | Remember


@dataclass(frozen=True, slots=True)
class Read:
    """Read entries for a peer, and hand the page to `loaded`; `for_snapshot`: they belong to one."""

    peer: str
    have: VersionVector
    after: int
    bytes_max: int
    epoch: int
    for_snapshot: bool = False


@dataclass(frozen=True, slots=True)
class ReadStates:
    """Read states for a peer that contain all that the log holds at this moment, and hand them to `states_loaded`."""

    peer: str
    after_key: str
    bytes_max: int
    epoch: int


@dataclass(frozen=True, slots=True)
class ReadStaged:
    """Read a part of a snapshot, and hand it to `part_loaded`; None, if it cannot be read."""

    number: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to a connected peer."""

    peer: str
    message: Message


@dataclass(frozen=True, slots=True)
class Refuse:
    """Close the connection to a peer: it broke the protocol. The reason is for the log."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """A member's state is another now."""

    replica_id: str
    state: Literal["alive", "suspect", "dead", "removed"]


@dataclass(frozen=True, slots=True)
class Agreed:
    """As many replicas as were waited for hold something; `token` says what was waited for."""

    token: Hashable


@dataclass(frozen=True, slots=True)
class Stable:
    """The stable version has grown: no operation that has not seen it can still arrive."""

    vector: VersionVector


Announcement = MemberChanged | Agreed | Stable


@dataclass(slots=True)
class Effects:
    """What to do, field by field.

    Attributes:
        persist: make durable, in this order, before what follows.
        send: send to peers.
        read: read for peers, or what was staged; what is then sent comes after what is sent here.
        refuse: close connections.
        announce: tell those who wait here.
    """

    persist: list[Persist] = field(default_factory=list)
    send: list[Send] = field(default_factory=list)
    read: list[Read | ReadStates | ReadStaged] = field(default_factory=list)
    refuse: list[Refuse] = field(default_factory=list)
    announce: list[Announcement] = field(default_factory=list)
