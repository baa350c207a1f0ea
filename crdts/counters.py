"""Counters: increments of concurrent replicas add up.

A counter on its own keeps two numbers a replica: all that the replica has ever counted, and how much of that
has been undone by `clear`. A clear has seen a prefix of each replica's increments, so the total of this prefix
says exactly what it undoes, and both numbers only ever grow: the state join is the maximum, in the way of the
G-Counter of Shapiro et al. (2011), section 3.1.1. Small for ever, exact for every mix of operations and joins.

Inside an `ORMap` a counter must be able to vanish without a trace. Then the live side has to know what each
increment added, to tell those that a removal had seen from those that it had not (the problem of Baquero,
Almeida and Lerche, "The Problem with Embedded CRDT Counters and a Solution", 2016). There it keeps the amount of
each increment by its dot, until `stabilize` sums them up.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from crdts.crdt import Crdt
from crdts.operation import Operation
from crdts.packed_dots import Decoder, Encoder, Join
from crdts.totals import Totals, check_totals, settled
from crdts.version_vector import COUNTER_MAX, NOTHING_SEEN, VersionVector
from crdts.wire import expect


def check_amount(argument: Any) -> None:
    """Refuses a decoded amount that is not an int from 0 to 2**63 - 1."""
    expect(type(argument) is int and 0 <= argument <= COUNTER_MAX, "an amount from 0 to 2**63 - 1")


def checked_amount(n: object) -> int:
    """Returns an amount that somebody wants to count, or says what is wrong with it."""
    if type(n) is not int:
        raise TypeError(f"an amount is an int, not {n!r:.100}")
    if not 0 <= n <= COUNTER_MAX:
        raise ValueError(f"an amount is from 0 to 2**63 - 1, not {n}")
    return n


class _Counter(Crdt):
    """What the counters have in common: increments, and the way of what was done to a copy."""

    __slots__ = ("_ups",)

    _keeps_dots = False

    def _bottom(self) -> None:
        self._ups = Totals()

    def increment(self, n: int = 1) -> Operation:
        """Adds n, from 0 to 2**63 - 1.

        Raises:
            TypeError: n is not an int.
            ValueError: n is negative or does not fit 63 bits.
        """
        if type(n) is not int or not 0 <= n <= COUNTER_MAX:
            checked_amount(n)
        operation = self._clock.issue(self.type_name, "increment", n)
        self._count_up(n, operation)
        return operation

    def clear(self) -> Operation:
        """Undoes everything that has been seen here, and nothing that is concurrent."""
        return self._prepare("clear", self._observed())

    def adopt(self, operations: Iterable[Operation], seen: VersionVector = NOTHING_SEEN) -> list[Operation]:
        """Applies what was done to an older copy of this counter; see `Crdt.adopt`."""
        return super().adopt(settled(list(operations)), seen)

    # The parts that are different in an ORMap; for `PNCounter.increment`, too, who has no idea of it.

    def _count_up(self, n: int, operation: Operation) -> None:
        self._ups.own += n

    @abstractmethod
    def _observed(self) -> Any:
        """Returns the argument of a clear."""


class GCounter(_Counter):
    """A counter that grows, and can be cleared.

    Shapiro et al., "A Comprehensive Study of Convergent and Commutative Replicated Data Types" (2011), 3.1.1.
    """

    __slots__ = ()

    _actions: ClassVar = {"increment": check_amount, "clear": lambda argument: check_totals(argument, 1)}

    @property
    def value(self) -> int:
        """The sum of all increments that no clear has undone."""
        return self._ups.value

    def _observed(self) -> Any:
        return (self._ups.observed(self.replica_id),)

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        self._ups.add(operation.replica_id, argument, self.replica_id)

    def _clear(self, argument: Any, operation: Operation) -> None:
        self._ups.undo(argument[0])

    def _join(self, other: Self, join: Join) -> None:
        self._ups.raise_to(other._ups.dump(other.replica_id), self.replica_id)

    def _dump(self, encoder: Encoder) -> Any:
        return self._ups.dump(self.replica_id)

    def _load(self, plain: Any, decoder: Decoder) -> None:
        check_totals(plain, 2)
        self._ups.raise_to(plain, self.replica_id)


_NEVER_DOWN = Totals()  # shared by the counters that never go down, of which there may be a million; never changed


class PNCounter(_Counter):
    """A counter that grows and shrinks, and can be cleared.

    Shapiro et al. (2011), section 3.1.3: two counters, one of increments and one of decrements.
    """

    __slots__ = ("_downs",)

    _actions: ClassVar = {
        "increment": check_amount,
        "decrement": check_amount,
        "clear": lambda argument: check_totals(argument, 2),
    }

    def _bottom(self) -> None:
        super()._bottom()
        self._downs = _NEVER_DOWN

    @property
    def value(self) -> int:
        """Increments less decrements, as far as no clear has undone them."""
        return self._ups.value - self._downs.value

    def decrement(self, n: int = 1) -> Operation:
        """Takes n off, from 0 to 2**63 - 1; raises as `increment` does."""
        if type(n) is not int or not 0 <= n <= COUNTER_MAX:
            checked_amount(n)
        operation = self._clock.issue(self.type_name, "decrement", n)
        self._count_down(n, operation)
        return operation

    def _count_down(self, n: int, operation: Operation) -> None:
        self._down_totals.own += n

    def _observed(self) -> Any:
        return (self._ups.observed(self.replica_id), self._downs.observed(self.replica_id))

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        totals = self._ups if action == "increment" else self._down_totals
        totals.add(operation.replica_id, argument, self.replica_id)

    def _clear(self, argument: Any, operation: Operation) -> None:
        self._ups.undo(argument[0])
        if argument[1]:
            self._down_totals.undo(argument[1])

    def _join(self, other: Self, join: Join) -> None:
        self._ups.raise_to(other._ups.dump(other.replica_id), self.replica_id)
        if other._downs is not _NEVER_DOWN:
            self._down_totals.raise_to(other._downs.dump(other.replica_id), self.replica_id)

    def _dump(self, encoder: Encoder) -> Any:
        return (self._ups.dump(self.replica_id), self._downs.dump(self.replica_id))

    def _load(self, plain: Any, decoder: Decoder) -> None:
        expect(type(plain) is tuple and len(plain) == 2, "increments and decrements")
        for part in plain:
            check_totals(part, 2)
        self._ups.raise_to(plain[0], self.replica_id)
        if any(plain[1]):
            self._down_totals.raise_to(plain[1], self.replica_id)

    @property
    def _down_totals(self) -> Totals:
        if self._downs is _NEVER_DOWN:
            self._downs = Totals()
        return self._downs
