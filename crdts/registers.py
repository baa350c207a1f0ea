"""Registers: what happens when two replicas write to one place.

Both keep every write that no other write has seen, by its dot. They differ in what they show: the last of
them, or all.
"""

from math import floor, isfinite
from typing import Any, ClassVar, Generic, Self

from typing_extensions import TypeVar

from crdts.crdt import Crdt
from crdts.dots import INDEX_BITS, INDEX_MASK, Decoder, DotValues, Encoder, Join, ReplicaTable
from crdts.elements import check_hashable, check_value, freeze, hashable, thaw
from crdts.operation import Operation
from crdts.version_vector import COUNTER_MAX
from crdts.wire import encode, expect

V = TypeVar("V", default=Any)

Timestamp = int | float


def latest(writes: DotValues, table: ReplicaTable) -> tuple[Any, ...] | None:
    """Returns the write that beats the others, each of them a tuple that starts with a timestamp."""

    def rank(dot: int) -> tuple[Timestamp, str, int]:
        return writes.values[dot][0], table.replica_ids[dot & INDEX_MASK], dot >> INDEX_BITS

    return writes.values[max(writes.values, key=rank)] if writes.values else None


def next_timestamp(writes: DotValues, given: Timestamp | None) -> Timestamp:
    """Returns the timestamp of a new write: the given one, or one above the highest of those seen."""
    if given is None:
        highest = max((write[0] for write in writes.values.values()), default=0)
        return min(floor(highest) + 1, COUNTER_MAX)
    if type(given) not in (int, float):
        raise TypeError(f"a timestamp is an int or a float, not {given!r:.100}")
    if not _is_timestamp(given):
        raise ValueError(f"a timestamp is finite and fits 63 bits; this one is not: {given!r:.100}")
    return given


def check_write(argument: Any) -> None:
    """Refuses a decoded write that is not a timestamp and a value."""
    expect(type(argument) is tuple and len(argument) == 2, "a timestamp and a value")
    check_timestamp(argument[0])
    check_value(argument[1])


def check_timestamp(argument: Any) -> None:
    """Refuses a decoded timestamp that is not one."""
    expect(type(argument) in (int, float) and _is_timestamp(argument), "a timestamp")


def _is_timestamp(number: Timestamp) -> bool:
    return isfinite(number) and -COUNTER_MAX <= number <= COUNTER_MAX


class _Writes(Crdt, Generic[V]):
    """What the registers have in common: the writes that no other write has seen."""

    __slots__ = ("_writes",)

    def _bottom(self) -> None:
        self._writes = DotValues()

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        table = self._clock.table
        self._writes.drop_seen(table.seen_by(operation))
        self._writes.values[table.pack(operation)] = argument

    def _reset(self, operation: Operation) -> None:
        self._writes.drop_seen(self._clock.table.seen_by(operation))

    def _join(self, other: Self, join: Join) -> None:
        self._writes.join(other._writes, join)

    def _dump(self, encoder: Encoder) -> Any:
        return self._writes.dump(encoder)

    def _load(self, plain: Any, decoder: Decoder) -> None:
        self._writes.load(plain, decoder, self._actions["assign"])


class LWWRegister(_Writes[V]):
    """A register that shows the last write.

    A write beats those that its writer had seen, whatever their timestamps: a clock that was once far ahead
    does not win for ever. Among concurrent writes the higher (timestamp, replica id) wins. Writes that lose are
    kept until somebody who has seen them writes, because what beats them today may be overwritten by a write
    that they beat.

    Values are None, bool, int of 64 bits, float, str, bytes, and lists and dictionaries with str keys of these; a
    tuple comes back as a list.

    Shapiro et al. (2011), section 3.2.1, after Johnson and Thomas, RFC 677 (1975).
    """

    __slots__ = ()

    _actions: ClassVar = {"assign": check_write}

    @property
    def value(self) -> V | None:
        """What was written last, None at first."""
        winner = latest(self._writes, self._clock.table)
        return thaw(winner[1]) if winner else None

    @property
    def timestamp(self) -> Timestamp | None:
        """The timestamp of the last write."""
        winner = latest(self._writes, self._clock.table)
        return winner[0] if winner else None

    def assign(self, value: V, timestamp: Timestamp | None = None) -> Operation:
        """Writes a value.

        Args:
            value: What to write.
            timestamp: Decides among concurrent writes; one above the highest seen here if it is not given.

        Raises:
            TypeError: The value has no plain byte form; the timestamp is not a number.
            ValueError: NaN, an int beyond 64 bits; a timestamp beyond 63 bits.
        """
        return self._prepare("assign", (next_timestamp(self._writes, timestamp), freeze(value)))


class MVRegister(_Writes[V]):
    """A register that shows all concurrent writes, until one who has seen them writes.

    Values must be hashable: None, bool, int of 64 bits, float, str, bytes and tuples of these. Should replicas
    concurrently write values that Python takes for equal (1 and True), all replicas show the same one of them.

    Shapiro et al. (2011), section 3.2.2; DeCandia et al., "Dynamo" (2007), section 4.4.
    """

    __slots__ = ()

    _actions: ClassVar = {"assign": check_hashable}

    @property
    def value(self) -> frozenset[V]:
        """The values that no write has replaced."""
        return frozenset(sorted(self._writes.values.values(), key=encode))

    def assign(self, value: V) -> Operation:
        """Writes a value in place of all that are seen here.

        Raises:
            TypeError: The value cannot be in a set.
            ValueError: NaN, an int beyond 64 bits, text that UTF-8 cannot encode.
        """
        return self._prepare("assign", hashable(value))
