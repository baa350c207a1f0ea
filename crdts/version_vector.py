"""Version vectors: which operations of which replica have been seen.

A replica numbers its operations 1, 2, 3 ...; one of them is a `Dot`. Because operations are delivered in
causal order, what has been seen of a replica is always a prefix, and one number per replica says it all.

Fidge, "Timestamps in Message-Passing Systems That Preserve the Partial Ordering" (1988); Mattern, "Virtual
Time and Global States of Distributed Systems" (1989); Parker et al., "Detection of Mutual Inconsistency in
Distributed Systems" (1983); for dots, Almeida et al., "Scalable and Accurate Causality Tracking for
Eventually Consistent Stores" (2014).
"""

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Self

COUNTER_MAX = 2**63 - 1


class CausalOrder(Enum):
    """How two versions stand to each other in Lamport's happened-before."""

    EQUAL = "equal"
    BEFORE = "before"
    AFTER = "after"
    CONCURRENT = "concurrent"


@dataclass(frozen=True, slots=True, order=True)
class Dot:
    """One operation: the `counter`-th (from 1) of the replica `replica_id`."""

    replica_id: str
    counter: int


class VersionVector(Mapping[str, int]):
    """An immutable map from replica id to the number of its operations seen; an absent replica counts 0.

    Args:
        counters: Replica ids and counters from 0 to 2**63 - 1; zeros are dropped.

    Raises:
        TypeError: A replica id that is not a str, a counter that is not an int.
        ValueError: A counter that is negative or does not fit 63 bits.
    """

    __slots__ = ("_counters", "_hash")

    _counters: dict[str, int]
    _hash: int | None

    def __init__(self, counters: Mapping[str, int] | Iterable[tuple[str, int]] = ()) -> None:
        checked = dict(counters)
        for replica_id, counter in checked.items():
            if type(replica_id) is not str or type(counter) is not int:
                raise TypeError(f"a version vector maps str to int, not {replica_id!r} to {counter!r}")
            if not 0 <= counter <= COUNTER_MAX:
                raise ValueError(f"the counter of {replica_id!r} must be between 0 and 2**63 - 1, not {counter}")
        self._counters = {replica_id: counter for replica_id, counter in checked.items() if counter}
        self._hash = None

    @classmethod
    def wrap(cls, counters: dict[str, int]) -> Self:
        """Takes over a dictionary that is known to be valid, has no zeros and will never change."""
        vector: Self = cls.__new__(cls)
        vector._counters = counters
        vector._hash = None
        return vector

    def __getitem__(self, replica_id: str) -> int:
        return self._counters.get(replica_id, 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._counters)

    def __len__(self) -> int:
        return len(self._counters)

    def __contains__(self, replica_id: object) -> bool:
        return replica_id in self._counters

    def __eq__(self, other: object) -> bool:
        if isinstance(other, VersionVector):
            return self._counters == other._counters
        if isinstance(other, Mapping):
            return self._counters == {replica_id: counter for replica_id, counter in other.items() if counter}
        return NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._counters.items()))
        return self._hash

    def __repr__(self) -> str:
        return f"VersionVector({dict(sorted(self._counters.items()))})"

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, int]]]:
        return type(self), (self._counters,)

    def items(self) -> ItemsView[str, int]:
        """The pairs of replica id and counter, without zeros."""
        return self._counters.items()

    def to_dict(self) -> dict[str, int]:
        """Returns the counters that are not zero, as the dictionary inside, which must not be changed."""
        return self._counters

    def without(self, replica_id: str) -> Self:
        """Returns this vector with that replica's counter at 0."""
        if replica_id not in self._counters:
            return self
        left = dict(self._counters)
        del left[replica_id]
        return self.wrap(left)

    def increment(self, replica_id: str) -> Self:
        """Returns this vector with one more operation of `replica_id`."""
        return self.wrap({**self._counters, replica_id: self[replica_id] + 1})

    def covers(self, dot: Dot) -> bool:
        """Says whether the operation `dot` has been seen."""
        return dot.counter <= self._counters.get(dot.replica_id, 0)

    def merge(self, other: Self) -> Self:
        """Returns the pointwise maximum: what either has seen (the least upper bound)."""
        if self.descends(other):
            return self
        if other.descends(self):
            return other
        merged = dict(self._counters)
        for replica_id, counter in other._counters.items():
            if counter > merged.get(replica_id, 0):
                merged[replica_id] = counter
        return self.wrap(merged)

    def meet(self, other: Self) -> Self:
        """Returns the pointwise minimum: what both have seen (the greatest lower bound)."""
        theirs = other._counters
        return self.wrap(
            {
                replica_id: min(counter, theirs[replica_id])
                for replica_id, counter in self._counters.items()
                if replica_id in theirs
            }
        )

    def descends(self, other: Self) -> bool:
        """Says whether this version has seen everything that `other` has."""
        mine = self._counters
        if mine is other._counters or mine == other._counters:
            return True
        if len(mine) < len(other._counters):
            return False
        for replica_id, counter in other._counters.items():  # noqa: SIM110 - a generator takes twice the time
            if counter > mine.get(replica_id, 0):
                return False
        return True

    def compare(self, other: Self) -> CausalOrder:
        """Says how this version stands to `other`: BEFORE means that `other` has seen more."""
        if self._counters == other._counters:
            return CausalOrder.EQUAL
        if self.descends(other):
            return CausalOrder.AFTER
        return CausalOrder.BEFORE if other.descends(self) else CausalOrder.CONCURRENT

    def concurrent(self, other: Self) -> bool:
        """Says whether each has seen something that the other has not."""
        return not self.descends(other) and not other.descends(self)


NOTHING_SEEN = VersionVector()
