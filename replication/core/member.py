"""Another replica of the cluster, as far as it is known here."""

from dataclasses import dataclass
from typing import Literal

from crdts import VersionVector

MemberState = Literal["alive", "suspect", "dead", "removed"]


@dataclass(frozen=True, slots=True)
class Member:
    """Another replica of the cluster, as far as it is known here.

    Attributes:
        replica_id: who it is.
        address: where it listens; empty if that is not known.
        state: whether it was heard lately.
        vector: what it is known to hold: nothing, if it was not heard since we started.
        heard_at: when it was heard last, by our clock.
    """

    replica_id: str
    address: str
    state: MemberState
    vector: VersionVector
    heard_at: float
