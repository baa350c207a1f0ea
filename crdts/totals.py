"""The numbers behind a counter: what each replica has ever counted, and how much of it has been undone."""

from collections.abc import Mapping
from typing import Any

from crdts.operation import Operation
from crdts.wire import check_replica_id, decode_integer, encode_integer, expect

_NONE: dict[str, int] = {}  # shared by all counters that only one replica has touched; replaced, never filled


class Totals:
    """What each replica has counted in all, and how much of it has been undone.

    Attributes:
        own: What this replica has counted.
        others: What the others have; never changed in place.
        undone: How much of each replica's total has been undone; never changed in place.
    """

    __slots__ = ("others", "own", "undone")

    def __init__(self) -> None:
        self.own = 0
        self.others = _NONE
        self.undone = _NONE

    @property
    def value(self) -> int:
        """What has been counted and not been undone."""
        return self.own + sum(self.others.values()) - sum(self.undone.values())

    def add(self, replica_id: str, amount: int, own_id: str) -> None:
        """Counts an amount of a replica."""
        if replica_id == own_id:
            self.own += amount
        elif amount:
            self.others = {**self.others, replica_id: self.others.get(replica_id, 0) + amount}

    def by_replica(self, own_id: str) -> dict[str, int]:
        """Returns what each replica has counted, those left out that counted nothing."""
        return {own_id: self.own, **self.others} if self.own else self.others

    def observed(self, own_id: str) -> dict[str, int | bytes]:
        """Returns the argument of a clear: the totals that it undoes."""
        return _encoded(self.by_replica(own_id))

    def undo(self, observed: Mapping[str, int | bytes]) -> None:
        """Undoes the totals that a clear has seen."""
        higher = {r: total for r, total in _decoded(observed).items() if total > self.undone.get(r, 0)}
        if higher:
            self.undone = {**self.undone, **higher}

    def dump(self, own_id: str) -> tuple[Any, Any]:
        """Returns the totals as plain values."""
        return self.observed(own_id), _encoded(self.undone)

    def raise_to(self, plain: tuple[Any, Any], own_id: str) -> None:
        """Joins what another's `dump` returned: both numbers only grow, so the join is their maximum."""
        for replica_id, total in _decoded(plain[0]).items():
            have = self.own if replica_id == own_id else self.others.get(replica_id, 0)
            self.add(replica_id, max(0, total - have), own_id)
        self.undo(plain[1])


def check_totals(argument: Any, parts: int) -> None:
    """Refuses decoded totals that are not `parts` maps from replica ids to positive ints."""
    expect(type(argument) is tuple and len(argument) == parts, f"{parts} maps of totals")
    for plain in argument:
        expect(type(plain) is dict, "a map from replica ids to totals")
        for replica_id, total in plain.items():
            check_replica_id(replica_id)
            expect(decode_integer(total) > 0, "a positive total")


def settled(operations: list[Operation]) -> list[Operation]:
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


def _encoded(totals: Mapping[str, int]) -> dict[str, int | bytes]:
    return {replica_id: encode_integer(total) for replica_id, total in totals.items()}


def _decoded(plain: Mapping[str, int | bytes]) -> dict[str, int]:
    return {replica_id: decode_integer(total) for replica_id, total in plain.items()}
