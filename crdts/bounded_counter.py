"""A counter that never goes below zero, by escrow.

Every unit of the counter is a right that some replica holds: whoever increments gets the rights, whoever
decrements spends rights of its own, and rights are transferred, never copied. No replica can spend what it does
not hold, so no interleaving of operations takes the counter below zero.

Rights are held as *credits*. A credit is an amount, tagged with the dot of the increment or transfer that made it
and the replica that owns it. Only the owner spends from it, in its own order, so the amount spent is a number that
only grows, and the state join takes the maximum. A credit that is spent goes; by the rule of dots, whoever has
seen its dot and does not have it knows that.

Balegas et al., "Extending Eventually Consistent Cloud Databases for Enforcing Numeric Invariants" (2015);
O'Neil, "The Escrow Transactional Method" (1986).
"""

from collections.abc import Callable
from typing import Any, ClassVar, Self

from crdts.counters import check_amount, checked_amount
from crdts.crdt import Crdt, checked_replica_id
from crdts.errors import InsufficientRightsError
from crdts.operation import Operation
from crdts.packed_dots import Decoder, Encoder, Join
from crdts.wire import check_replica_id, decode_integer, encode_integer, expect

Spending = tuple[tuple[str, int, int], ...]  # replica id and counter of a credit's dot, and the amount taken from it
Credits = dict[tuple[int, str], tuple[int, int]]  # dot and owner -> amount and how much of it is spent


def _check_spending(argument: Any) -> None:
    expect(type(argument) is tuple and len(argument) == 2, "an amount and what it is taken from")
    check_amount(argument[0])
    expect(type(argument[1]) is tuple, "credits")
    for item in argument[1]:
        expect(type(item) is tuple and len(item) == 3, "a credit and an amount")
        check_replica_id(item[0])
        check_amount(item[1])
        check_amount(item[2])
    expect(sum(item[2] for item in argument[1]) == argument[0], "credits that amount to what is spent")


def _check_transfer(argument: Any) -> None:
    expect(type(argument) is tuple and len(argument) == 3, "a spending and a receiver")
    _check_spending(argument[:2])
    check_replica_id(argument[2])


class BoundedCounter(Crdt):
    """A counter that never goes below zero.

    `clear()` voids the rights that have been seen here, wherever they are, as far as they are still unspent; rights
    that are concurrently transferred survive with their receiver. A decrement that is concurrent to a clear
    may spend what the clear voids; it is then undone together with the increment that it spent from. Each increment
    that is not spent takes space of its own.
    """

    __slots__ = ("_credits",)

    _actions: ClassVar = {"increment": check_amount, "decrement": _check_spending, "transfer": _check_transfer}

    def _bottom(self) -> None:
        self._credits: Credits = {}

    @property
    def value(self) -> int:
        """The unspent rights of all replicas: increments less decrements."""
        return sum(amount - spent for amount, spent in self._credits.values())

    def rights(self, replica_id: str | None = None) -> int:
        """Returns what a replica, by default this one, may still decrement or transfer, as far as is known here."""
        holder = self._own_id if replica_id is None else replica_id
        return sum(amount - spent for (_, owner), (amount, spent) in self._credits.items() if owner == holder)

    def increment(self, n: int = 1) -> Operation:
        """Adds n, from 0 to 2**63 - 1, and gives this replica the rights to it.

        Raises:
            TypeError: n is not an int.
            ValueError: n is negative or does not fit 63 bits.
        """
        return self._prepare("increment", checked_amount(n))

    def decrement(self, n: int = 1) -> Operation:
        """Takes n off, for which this replica needs rights.

        Raises:
            InsufficientRightsError: It holds fewer than n; nothing has changed.
            TypeError: n is not an int.
            ValueError: n is negative or does not fit 63 bits.
        """
        return self._prepare("decrement", (n, self._spending(checked_amount(n))))

    def transfer(self, n: int, to: str) -> Operation:
        """Gives n of this replica's rights to another; to itself is allowed and changes nothing.

        Raises:
            InsufficientRightsError: It holds fewer than n; nothing has changed.
            TypeError: n is not an int, `to` is not a str.
            ValueError: n is negative or does not fit 63 bits; `to` is not a replica id.
        """
        checked_replica_id(to)
        return self._prepare("transfer", (n, self._spending(checked_amount(n)), to))

    def _spending(self, n: int) -> Spending:
        """Chooses the credits to take n from, those first that have been here longest."""
        taken: list[tuple[str, int, int]] = []
        needed = n
        for (dot, owner), (amount, spent) in self._credits.items():
            if not needed:
                break
            if owner == self._own_id:
                part = min(needed, amount - spent)
                taken.append((*self._clock.table.unpack(dot), part))
                needed -= part
        if needed:
            raise InsufficientRightsError(self._own_id, n, n - needed)
        return tuple(taken)

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "increment":
            self._credit(argument, operation.replica_id, operation)
            return
        for replica_id, counter, part in argument[1]:
            self._spend(self._clock.table.pack_dot(replica_id, counter), operation.replica_id, part)
        if action == "transfer":
            self._credit(argument[0], argument[2], operation)

    def _credit(self, n: int, owner: str, operation: Operation) -> None:
        key = (self._clock.table.pack(operation), owner)
        amount, spent = self._credits.get(key, (0, 0))
        if n:
            self._credits[key] = (amount + n, spent)

    def _spend(self, dot: int, owner: str, part: int) -> None:
        credit = self._credits.get((dot, owner))
        if credit is None:
            return  # a concurrent clear has voided it
        amount, spent = credit
        if spent + part < amount:
            self._credits[dot, owner] = (amount, spent + part)
        else:
            del self._credits[dot, owner]

    def _reset(self, operation: Operation) -> None:
        seen = self._clock.table.seen_by(operation)
        self._credits = {key: credit for key, credit in self._credits.items() if not seen(key[0])}

    def _join(self, other: Self, join: Join) -> None:
        theirs = {(join.dot(dot), owner): credit for (dot, owner), credit in other._credits.items()}
        for key, (amount, spent) in list(self._credits.items()):
            if key in theirs:
                self._credits[key] = (amount, max(spent, theirs[key][1]))
            elif not join.unseen_there(key[0]):
                del self._credits[key]
        self._credits.update({key: credit for key, credit in theirs.items() if join.unseen_here(key[0])})

    def _dump(self, encoder: Encoder) -> Any:
        return {
            (encoder.dots(dot), owner): (encode_integer(amount), encode_integer(spent))
            for (dot, owner), (amount, spent) in self._credits.items()
        }

    def _load(self, plain: Any, decoder: Decoder) -> None:
        expect(type(plain) is dict, "a map from credits to amounts")
        for key, credit in plain.items():
            expect(type(key) is tuple and len(key) == 2, "a dot and an owner")
            expect(type(credit) is tuple and len(credit) == 2, "an amount and what is spent of it")
            check_replica_id(key[1])
            amount, spent = map(decode_integer, credit)
            expect(0 <= spent < amount, "less spent than there is")
            self._credits[decoder.dot(key[0]), key[1]] = (amount, spent)

    @classmethod
    def _may_refuse(cls, action: str, argument: Any) -> bool:
        return action in ("decrement", "transfer")

    def _adopt_action(self, action: str, argument: Any, operation: Operation, renumber: Callable[[int], int]) -> Any:
        if self._may_refuse(action, argument):  # choose the credits anew: those chosen may be spent by now
            argument = (argument[0], self._spending(argument[0]), *argument[2:])
        return super()._adopt_action(action, argument, operation, renumber)
