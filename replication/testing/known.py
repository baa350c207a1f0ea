"""What the checks know: of each replica, of each entry, and of those who wait."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from calliope.stores.versioned import LogEntry
from crdts import VersionVector
from replication.core.replica import ReplicaCore
from replication.testing.disk import Disk


class Checked(Protocol):
    """What is to be known of a replica."""

    replica_id: str
    disk: Disk
    core: ReplicaCore | None

    @property
    def running(self) -> ReplicaCore:
        """The core."""
        ...

    @property
    def receiving_bytes(self) -> int:
        """How much of what peers sent waits for the disk."""
        ...


class Written(NamedTuple):
    """An entry, and what its writer held before it wrote it."""

    entry: LogEntry
    seen: VersionVector


class Wait(NamedTuple):
    """Somebody waits until so many replicas hold an entry."""

    log_id: str
    number: int
    needed: int


class Asked(NamedTuple):
    """Somebody waits for what so many replicas held at a moment."""

    needed: int
    held: dict[str, VersionVector]


@dataclass(slots=True)
class Known:
    """What the checks know of one replica.

    Attributes:
        ever: what was ever durable there.
        told: what it last said that it holds.
        stable: the highest version that it said to be stable.
        went_back: its disk was restored: it may know less than before.
    """

    ever: VersionVector = field(default_factory=VersionVector)
    told: VersionVector = field(default_factory=VersionVector)
    stable: VersionVector = field(default_factory=VersionVector)
    went_back: bool = False
