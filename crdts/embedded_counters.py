"""The counters inside an `ORMap`, where they must be able to vanish; see `crdts.counters`."""

from typing import Any, ClassVar, Self

from crdts.counters import GCounter, PNCounter, check_amount
from crdts.crdt import Crdt
from crdts.dots import Decoder, DotValues, Encoder, Join, Stable
from crdts.operation import Operation
from crdts.wire import decode_integer, encode_integer


def _check_integer(plain: Any) -> None:
    decode_integer(plain)


class _AmountsByDot(Crdt):
    """The form of a counter inside an `ORMap`: what each operation added, until it is stable."""

    __slots__ = ()

    _keeps_dots = True
    _amounts: DotValues  # the slot is in the two classes below: only one base of a class may have slots

    @property
    def value(self) -> int:
        return sum(self._amounts.values.values())

    def _count_up(self, n: int, operation: Operation) -> None:
        self._effect("increment", n, operation)

    def _count_down(self, n: int, operation: Operation) -> None:
        self._effect("decrement", n, operation)

    def _observed(self) -> None:
        """Returns None: what a clear undoes is what its operation has seen."""

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        dot = self._clock.table.pack(operation)
        self._set(dot, self._amounts.values.get(dot, 0) + (argument if action == "increment" else -argument))

    def _clear(self, argument: Any, operation: Operation) -> None:
        self._reset(operation)

    def _reset(self, operation: Operation) -> None:
        self._amounts.drop_seen(self._clock.table.seen_by(operation))

    def _join(self, other: Self, join: Join) -> None:
        self._amounts.join(other._amounts, join)

    def _fold(self, stable: Stable) -> bool:
        amounts = self._amounts.values
        folded = [dot for dot in amounts if stable.covers(dot) and dot != stable.first(dot)]
        for dot in folded:
            first = stable.first(dot)
            self._set(first, amounts.get(first, 0) + amounts.pop(dot))
        return bool(folded)

    def _dump(self, encoder: Encoder) -> Any:
        return {dot: encode_integer(amount) for dot, amount in self._amounts.dump(encoder).items()}

    def _load(self, plain: Any, decoder: Decoder) -> None:
        self._amounts.load(plain, decoder, _check_integer)
        self._amounts.values = {dot: decode_integer(amount) for dot, amount in self._amounts.values.items()}

    def _set(self, dot: int, amount: int) -> None:
        if amount:
            self._amounts.values[dot] = amount
        else:  # a dot that adds nothing is as good as none
            self._amounts.values.pop(dot, None)


class _EmbeddedGCounter(_AmountsByDot, GCounter, map_form_of=GCounter):
    """A `GCounter` inside an `ORMap`."""

    __slots__ = ("_amounts",)

    _actions: ClassVar = {"increment": check_amount}

    def _bottom(self) -> None:
        self._amounts = DotValues()


class _EmbeddedPNCounter(_AmountsByDot, PNCounter, map_form_of=PNCounter):
    """A `PNCounter` inside an `ORMap`."""

    __slots__ = ("_amounts",)

    _actions: ClassVar = {"increment": check_amount, "decrement": check_amount}

    def _bottom(self) -> None:
        self._amounts = DotValues()
