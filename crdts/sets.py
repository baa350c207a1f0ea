"""Sets: what happens when one replica adds what another removes.

All of them keep, for each element, the dots of the additions (or removals) that count, and no tombstones.
"""

from collections.abc import Hashable, Iterator
from typing import Any, ClassVar, Generic, Self

from typing_extensions import TypeVar

from crdts.crdt import Crdt
from crdts.dots import INDEX_BITS, Decoder, DotSets, Encoder, Join, Stable
from crdts.elements import check_element, identify
from crdts.operation import Operation

E = TypeVar("E", bound=Hashable, default=Any)


class ORSet(Crdt, Generic[E]):
    """A set in which an addition beats a concurrent removal.

    x is in it iff some add of x has no remove of x after it. Elements are None, str, bytes, numbers and tuples
    of these; equal numbers are one element (see `crdts.elements`).

    Shapiro et al. (2011), section 3.3.5, in the form of Bieniusa et al., "An Optimized Conflict-free Replicated
    Set" (2012): live dots and a version vector, no tombstones.
    """

    __slots__ = ("_adds",)

    _actions: ClassVar = {"add": check_element, "remove": check_element}

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

    def remove(self, element: E) -> Operation:
        """Removes an element, as far as its additions have been seen here; not an error if there is none."""
        return self._prepare("remove", identify(element))

    def __contains__(self, element: object) -> bool:
        return identify(element) in self._adds

    def __iter__(self) -> Iterator[E]:
        return iter(self.value)

    def __len__(self) -> int:
        return len(self._adds)

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        table = self._clock.table
        if action == "add":
            self._adds.put(argument, table.pack(operation), table.seen_by(operation))
        else:
            self._adds.drop(argument, table.seen_by(operation))

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
