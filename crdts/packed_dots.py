"""Dots packed into integers, and what it takes to read those of another object.

Inside a CRDT a dot is one int, ``counter << INDEX_BITS | index``: `index` numbers the replicas in the order
in which this object met them (`ReplicaTable`), 0 is the replica itself. An int takes 32 bytes, a tuple of a
str and an int three times that, and comparing ints is what CPython does fastest. Packed dots mean nothing
outside their object: a `Join` translates those of another one, `Encoder` and `Decoder` those in bytes.

What keeps one piece of state alive is nearly always one dot, then held as the bare int; several concurrent ones
are a sorted tuple.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar

from crdts.errors import CrdtError
from crdts.operation import Operation
from crdts.version_vector import VersionVector
from crdts.wire import REPLICAS_MAX, expect

INDEX_BITS = 20
INDEX_MASK = (1 << INDEX_BITS) - 1
FIRST = 1 << INDEX_BITS

K = TypeVar("K", bound=Hashable)

Dots = int | tuple[int, ...]
Seen = Callable[[int], bool]


class ReplicaTable:
    """The replicas that one CRDT object has met, numbered from 0, which is the object's own."""

    __slots__ = ("_index", "replica_ids")

    def __init__(self, replica_id: str) -> None:
        self.replica_ids = [replica_id]
        self._index = {replica_id: 0}

    def index(self, replica_id: str) -> int:
        """Returns the number of the replica, a new one if it was not known."""
        index = self._index.get(replica_id)
        if index is None:
            index = len(self.replica_ids)
            if index == REPLICAS_MAX:
                raise CrdtError(f"one object cannot hold dots of more than {REPLICAS_MAX} replicas")
            self._index[replica_id] = index
            self.replica_ids.append(replica_id)
        return index

    def pack(self, operation: Operation) -> int:
        """Returns the dot of the operation as an int."""
        return operation.counter << INDEX_BITS | self.index(operation.replica_id)

    def pack_dot(self, replica_id: str, counter: int) -> int:
        """Returns a dot as an int."""
        return counter << INDEX_BITS | self.index(replica_id)

    def unpack(self, dot: int) -> tuple[str, int]:
        """Returns the replica id and the counter of a packed dot."""
        return self.replica_ids[dot & INDEX_MASK], dot >> INDEX_BITS

    def seen_by(self, operation: Operation) -> Seen:
        """Returns a predicate: whether the source of `operation` had seen a packed dot (it saw its own)."""
        replica_ids, saw = self.replica_ids, operation.saw
        return lambda dot: saw(replica_ids[dot & INDEX_MASK], dot >> INDEX_BITS)

    def highest(self, version: VersionVector) -> list[int]:
        """Returns, in the order of this table, the highest packed dots that `version` has seen."""
        return [version[replica_id] << INDEX_BITS | INDEX_MASK for replica_id in self.replica_ids]


class Join:
    """What the join of two states needs to know: who had seen what, and how to read the other's dots.

    A packed dot is compared with the highest packed dot that the counter seen of its replica allows: so no dot is
    taken apart.

    Attributes:
        shift: By the other's index, what added to a packed dot of the other makes it one of mine.
        here: By my index, the highest packed dot that I had seen before the join.
        there: By my index, the highest that the other had seen.
        is_copy: Whether nothing had been seen here and both number the replicas alike.
    """

    __slots__ = ("here", "is_copy", "shift", "there")

    def __init__(
        self, table: ReplicaTable, version: VersionVector, other_table: ReplicaTable, other_version: VersionVector
    ) -> None:
        self.shift = [table.index(replica_id) - index for index, replica_id in enumerate(other_table.replica_ids)]
        self.here = table.highest(version)
        self.there = table.highest(other_version)
        self.is_copy = not version and not any(self.shift)

    def dot(self, dot: int) -> int:
        """Returns one of the other's packed dots in my numbering."""
        return dot + self.shift[dot & INDEX_MASK]

    def translate(self, dots: Dots) -> Dots:
        """Returns the other's packed dots of a key in my numbering."""
        return self.dot(dots) if isinstance(dots, int) else tuple(sorted(map(self.dot, dots)))

    def unseen_here(self, dot: int) -> bool:
        """Says whether I had not seen this dot (of mine, or translated)."""
        return dot > self.here[dot & INDEX_MASK]

    def unseen_there(self, dot: int) -> bool:
        """Says whether the other had not seen this dot (of mine, or translated)."""
        return dot > self.there[dot & INDEX_MASK]

    def keys_seen_there(self, dots: Mapping[K, int]) -> list[K]:
        """Returns those of my keys, each with one dot, whose dots the other had seen."""
        there = self.there
        return [key for key, dot in dots.items() if dot <= there[dot & INDEX_MASK]]

    @property
    def seen_here(self) -> list[int]:
        """By the other's index, the highest of its packed dots, not translated, that I had seen."""
        return [self.here[index + offset] - offset for index, offset in enumerate(self.shift)]

    def survivors(self, mine: Dots | None, theirs: Dots | None) -> Dots | None:
        """Returns what is left of a key's dots: those both have, and those only one has seen."""
        ours = as_tuple(mine)
        others = as_tuple(theirs)
        left = {dot for dot in ours if dot in others or self.unseen_there(dot)}
        left.update(dot for dot in others if self.unseen_here(dot))
        return as_dots(left)


