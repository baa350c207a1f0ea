"""Sets: what happens when one replica adds what another removes.

All of them keep, for each element, the dots of the additions and removals that still count. Elements are None,
str, bytes, numbers and tuples of these, and equal numbers are one element: see `crdts.elements`.
"""

from collections.abc import Hashable, Iterator
from typing import Any, ClassVar, Generic, Self

from typing_extensions import TypeVar

from crdts.crdt import Crdt
from crdts.dots import INDEX_BITS, Decoder, DotSets, Encoder, Join, Stable
from crdts.elements import check_element, identify
from crdts.operation import Operation
from crdts.packed_dots import as_dots, as_tuple
from crdts.wire import expect

E = TypeVar("E", bound=Hashable, default=Any)


class _Additions(Crdt, Generic[E]):
    """What the sets have in common: elements come by `add`."""

    __slots__ = ("_adds",)

    _actions: ClassVar = {"add": check_element}

    def _bottom(self) -> None:
        self._adds = DotSets()

    @property
    def value(self) -> frozenset[E]:
        """The elements."""
        return frozenset(self._adds)

    def add(self, element: E) -> Operation:
        """Adds an element.

        Raises:
            TypeError: The value cannot be an element.
            ValueError: NaN, an int beyond 64 bits, text that UTF-8 cannot encode.
        """
        key: Any = element
        if type(key) is not str or not key.isascii():
            key = identify(key)
        operation = self._clock.issue(self.type_name, "add", key)
        self._adds.dots[key] = operation.counter << INDEX_BITS  # whatever kept it so far has been seen
        return operation

    def __contains__(self, element: object) -> bool:
        return identify(element) in self._adds

    def __iter__(self) -> Iterator[E]:
        return iter(self.value)

    def __len__(self) -> int:
        return len(self._adds)

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        table = self._clock.table
        self._adds.put(argument, table.pack(operation), table.seen_by(operation))

    def _reset(self, operation: Operation) -> None:
        self._adds.drop_all(self._clock.table.seen_by(operation))

    def _join(self, other: Self, join: Join) -> None:
        self._adds.join(other._adds, join)

    def _fold(self, stable: Stable) -> bool:
        return self._adds.fold(stable)

    def _dump(self, encoder: Encoder) -> Any:
        return self._adds.dump(encoder)

    def _load(self, plain: Any, decoder: Decoder) -> None:
        self._adds.load(plain, decoder, check_element)


class GSet(_Additions[E]):
    """A set that grows, and can be cleared.

    Shapiro et al., "A Comprehensive Study of Convergent and Commutative Replicated Data Types" (2011), 3.3.1.
    """

    __slots__ = ()


class ORSet(_Additions[E]):
    """A set in which an addition beats a concurrent removal.

    x is in it iff some add of x has no remove of x after it.

    Shapiro et al. (2011), section 3.3.5, in the form of Bieniusa et al., "An Optimized Conflict-free Replicated
    Set" (2012): live dots and a version vector, no tombstones.
    """

    __slots__ = ()

    _actions: ClassVar = {"add": check_element, "remove": check_element}

    def remove(self, element: E) -> Operation:
        """Removes an element, as far as its additions have been seen here; not an error if there is none."""
        return self._prepare("remove", identify(element))

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "add":
            super()._effect(action, argument, operation)
        else:
            self._adds.drop(argument, self._clock.table.seen_by(operation))


class _Removals(_Additions[E]):
    """What the sets have in common that remember removals."""

    __slots__ = ("_removes",)

    _actions: ClassVar = {"add": check_element, "remove": check_element}

    def _bottom(self) -> None:
        super()._bottom()
        self._removes = DotSets()

    @property
    def value(self) -> frozenset[E]:
        """The elements."""
        return frozenset(self._adds.dots.keys() - self._removes.dots.keys())

    def add(self, element: E) -> Operation:
        """Adds an element; raises as `ORSet.add` does."""
        return self._prepare("add", identify(element))

    def remove(self, element: E) -> Operation:
        """Removes an element, whether or not it has been seen here."""
        return self._prepare("remove", identify(element))

    def __contains__(self, element: object) -> bool:
        key = identify(element)
        return key in self._adds and key not in self._removes

    def __len__(self) -> int:
        return len(self.value)

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "add":
            super()._effect(action, argument, operation)
            return
        table = self._clock.table
        seen = table.seen_by(operation)
        self._adds.drop(argument, seen)
        self._removes.put(argument, table.pack(operation), seen)

    def _reset(self, operation: Operation) -> None:
        super()._reset(operation)
        self._removes.drop_all(self._clock.table.seen_by(operation))

    def _join(self, other: Self, join: Join) -> None:
        super()._join(other, join)
        self._removes.join(other._removes, join)

    def _dump(self, encoder: Encoder) -> Any:
        return (self._adds.dump(encoder), self._removes.dump(encoder))

    def _load(self, plain: Any, decoder: Decoder) -> None:
        expect(type(plain) is tuple and len(plain) == 2, "additions and removals")
        self._adds.load(plain[0], decoder, check_element)
        self._removes.load(plain[1], decoder, check_element)


class TwoPhaseSet(_Removals[E]):
    """A set in which what is removed never comes back.

    x is in it iff there is an add of x and no remove of x. A removal may come before the addition.

    Shapiro et al. (2011), section 3.3.2.
    """

    __slots__ = ()

    def _fold(self, stable: Stable) -> bool:
        folded = [super()._fold(stable), self._removes.fold(stable)]
        beaten = [key for key in self._removes if key in self._adds and settled(key, self._adds, self._removes, stable)]
        for key in beaten:
            del self._adds.dots[key]
        return any(folded) or bool(beaten)


class RWSet(_Removals[E]):
    """A set in which a removal beats a concurrent addition, of an element never seen, too.

    x is in it iff there is an add of x, and every remove of x has an add of x after it.

    Bieniusa et al., "Brief Announcement: Semantics of Eventually Consistent Replicated Sets" (2012).
    """

    __slots__ = ()

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "add":
            self._removes.drop(argument, self._clock.table.seen_by(operation))
        super()._effect(action, argument, operation)

    def _fold(self, stable: Stable) -> bool:
        folded = super()._fold(stable)
        return drop_settled(self._adds, self._removes, stable) or folded


def settled(key: Hashable, positive: DotSets, negative: DotSets, stable: Stable) -> bool:
    """Says whether a negation is stable and so is everything that it beats.

    The two are concurrent, so the positive ones are beaten for ever, unless a `clear` takes away the negative
    ones alone; but every clear to come has seen both.
    """
    return any(map(stable.covers, as_tuple(negative.dots[key]))) and stable.covers_all(positive.dots.get(key))


def drop_settled(positive: DotSets, negative: DotSets, stable: Stable) -> bool:
    """Forgets stable negations with what they beat; says whether there were any."""
    keys = [key for key in negative if settled(key, positive, negative, stable)]
    for key in keys:
        positive.dots.pop(key, None)
        left = as_dots(dot for dot in as_tuple(negative.dots.pop(key)) if not stable.covers(dot))
        if left is not None:
            negative.dots[key] = left
    return bool(keys)
