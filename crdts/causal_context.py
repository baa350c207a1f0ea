"""Causal contexts: sets of dots that need not be prefixes."""

from collections.abc import Iterable
from typing import Self

from crdts.version_vector import NOTHING_SEEN, Dot, VersionVector


class CausalContext:
    """An immutable set of dots, held as a version vector and a cloud of those that do not follow on from it.

    A version vector can say what has been seen only where delivery is causal. Where it is not (operations that
    were delivered early, an operation that has not seen all of its own replica's), this can.

    Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), section 7.2.

    Args:
        version: Dots that follow on from the first.
        cloud: Further dots; those that follow on from the version become part of it.
    """

    __slots__ = ("_cloud", "_version")

    def __init__(self, version: VersionVector = NOTHING_SEEN, cloud: Iterable[Dot] = ()) -> None:
        left: list[Dot] = []
        for dot in sorted(set(cloud)):
            if dot.counter == version[dot.replica_id] + 1:
                version = version.increment(dot.replica_id)
            elif not version.covers(dot):
                left.append(dot)
        self._version = version
        self._cloud = frozenset(left)

    @property
    def version(self) -> VersionVector:
        """The dots that follow on from the first of their replica."""
        return self._version

    @property
    def cloud(self) -> frozenset[Dot]:
        """The dots before which others are missing."""
        return self._cloud

    def __contains__(self, dot: Dot) -> bool:
        return self._version.covers(dot) or dot in self._cloud

    def add(self, dot: Dot) -> Self:
        """Returns this context with one more dot."""
        return type(self)(self._version, [*self._cloud, dot])

    def merge(self, other: Self) -> Self:
        """Returns the union of both."""
        return type(self)(self._version.merge(other.version), self._cloud | other.cloud)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CausalContext):
            return NotImplemented
        return self._version == other._version and self._cloud == other._cloud

    def __hash__(self) -> int:
        return hash((self._version, self._cloud))

    def __repr__(self) -> str:
        return f"CausalContext({self._version!r}, {sorted(self._cloud)})"