class Stable:
    """What is causally stable: every operation still to come has seen it."""

    __slots__ = ("_first", "_highest")

    def __init__(self, table: ReplicaTable, version: VersionVector) -> None:
        self._highest = table.highest(version)
        self._first = [FIRST | index for index in range(len(self._highest))]

    def covers(self, dot: int) -> bool:
        """Says whether a packed dot is stable."""
        return dot <= self._highest[dot & INDEX_MASK]

    def first(self, dot: int) -> int:
        """Returns the dot that stands for all stable ones of the same replica."""
        return self._first[dot & INDEX_MASK]

    def covers_all(self, dots: Dots | None) -> bool:
        """Says whether all dots of a key are stable."""
        return all(self.covers(dot) for dot in as_tuple(dots))

    def fold(self, dots: Dots) -> Dots:
        """Returns the dots of a key with what is stable folded.

        Each dot is folded for itself. Were one to speak for those of other replicas, too, a join would miss these:
        it would take them for removed if the other side still has an unstable dot beside them.
        """
        if isinstance(dots, int):
            return self.first(dots) if self.covers(dots) else dots
        return as_dots({self.first(dot) if self.covers(dot) else dot for dot in dots}) or dots


class Encoder:
    """Writes packed dots for bytes and for comparison: independent of who holds the state."""

    __slots__ = ("_rank", "_width", "replica_ids")

    def __init__(self, table: ReplicaTable, version: VersionVector) -> None:
        self.replica_ids = sorted(version)
        rank = {replica_id: place for place, replica_id in enumerate(self.replica_ids)}
        self._width = len(rank)
        self._rank = [rank.get(replica_id, 0) for replica_id in table.replica_ids]

    def dots(self, dots: Dots) -> Dots:
        """Returns dots as ints that are small on the wire: counter * replicas + place of the replica."""
        if isinstance(dots, int):
            return (dots >> INDEX_BITS) * self._width + self._rank[dots & INDEX_MASK]
        return tuple(sorted([(dot >> INDEX_BITS) * self._width + self._rank[dot & INDEX_MASK] for dot in dots]))


class Decoder:
    """Reads what `Encoder` wrote, and refuses dots that the state's own version has not seen."""

    __slots__ = ("_counters", "_index", "_width")

    def __init__(self, table: ReplicaTable, version: VersionVector) -> None:
        replica_ids = sorted(version)
        self._width = len(replica_ids)
        self._counters = [version[replica_id] for replica_id in replica_ids]
        self._index = [table.index(replica_id) for replica_id in replica_ids]

    def dot(self, plain: Any) -> int:
        """Returns one packed dot."""
        expect(type(plain) is int and self._width > 0, "a dot")
        counter, place = divmod(int(plain), self._width)
        expect(0 < counter <= self._counters[place], "a dot that the version has seen")
        return counter << INDEX_BITS | self._index[place]

    def dots(self, plain: Any) -> Dots:
        """Returns one or several packed dots."""
        if type(plain) is not tuple:
            return self.dot(plain)
        dots = {self.dot(item) for item in plain}
        expect(len(dots) == len(plain) > 1, "several different dots")
        return tuple(sorted(dots))


def as_tuple(dots: Dots | None) -> tuple[int, ...]:
    """Returns the dots of a key as a tuple."""
    if dots is None:
        return ()
    return (dots,) if isinstance(dots, int) else dots


def as_dots(dots: Iterable[int]) -> Dots | None:
    """Returns dots as they are held: None for none, one as a bare int, several as a sorted tuple."""
    held = tuple(sorted(dots))
    if len(held) > 1:
        return held
    return held[0] if held else None


def with_dot(old: Dots, dot: int, seen: Seen) -> Dots:
    """Returns the dots of a key after a new one, in place of those that its operation had seen."""
    return as_dots({dot, *unseen(old, seen)}) or dot


def unseen(dots: Dots, seen: Seen) -> list[int]:
    """Returns those of the dots of a key that an operation had not seen."""
    return [dot for dot in as_tuple(dots) if not seen(dot)]
