"""What is told of a copy: while it is made, and in the end."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CopyProgress:
    """How far a copy is.

    Attributes:
        stage: what is done now: the place is looked for, events are copied, snapshots are, both journals are compared.
        done: up to which position of the source; of snapshots, how many.
        total: the source's last position; of snapshots it is not known, and 0.
    """

    stage: Literal["looking", "events", "snapshots", "comparing"]
    done: int
    total: int


@dataclass(frozen=True)
class CopySummary:
    """What a copy came to.

    Attributes:
        added: events that were copied now.
        known: events that the target held before.
        snapshots: snapshots that were copied now.
        snapshots_left_out: snapshots that were not copied: damaged ones, and those that may hold positions where the
            target has others.
        same_positions: whether each event has the position that it has in the source.
        through: up to which position of the source everything is copied; what comes later is for the next run.
        checksum: BLAKE2b over all events in their order, computed from each journal and the same; None: not verified.
    """

    added: int
    known: int
    snapshots: int
    snapshots_left_out: int
    same_positions: bool
    through: int
    checksum: str | None

    @property
    def events(self) -> int:
        """How many events the copy holds."""
        return self.added + self.known
