"""Flags: what happens when one replica enables what another disables.

Both are off at first. Shapiro et al. (2011); the two semantics as in Riak and Antidote.
"""

from typing import Any, ClassVar, Self

from crdts.crdt import Crdt, check_nothing
from crdts.dots import Decoder, DotSets, Encoder, Join, Stable
from crdts.operation import Operation
from crdts.sets import drop_settled
from crdts.wire import expect

_KEY = None  # a flag is a set that has at most this one element


class EWFlag(Crdt):
    """A flag in which enabling beats concurrent disabling.

    It is on iff some enable has no disable after it.
    """

    __slots__ = ("_enables",)

    _actions: ClassVar = {"enable": check_nothing, "disable": check_nothing}

    def _bottom(self) -> None:
        self._enables = DotSets()

    @property
    def value(self) -> bool:
        """Whether it is on."""
        return _KEY in self._enables

    def enable(self) -> Operation:
        """Turns it on."""
        return self._prepare("enable", None)

    def disable(self) -> Operation:
        """Turns it off, as far as enables have been seen here."""
        return self._prepare("disable", None)

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        table = self._clock.table
        if action == "enable":
            self._enables.put(_KEY, table.pack(operation), table.seen_by(operation))
        else:
            self._enables.drop(_KEY, table.seen_by(operation))

    def _reset(self, operation: Operation) -> None:
        self._enables.drop(_KEY, self._clock.table.seen_by(operation))

    def _join(self, other: Self, join: Join) -> None:
        self._enables.join(other._enables, join)

    def _fold(self, stable: Stable) -> bool:
        return self._enables.fold(stable)

    def _dump(self, encoder: Encoder) -> Any:
        return self._enables.dump(encoder)

    def _load(self, plain: Any, decoder: Decoder) -> None:
        self._enables.load(plain, decoder, check_nothing)


class DWFlag(Crdt):
    """A flag in which disabling beats concurrent enabling.

    It is on iff there is an enable, and every disable has an enable after it.
    """

    __slots__ = ("_disables", "_enables")

    _actions: ClassVar = {"enable": check_nothing, "disable": check_nothing}

    def _bottom(self) -> None:
        self._enables = DotSets()
        self._disables = DotSets()

    @property
    def value(self) -> bool:
        """Whether it is on."""
        return _KEY in self._enables and _KEY not in self._disables

    def enable(self) -> Operation:
        """Turns it on, as far as disables have been seen here."""
        return self._prepare("enable", None)

    def disable(self) -> Operation:
        """Turns it off."""
        return self._prepare("disable", None)

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        table = self._clock.table
        seen = table.seen_by(operation)
        self._enables.drop(_KEY, seen)
        self._disables.drop(_KEY, seen)
        chosen = self._enables if action == "enable" else self._disables
        chosen.put(_KEY, table.pack(operation), seen)

    def _reset(self, operation: Operation) -> None:
        seen = self._clock.table.seen_by(operation)
        self._enables.drop(_KEY, seen)
        self._disables.drop(_KEY, seen)

    def _join(self, other: Self, join: Join) -> None:
        self._enables.join(other._enables, join)
        self._disables.join(other._disables, join)

    def _fold(self, stable: Stable) -> bool:
        folded = self._enables.fold(stable)
        return drop_settled(self._enables, self._disables, stable) or folded

    def _dump(self, encoder: Encoder) -> Any:
        return (self._enables.dump(encoder), self._disables.dump(encoder))

    def _load(self, plain: Any, decoder: Decoder) -> None:
        expect(type(plain) is tuple and len(plain) == 2, "enables and disables")
        self._enables.load(plain[0], decoder, check_nothing)
        self._disables.load(plain[1], decoder, check_nothing)
