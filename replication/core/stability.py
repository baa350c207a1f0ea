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
        self._has_news = True

    def expect_news(self) -> None:
        """Look again at the next occasion: we, or somebody else, may hold more."""
        self._has_news = True

    def advance(self, effects: Effects) -> None:
        """Look what all hold by now, and announce it if that is more."""
        if not self._has_news or self._tally.is_somebody_unknown:
            return
        self._has_news = False
        vector = self.vector.merge(self._members.stable(self._holdings.vector))
        if vector != self.vector:
            self.vector = vector
            effects.announce.append(Stable(vector))
