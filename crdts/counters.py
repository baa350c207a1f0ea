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

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NoReturn, Self

from crdts.crdt import Crdt
from crdts.dots import Decoder, DotValues, Encoder, Join, Stable
from crdts.operation import Operation, check_replica_id
from crdts.version_vector import COUNTER_MAX, VersionVector
from crdts.wire import decode_integer, encode_integer, expect

_NONE: dict[str, int] = {}  # shared by all counters that only one replica has touched; replaced, never filled


class _Totals:
    """What each replica has counted in all, and how much of it has been undone."""

    __slots__ = ("others", "own", "undone")

    def __init__(self) -> None:
        self.own = 0
        self.others = _NONE
        self.undone = _NONE

    @property
    def value(self) -> int:
        return self.own + sum(self.others.values()) - sum(self.undone.values())

    def add(self, replica_id: str, amount: int, own_id: str) -> None:
        if replica_id == own_id:
            self.own += amount
        elif amount:
            self.others = {**self.others, replica_id: self.others.get(replica_id, 0) + amount}

    def by_replica(self, own_id: str) -> dict[str, int]:
        return {own_id: self.own, **self.others} if self.own else self.others

    def observed(self, own_id: str) -> dict[str, int | bytes]:
        """The argument of a clear: what it undoes."""
        return _encoded(self.by_replica(own_id))

    def undo(self, observed: Mapping[str, int | bytes]) -> None:
        higher = {r: total for r, total in _decoded(observed).items() if total > self.undone.get(r, 0)}
        if higher:
            self.undone = {**self.undone, **higher}

    def dump(self, own_id: str) -> tuple[Any, Any]:
        return self.observed(own_id), _encoded(self.undone)

    def raise_to(self, plain: tuple[Any, Any], own_id: str) -> None:
        for replica_id, total in _decoded(plain[0]).items():
            have = self.own if replica_id == own_id else self.others.get(replica_id, 0)
            self.add(replica_id, max(0, total - have), own_id)
        self.undo(plain[1])


def _encoded(totals: Mapping[str, int]) -> dict[str, int | bytes]:
    return {replica_id: encode_integer(total) for replica_id, total in totals.items()}


def _decoded(plain: Mapping[str, int | bytes]) -> dict[str, int]:
    return {replica_id: decode_integer(total) for replica_id, total in plain.items()}


def _check_integer(plain: Any) -> None:
    decode_integer(plain)


def _check_totals(argument: Any, parts: int) -> None:
    expect(type(argument) is tuple and len(argument) == parts, f"{parts} maps of totals")
    for plain in argument:
        expect(type(plain) is dict, "a map from replica ids to totals")
        for replica_id, total in plain.items():
            check_replica_id(replica_id)
            expect(decode_integer(total) > 0, "a positive total")


def _settled(operations: list[Operation]) -> list[Operation]:
    """Returns a copy's operations such that what a clear among them undoes is a prefix wherever they go.

    1. A copy of a counter counts 5, then clears: the clear has seen the total T at the time of the copy, and 5.
    2. Meanwhile the counter itself has counted 3. Adopted, the 5 come after the 3, which the clear has not seen.
    3. What the clear has seen, T and the 5 but not the 3 between, is no prefix, and no total can say it.

    But nobody else has seen the 5 yet. So they are adopted as 0, and the clear undoes T.
    """
    clears = [place for place, operation in enumerate(operations) if operation.action == "clear"]
    if not clears:
        return operations
    counted = {"increment": 0, "decrement": 0}
    settled: list[Operation] = []
    for operation in operations[: clears[-1] + 1]:
        argument = operation.argument
        if operation.action == "clear":
            parts = zip(argument, counted.values(), strict=False)
            argument = tuple(_less(part, operation.replica_id, amount) for part, amount in parts)
        else:
            counted[operation.action] += argument
            argument = 0
        settled.append(operation.rebased(operation.counter, 0, argument))
    return settled + operations[clears[-1] + 1 :]


def _less(observed: Mapping[str, int | bytes], replica_id: str, amount: int) -> dict[str, int | bytes]:
    totals = _decoded(observed)
    totals[replica_id] = totals.get(replica_id, 0) - amount
    return _encoded({r: total for r, total in totals.items() if total})


def check_amount(argument: Any) -> None:
    """Refuses a decoded amount that is not an int from 0 to 2**63 - 1."""
    expect(type(argument) is int and 0 <= argument <= COUNTER_MAX, "an amount from 0 to 2**63 - 1")


def refuse_amount(n: object) -> NoReturn:
    """Says what is wrong with an amount."""
    if type(n) is not int:
        raise TypeError(f"an amount is an int, not {n!r:.100}")
    raise ValueError(f"an amount is from 0 to 2**63 - 1, not {n}")


