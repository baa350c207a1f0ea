"""Another replica of the cluster, as far as it is known here."""

from dataclasses import dataclass
from typing import Literal

from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN
from replication.core.messages import Row

MemberState = Literal["alive", "suspect", "dead", "removed"]


@dataclass(slots=True)
class Member:
    """Another replica of the cluster, as far as it is known here.

    Attributes:
        replica_id: who it is.
        address: where it listens; empty if that is not known.
        state: whether it was heard lately.
        row: the last it said; None if it was not heard since we started.
        heard_at: when it was heard last, by our clock.
        changes: which change of a row its last one was, to tell what others were told of it.
        settled: what it held at the last moment of which we hold all that it had written by then.
        tellers: the links by which we were told what the row says; a bit each, see `Link.bit`.
    """

    replica_id: str
    address: str
    state: MemberState
    row: Row | None
    heard_at: float
    changes: int = 0
    settled: VersionVector = NOTHING_SEEN
    tellers: int = 0

    @property
    def vector(self) -> VersionVector:
        """What it is known to hold: nothing, if it was not heard."""
        return NOTHING_SEEN if self.row is None else self.row.vector

    def told_at(self, now: float) -> Row:
        """Return what others are told of it; if it was not heard, its name only: they must count it all the same."""
        row, age = self.row, max(0.0, now - self.heard_at)
        if row is None:
            return Row(self.replica_id, 0, 0, f"{self.replica_id}~0", NOTHING_SEEN, age, self.address)
        return Row(row.replica_id, row.incarnation, row.sequence, row.log_id, row.vector, age, row.address)
