"""A map of last-writer-wins registers."""

from collections.abc import Hashable
from typing import Any, ClassVar, Generic, Self

from typing_extensions import TypeVar

from crdts.crdt import Crdt
from crdts.dots import Decoder, DotValues, Encoder, Join, Stable
from crdts.elements import check_element, check_value, freeze, identify, in_order, thaw
from crdts.operation import Operation
from crdts.registers import Timestamp, check_timestamp, latest, next_timestamp
from crdts.wire import expect

K = TypeVar("K", bound=Hashable, default=Any)
V = TypeVar("V", default=Any)

_NO_WRITES = DotValues()


def _check_assignment(argument: Any) -> None:
    expect(type(argument) is tuple and len(argument) == 3, "a key, a timestamp and a value")
    check_element(argument[0])
    _check_write_or_removal(argument[1:])


def _check_removal(argument: Any) -> None:
    expect(type(argument) is tuple and len(argument) == 2, "a key and a timestamp")
    check_element(argument[0])
    _check_write_or_removal(argument[1:])


def _check_write_or_removal(write: Any) -> None:
    expect(type(write) is tuple and len(write) in (1, 2), "a timestamp and perhaps a value")
    check_timestamp(write[0])
    if len(write) == 2:
        check_value(write[1])


class LWWMap(Crdt, Generic[K, V]):
    """A map whose keys are each written as an `LWWRegister` is; removing a key is a write, too.

    So of an assignment and a removal that are concurrent, the one with the higher (timestamp, replica id) wins.
    A removal is remembered until it is stable. Keys are as the elements of sets, values as those of registers.

    Shapiro et al. (2011), section 3.2.1, for each key.
    """

    __slots__ = ("_writes",)

    _actions: ClassVar = {"assign": _check_assignment, "remove": _check_removal}

    def _bottom(self) -> None:
        self._writes: dict[Any, DotValues] = {}

    @property
    def value(self) -> dict[K, V]:
        """The keys and what was assigned to them last."""
        shown = {key: write for key in in_order(self._writes) if len(write := self._latest(key)) == 2}
        return {key: thaw(write[1]) for key, write in shown.items()}

    def assign(self, key: K, value: V, timestamp: Timestamp | None = None) -> Operation:
        """Writes a value under a key; see `LWWRegister.assign`.

        Raises:
            TypeError: The key cannot be an element, the value has no plain byte form.
            ValueError: NaN, an int beyond 64 bits; a timestamp beyond 63 bits.
        """
        name = identify(key)
        return self._prepare("assign", (name, self._next_timestamp(name, timestamp), freeze(value)))

    def remove(self, key: K, timestamp: Timestamp | None = None) -> Operation:
        """Removes a key; not an error if there is none."""
        name = identify(key)
        return self._prepare("remove", (name, self._next_timestamp(name, timestamp)))

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        key, *write = argument
        table = self._clock.table
        writes = self._writes.setdefault(key, DotValues())
        writes.drop_seen(table.seen_by(operation))
        writes.values[table.pack(operation)] = tuple(write)

    def _reset(self, operation: Operation) -> None:
        seen = self._clock.table.seen_by(operation)
        for writes in self._writes.values():
            writes.drop_seen(seen)
        self._writes = {key: writes for key, writes in self._writes.items() if writes}

    def _join(self, other: Self, join: Join) -> None:
        for key in self._writes.keys() | other._writes.keys():
            writes = self._writes.setdefault(key, DotValues())
            writes.join(other._writes.get(key, _NO_WRITES), join)
            if not writes:
                del self._writes[key]

    def _fold(self, stable: Stable) -> bool:
        gone = [
            key
            for key, writes in self._writes.items()
            if all(map(stable.covers, writes.values)) and len(self._latest(key)) == 1
        ]
        for key in gone:
            del self._writes[key]
        return bool(gone)

    def _dump(self, encoder: Encoder) -> Any:
        return {key: writes.dump(encoder) for key, writes in self._writes.items()}

    def _load(self, plain: Any, decoder: Decoder) -> None:
        expect(type(plain) is dict, "a map from keys to writes")
        for key, writes in plain.items():
            check_element(key)
            expect(bool(writes), "a key with writes")
            self._writes[key] = DotValues()
            self._writes[key].load(writes, decoder, _check_write_or_removal)

    def _latest(self, key: Any) -> tuple[Any, ...]:
        return latest(self._writes[key], self._clock.table) or ()

    def _next_timestamp(self, key: Any, given: Timestamp | None) -> Timestamp:
        return next_timestamp(self._writes.get(key, _NO_WRITES), given)
