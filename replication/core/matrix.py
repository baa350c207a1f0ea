"""The matrix clock: what each member is known to hold (Wuu and Bernstein, PODC 1984).

Its rows are grouped: members that are known to hold the same share one vector. In a cluster at rest there is one group,
however many members there are; while something spreads, there are as many as there are different vectors.

Invariant: a member is in one group at most; one that is in none is known to hold nothing.
"""

from collections.abc import Callable, Iterator

from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN


class Matrix:
    """Vectors, and the sets of members that hold them, as bits of a roster.

    Attributes:
        changes: how often it was changed.
    """

    def __init__(self) -> None:
        self._groups: dict[VersionVector, int] = {}
        self.changes = 0

    def __iter__(self) -> Iterator[tuple[VersionVector, int]]:
        """Go through all vectors, with the members that hold them."""
        return iter(self._groups.items())

    def __len__(self) -> int:
        return len(self._groups)

    def of(self, bit: int) -> VersionVector:
        """Return what a member is known to hold."""
        for vector, members in self._groups.items():
            if members & bit:
                return vector
        return NOTHING_SEEN

    def set(self, bit: int, vector: VersionVector) -> bool:
        """Note what a member holds, more or less than was known; say whether that was news."""
        if self._groups.get(vector, 0) & bit:
            return False
        self.forget(bit)
        self._groups[vector] = self._groups.get(vector, 0) | bit
        self.changes += 1
        return True

    def raise_to(self, bits: int, vector: VersionVector) -> bool:
        """Note that members hold all that is in a vector, beside what was known; say whether it was news."""
        groups = self._groups
        bits &= ~groups.get(vector, 0)
        if not bits:
            return False
        before = self.changes
        for known, members in list(groups.items()):
            both = members & bits
            if both:
                bits ^= both
                if not known.descends(vector):
                    self._move(both, known, known.merge(vector))
                if not bits:
                    break
        if bits:
            groups[vector] = groups.get(vector, 0) | bits
            self.changes += 1
        return self.changes != before

    def forget(self, bits: int) -> None:
        """Forget what members hold."""
        for vector, members in list(self._groups.items()):
            if members & bits:
                self._leave(bits, vector)

    def renumber(self, renumber: Callable[[int], int]) -> None:
        """Change the numbers of all members; those that get none are forgotten."""
        renumbered = {vector: renumber(members) for vector, members in self._groups.items()}
        self._groups = {vector: members for vector, members in renumbered.items() if members}
        self.changes += 1

    def settle(self, current: "Matrix", counted: int) -> None:
        """Take over what some members are known to hold by now; the others stay as they are."""
        settled: dict[VersionVector, int] = {}
        for vector, members in current:
            if members & counted:
                settled[vector] = members & counted
        for vector, members in self._groups.items():
            if members & ~counted:
                settled[vector] = settled.get(vector, 0) | members & ~counted
        self._groups = settled

    def _move(self, bits: int, known: VersionVector, vector: VersionVector) -> None:
        self._leave(bits, known)
        self._groups[vector] = self._groups.get(vector, 0) | bits
        self.changes += 1

    def _leave(self, bits: int, vector: VersionVector) -> None:
        left = self._groups[vector] & ~bits
        if left:
            self._groups[vector] = left
        else:
            del self._groups[vector]
        self.changes += 1
