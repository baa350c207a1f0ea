"""The stable version: no operation that has not seen it can still arrive."""

from crdts import VersionVector
from replication.core.effects import Effects, Stable
from replication.core.holdings import Holdings
from replication.core.members import Members
from replication.core.tally import Tally

COMPARED_A_ROUND = 5_000
"""How many numbers are compared in a gossip round, on average; with many members and logs it is looked more seldom."""


class Stability:
    """Follows what all members hold.

    Args:
        holdings: what this journal holds.
        members: the others.
        tally: says whether all of them are known.

    Attributes:
        vector: the stable version; it only grows.
    """

    def __init__(self, holdings: Holdings, members: Members, tally: Tally) -> None:
        self.vector = VersionVector()
        self._holdings = holdings
        self._members = members
        self._tally = tally
        self._looked_at: tuple[VersionVector, int] | None = None
        self._rounds_to_rest = 0

    def advance(self, effects: Effects) -> None:
        """Look what all hold by now, and announce it if that is more; called once a round."""
        if self._rounds_to_rest:
            self._rounds_to_rest -= 1
            return
        ours, changes = self._holdings.vector, self._members.changes
        if self._tally.is_somebody_unknown or self._looked_at == (ours, changes):
            return
        self._looked_at = ours, changes
        self._rounds_to_rest = self._members.variety * len(ours) // COMPARED_A_ROUND
        vector = self.vector.merge(self._members.stable(ours))
        if vector != self.vector:
            self.vector = vector
            effects.announce.append(Stable(vector))
