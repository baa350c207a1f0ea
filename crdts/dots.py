"""The two stores of dots that most CRDTs are made of; with what authors of types need beside them.

They are those of Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), sections 5 to 7: what is not in
a store but in the version of its owner has been removed. So no tombstones are kept.

* `DotSets`: key -> the dots that keep it alive (sets, flags).
* `DotValues`: dot -> a value (registers, counters that must be able to vanish).

After `fold`, a causally stable dot is represented by the first dot of its replica, one shared object: every
operation still to come has seen both, so nobody can tell them apart.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Any

from crdts.packed_dots import (
    FIRST,
    INDEX_BITS,
    INDEX_MASK,
    Decoder,
    Dots,
    Encoder,
    Join,
    ReplicaTable,
    Seen,
    Stable,
    as_dots,
    unseen,
    with_dot,
)
from crdts.wire import expect

__all__ = [
    "FIRST",
    "INDEX_BITS",
    "INDEX_MASK",
    "Decoder",
    "DotSets",
    "DotValues",
    "Encoder",
    "Join",
    "ReplicaTable",
    "Stable",
]


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
        if join.is_copy:
            mine.update(theirs)  # ten times as fast as to look at each
            return
        several = {*_keys_of_several(mine), *_keys_of_several(theirs)}
        left = {key: join.survivors(mine.pop(key, None), join.translate(theirs.get(key, ()))) for key in several}
        if several:
            theirs = {key: dot for key, dot in theirs.items() if key not in several}
        self._join_single(theirs, join)
        mine.update((key, dots) for key, dots in left.items() if dots is not None)

    def _join_single(self, theirs: dict[Any, Any], join: Join) -> None:
        """Joins a store into this one; in both, each key has one dot, as nearly all keys have.

        This is what a merge of large sets takes its time for. So each key of theirs is looked up in mine once, and
        only if its dot is news; passes that collect the news first would have to find their keys again.
        """
        mine: dict[Any, Any] = self.dots
        shift, seen = join.shift, join.seen_here
        for key in join.keys_seen_there(mine):
            dot = theirs.get(key)
            if dot is None or dot + shift[dot & INDEX_MASK] != mine[key]:
                del mine[key]
        put = mine.setdefault
        for key, dot in theirs.items():
            index = dot & INDEX_MASK
            if dot > seen[index]:
                new = dot + shift[index]
                ours = put(key, new)
                if ours != new:
                    mine[key] = (ours, new) if ours < new else (new, ours)

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


def _keys_of_several(dots: dict[Any, Dots]) -> list[Any]:
    """Returns the keys that have several dots."""
    if tuple not in set(map(type, dots.values())):  # as is nearly always so, and found in a tenth of the time
        return []
    return [key for key, several in dots.items() if type(several) is tuple]


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
