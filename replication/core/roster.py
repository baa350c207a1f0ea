"""The roster: all replicas that are known, each with a number, so that a set of replicas is the bits of one integer.

Two replicas that know the same members number them alike, by the order of the ids. Then a set of a thousand replicas
is 125 bytes on its way, and to join two of them takes one operation. Whether they know the same members is seen by a
fingerprint, and whether in the same incarnations by another one. While they differ, replicas introduce members to one
another.

A fingerprint is a sum over members, so that it costs nothing to keep (Bellare and Micciancio, "A New Paradigm for
Collision-Free Hashing", EUROCRYPT 1997, section 5).
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter

FINGERPRINT_BITS = 63

INCARNATION_MAX = 2**53
"""Nobody starts so often: who says so of others is not believed, and fingerprints take later incarnations for one."""

Renumber = Callable[[int], int]
"""Takes the bits of a set by the old numbers, and returns them by the new ones."""


class Roster:
    """Numbers all replicas that are known, ourselves included.

    Args:
        replica_id: who we are.

    Attributes:
        ids: all replicas, by their numbers.
        fingerprint: two rosters with the same members share it, and hardly ever two others.
        incarnations: the same, of members in the same incarnations.
    """

    def __init__(self, replica_id: str) -> None:
        self.ids = [replica_id]
        self._numbers = {replica_id: 0}
        self._incarnations = {replica_id: 0}
        self.fingerprint = self.incarnations = _fingerprint(replica_id, 0)
        self._is_sorted = True

    def __contains__(self, replica_id: object) -> bool:
        return replica_id in self._numbers

    @property
    def everybody(self) -> int:
        """The bits of all."""
        return (1 << len(self.ids)) - 1

    def incarnation(self, replica_id: str) -> int:
        """Return the incarnation of a replica; 0: it was not heard."""
        return self._incarnations[replica_id]

    def bit(self, replica_id: str) -> int:
        """Return the bit of a replica."""
        return 1 << self._numbers[replica_id]

    def bits(self, replica_ids: Iterable[str]) -> int:
        """Return the bits of those of some replicas that are known."""
        numbers, bits = self._numbers, 0
        for replica_id in replica_ids:
            number = numbers.get(replica_id)
            if number is not None:
                bits |= 1 << number
        return bits

    def ids_of(self, bits: int) -> list[str]:
        """Return the replicas with some bits, the lowest first."""
        found = []
        while bits:
            lowest = bits & -bits
            found.append(self.ids[lowest.bit_length() - 1])
            bits ^= lowest
        return found

    def add(self, replica_id: str, incarnation: int = 0) -> None:
        """Give a new replica a number; `arrange` may give it another one."""
        if replica_id < self.ids[-1]:
            self._is_sorted = False
        self._numbers[replica_id] = len(self.ids)
        self.ids.append(replica_id)
        self._incarnations[replica_id] = incarnation
        self.fingerprint = _sum(self.fingerprint, _fingerprint(replica_id, 0))
        self.incarnations = _sum(self.incarnations, _fingerprint(replica_id, incarnation))

    def incarnate(self, replica_id: str, incarnation: int) -> None:
        """Note the incarnation of a replica."""
        known = self._incarnations[replica_id]
        self.incarnations = _sum(
            self.incarnations, _fingerprint(replica_id, incarnation) - _fingerprint(replica_id, known)
        )
        self._incarnations[replica_id] = incarnation

    def remove(self, replica_id: str) -> Renumber:
        """Take a replica away; return how the numbers of the others change."""
        known = self._incarnations.pop(replica_id)
        self.fingerprint = _sum(self.fingerprint, -_fingerprint(replica_id, 0))
        self.incarnations = _sum(self.incarnations, -_fingerprint(replica_id, known))
        return self._number([other for other in self.ids if other != replica_id])

    def arrange(self) -> Renumber | None:
        """Number all by the order of their ids, so that an equal roster numbers them alike; None: they are."""
        if self._is_sorted:
            return None
        self._is_sorted = True
        return self._number(sorted(self.ids))

    def _number(self, ids: list[str]) -> Renumber:
        size, before = len(self.ids), self._numbers
        places = [size - 1 - before[replica_id] for replica_id in reversed(ids)]  # the highest digit comes first
        choose = itemgetter(*places) if len(places) > 1 else lambda digits: digits[places[0]]
        self.ids = ids
        self._numbers = {replica_id: number for number, replica_id in enumerate(ids)}
        return lambda bits: int("".join(choose(format(bits, f"0{size}b"))), 2) if bits else 0


def _sum(fingerprint: int, number: int) -> int:
    return (fingerprint + number) % (1 << FINGERPRINT_BITS)


@lru_cache(maxsize=65_536)
def _fingerprint(replica_id: str, incarnation: int) -> int:
    digest = blake2b(f"{min(incarnation, INCARNATION_MAX)} {replica_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - FINGERPRINT_BITS)
