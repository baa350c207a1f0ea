"""Dots packed into integers, and the two stores that most CRDTs are made of.

Inside a CRDT a dot is one int, ``counter << INDEX_BITS | index``: `index` numbers the replicas in the order
in which this object met them (`ReplicaTable`), 0 is the replica itself. An int takes 32 bytes, a tuple of a
str and an int three times that, and comparing ints is what CPython does fastest. Packed dots mean nothing
outside their object; bytes and joins translate them.

The stores are those of Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), sections 5 to 7:
what is not in a store but in the version of its owner has been removed. So no tombstones are kept.

* `DotSets`: key -> the dots that keep it alive (sets, flags, presence of keys).
* `DotValues`: dot -> a value (registers, counters that must be able to vanish).

A key that has one dot, nearly all of them, holds the bare int; several concurrent dots are a tuple, sorted.

After `fold`, a causally stable dot is represented by the first dot of its replica, one shared object: every
operation still to come has seen both, so nobody can tell them apart.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from crdts.errors import CrdtError
from crdts.operation import Operation
from crdts.version_vector import VersionVector
from crdts.wire import REPLICAS_MAX, expect

INDEX_BITS = 20
INDEX_MASK = (1 << INDEX_BITS) - 1
FIRST = 1 << INDEX_BITS

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
    """

    __slots__ = ("here", "shift", "there")

    def __init__(
        self, table: ReplicaTable, version: VersionVector, other_table: ReplicaTable, other_version: VersionVector
    ) -> None:
        self.shift = [table.index(replica_id) - index for index, replica_id in enumerate(other_table.replica_ids)]
        self.here = table.highest(version)
        self.there = table.highest(other_version)

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

    def survivors(self, mine: Dots | None, theirs: Dots | None) -> Dots | None:
        """Returns what is left of a key's dots: those both have, and those only one has seen."""
        ours = as_tuple(mine)
        others = as_tuple(theirs)
        left = {dot for dot in ours if dot in others or self.unseen_there(dot)}
        left.update(dot for dot in others if self.unseen_here(dot))
        return as_dots(left)


class Stable:
    """What is causally stable: every operation still to come has seen it."""

    __slots__ = ("_first", "_highest", "_replica_ids")

    def __init__(self, table: ReplicaTable, version: VersionVector) -> None:
        self._highest = table.highest(version)
        self._first = [FIRST | index for index in range(len(self._highest))]
        self._replica_ids = table.replica_ids

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

        If all are, that of the lowest replica id speaks for them. Folding twice is folding once, by whatever
        versions: so states that were folded at different times still compare and join.
        """
        if isinstance(dots, int):
            return self.first(dots) if self.covers(dots) else dots
        if self.covers_all(dots):
            return self.first(min(dots, key=self._name))
        return as_dots({self.first(dot) if self.covers(dot) else dot for dot in dots}) or dots

    def _name(self, dot: int) -> str:
        return self._replica_ids[dot & INDEX_MASK]


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


class DotSets:
    """Key -> the dots that keep it alive.

    `dots` may be read and, by those who keep its rules, written directly.
    """

    __slots__ = ("dots",)

    def __init__(self) -> None:
        self.dots: dict[Any, Dots] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self.dots

    def __iter__(self) -> Iterator[Any]:
        return iter(self.dots)

    def __len__(self) -> int:
        return len(self.dots)

    def put(self, key: Hashable, dot: int, seen: Seen) -> None:
        """Adds a dot to a key, in place of those that the operation of the dot had seen."""
        old = self.dots.get(key)
        self.dots[key] = dot if old is None else with_dot(old, dot, seen)

    def drop(self, key: Hashable, seen: Seen) -> None:
        """Takes away the dots of a key that an operation had seen."""
        old = self.dots.get(key)
        if old is not None:
            self._keep(key, as_dots(unseen(old, seen)))

    def drop_all(self, seen: Seen) -> None:
        """Takes away all dots that an operation had seen."""
        self.dots = {key: left for key, old in self.dots.items() if (left := as_dots(unseen(old, seen))) is not None}

    def join(self, other: "DotSets", join: Join) -> None:
        """Joins the other store into this one."""
        mine, theirs = self.dots, other.dots
        for key in mine.keys() - theirs.keys():
            dots = mine[key]
            if not (isinstance(dots, int) and dots > join.there[dots & INDEX_MASK]):
                self._keep(key, join.survivors(dots, None))
        here, shift = join.here, join.shift  # this loop is what a merge of large sets takes its time for
        for key, dots in theirs.items():
            translated = dots + shift[dots & INDEX_MASK] if isinstance(dots, int) else join.translate(dots)
            ours = mine.get(key)
            if ours is None and isinstance(translated, int):
                if translated > here[translated & INDEX_MASK]:
                    mine[key] = translated
            elif ours != translated:
                self._keep(key, join.survivors(ours, translated))

    def fold(self, stable: Stable) -> bool:
        """Replaces stable dots by shared ones. Says whether there were any."""
        changed = False
        for key, dots in self.dots.items():
            folded = stable.fold(dots)
            if folded != dots:
                self.dots[key] = folded
                changed = True
        return changed

    def dump(self, encoder: Encoder) -> dict[Any, Any]:
        """Returns the store as a plain map."""
        encode = encoder.dots
        return {key: encode(dots) for key, dots in self.dots.items()}

    def load(self, plain: Any, decoder: Decoder, check: Callable[[Any], None]) -> None:
        """Takes over what `dump` returned, checking keys and dots."""
        expect(type(plain) is dict, "a map from keys to dots")
        for key, dots in plain.items():
            check(key)
            self.dots[key] = decoder.dots(dots)

    def _keep(self, key: Hashable, dots: Dots | None) -> None:
        if dots is None:
            self.dots.pop(key, None)
        else:
            self.dots[key] = dots


class DotValues:
    """Dot -> value: what is not here but in the version of the owner has been overwritten or reset."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.values)

    def drop_seen(self, seen: Seen) -> None:
        """Takes away the values whose dots an operation had seen."""
        for dot in [dot for dot in self.values if seen(dot)]:
            del self.values[dot]

    def join(self, other: "DotValues", join: Join) -> None:
        """Joins the other store into this one."""
        mine = self.values
        theirs = {join.dot(dot): value for dot, value in other.values.items()}
        for dot in [dot for dot in mine if dot not in theirs and not join.unseen_there(dot)]:
            del mine[dot]
        for dot, value in theirs.items():
            if join.unseen_here(dot):
                mine[dot] = value

    def dump(self, encoder: Encoder) -> dict[Any, Any]:
        """Returns the store as a plain map."""
        return {encoder.dots(dot): value for dot, value in self.values.items()}

    def load(self, plain: Any, decoder: Decoder, check: Callable[[Any], None]) -> None:
        """Takes over what `dump` returned, checking values and dots."""
        expect(type(plain) is dict, "a map from dots to values")
        for dot, value in plain.items():
            check(value)
            self.values[decoder.dot(dot)] = value


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