class GCounter(Crdt):
    """A counter that grows, and can be cleared.

    Shapiro et al., "A Comprehensive Study of Convergent and Commutative Replicated Data Types" (2011), 3.1.1.
    """

    __slots__ = ("_ups",)

    _keeps_dots = False
    _actions: ClassVar = {"increment": check_amount, "clear": lambda argument: _check_totals(argument, 1)}

    def _bottom(self) -> None:
        self._ups = _Totals()

    @property
    def value(self) -> int:
        """The sum of all increments that no clear has undone."""
        return self._ups.value

    def increment(self, n: int = 1) -> Operation:
        """Adds n, from 0 to 2**63 - 1.

        Raises:
            TypeError: n is not an int.
            ValueError: n is negative or does not fit 63 bits.
        """
        if type(n) is not int or not 0 <= n <= COUNTER_MAX:
            refuse_amount(n)
        operation = self._clock.issue(self.type_name, "increment", n)
        self._ups.own += n
        return operation

    def clear(self) -> Operation:
        """Undoes every increment that has been seen here, and nothing that is concurrent."""
        return self._prepare("clear", (self._ups.observed(self.replica_id),))

    def adopt(self, operations: Iterable[Operation], seen: VersionVector | None = None) -> list[Operation]:
        """Applies what was done to an older copy of this counter; see `Crdt.adopt`."""
        return super().adopt(_settled(list(operations)), seen)

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        self._ups.add(operation.replica_id, argument, self.replica_id)

    def _clear(self, argument: Any, operation: Operation) -> None:
        self._ups.undo(argument[0])

    def _join(self, other: Self, join: Join) -> None:
        self._ups.raise_to(other._ups.dump(other.replica_id), self.replica_id)

    def _dump(self, encoder: Encoder) -> Any:
        return self._ups.dump(self.replica_id)

    def _load(self, plain: Any, decoder: Decoder) -> None:
        _check_totals(plain, 2)
        self._ups.raise_to(plain, self.replica_id)


class PNCounter(Crdt):
    """A counter that grows and shrinks, and can be cleared.

    Shapiro et al. (2011), section 3.1.3: two counters, one of increments and one of decrements.
    """

    __slots__ = ("_downs", "_ups")

    _keeps_dots = False
    _actions: ClassVar = {
        "increment": check_amount,
        "decrement": check_amount,
        "clear": lambda argument: _check_totals(argument, 2),
    }

    def _bottom(self) -> None:
        self._ups = _Totals()
        self._downs = _Totals()

    @property
    def value(self) -> int:
        """Increments less decrements, as far as no clear has undone them."""
        return self._ups.value - self._downs.value

    def increment(self, n: int = 1) -> Operation:
        """Adds n, from 0 to 2**63 - 1.

        Raises:
            TypeError: n is not an int.
            ValueError: n is negative or does not fit 63 bits.
        """
        if type(n) is not int or not 0 <= n <= COUNTER_MAX:
            refuse_amount(n)
        return self._prepare("increment", n)

    def decrement(self, n: int = 1) -> Operation:
        """Takes n off, from 0 to 2**63 - 1; raises as `increment` does."""
        if type(n) is not int or not 0 <= n <= COUNTER_MAX:
            refuse_amount(n)
        return self._prepare("decrement", n)

    def clear(self) -> Operation:
        """Undoes everything that has been seen here, and nothing that is concurrent."""
        return self._prepare("clear", (self._ups.observed(self.replica_id), self._downs.observed(self.replica_id)))

    def adopt(self, operations: Iterable[Operation], seen: VersionVector | None = None) -> list[Operation]:
        """Applies what was done to an older copy of this counter; see `Crdt.adopt`."""
        return super().adopt(_settled(list(operations)), seen)

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        totals = self._ups if action == "increment" else self._downs
        totals.add(operation.replica_id, argument, self.replica_id)

    def _clear(self, argument: Any, operation: Operation) -> None:
        self._ups.undo(argument[0])
        self._downs.undo(argument[1])

    def _join(self, other: Self, join: Join) -> None:
        self._ups.raise_to(other._ups.dump(other.replica_id), self.replica_id)
        self._downs.raise_to(other._downs.dump(other.replica_id), self.replica_id)

    def _dump(self, encoder: Encoder) -> Any:
        return (self._ups.dump(self.replica_id), self._downs.dump(self.replica_id))

    def _load(self, plain: Any, decoder: Decoder) -> None:
        expect(type(plain) is tuple and len(plain) == 2, "increments and decrements")
        for totals, part in zip((self._ups, self._downs), plain, strict=True):
            _check_totals(part, 2)
            totals.raise_to(part, self.replica_id)


class _AmountsByDot(Crdt):
    """The form of a counter inside an `ORMap`: what each operation added, until it is stable."""

    __slots__ = ()

    _keeps_dots = True
    _amounts: DotValues  # the slot is in the two classes below: only one base of a class may have slots

    @property
    def value(self) -> int:
        return sum(self._amounts.values.values())

    def clear(self) -> Operation:
        return self._prepare("clear", None)

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


class _GCounterInMap(_AmountsByDot, GCounter, map_form_of=GCounter):
    """A `GCounter` inside an `ORMap`."""

    __slots__ = ("_amounts",)

    _actions: ClassVar = {"increment": check_amount}

    def _bottom(self) -> None:
        self._amounts = DotValues()

    def increment(self, n: int = 1) -> Operation:
        if type(n) is not int or not 0 <= n <= COUNTER_MAX:
            refuse_amount(n)
        return self._prepare("increment", n)


class _PNCounterInMap(_AmountsByDot, PNCounter, map_form_of=PNCounter):
    """A `PNCounter` inside an `ORMap`."""

    __slots__ = ("_amounts",)

    _actions: ClassVar = {"increment": check_amount, "decrement": check_amount}

    def _bottom(self) -> None:
        self._amounts = DotValues()
