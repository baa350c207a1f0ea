"""The stable version: no operation that has not seen it can still arrive."""

from crdts import VersionVector
from replication.core.effects import Effects, Stable
from replication.core.holdings import Holdings
from replication.core.members import Members
from replication.core.tally import Tally


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

    def advance(self, effects: Effects) -> None:
        """Look what all hold by now, and announce it if that is more."""
        ours, changes = self._holdings.vector, self._members.changes
        if self._tally.is_somebody_unknown or self._looked_at == (ours, changes):
            return
        self._looked_at = ours, changes
        vector = self.vector.merge(self._members.stable(ours))
        if vector != self.vector:
            self.vector = vector
            effects.announce.append(Stable(vector))
