"""A map from keys to CRDTs of any type, maps included."""
# ruff: noqa: SLF001 - a map drives the CRDTs in it by the parts that their authors write

from collections.abc import Callable, Hashable, Iterator
from typing import Any, ClassVar, Generic, Self, get_origin

from typing_extensions import TypeVar

from crdts.clock import Dormant, Session
from crdts.crdt import Crdt
from crdts.crdt_type import CrdtType, crdt_type
from crdts.elements import check_element, identify, in_order
from crdts.errors import UpdateInterruptedError
from crdts.operation import Operation
from crdts.packed_dots import Decoder, Dots, Encoder, Join, Stable, as_dots, unseen, with_dot
from crdts.wire import MAPS_DEEP_MAX, expect

K = TypeVar("K", bound=Hashable, default=Any)
C = TypeVar("C", bound=Crdt)


class _Entry:
    """A value in an `ORMap`, and the dots of the updates that keep it there; () for one that is not in it."""

    __slots__ = ("dots", "value")

    def __init__(self, dots: Dots, value: CrdtType) -> None:
        self.dots = dots
        self.value = value


def _check_update(argument: Any) -> None:
    expect(type(argument) is tuple and len(argument) == 3, "a key, a type and actions")
    key, type_name, actions = argument
    check_element(key)
    expect(type(type_name) is str and type(actions) is tuple, "the name of a type and actions")
    form = crdt_type(type_name)._in_map()
    for action in actions:
        expect(type(action) is tuple and len(action) == 2 and type(action[0]) is str, "an action and its argument")
        form._check(*action)


class ORMap(Crdt, Generic[K]):
    """A map from keys to CRDTs of any type, in which an update beats a concurrent removal.

    A key is in it iff some update of it has no removal after it. Its value is a CRDT of its own, made by the
    updates that no removal has seen: `remove(key)` is an observed reset of the value, so what a concurrent update
    did to it stays, and nothing else does. A removed key leaves nothing behind.

    Should replicas concurrently give one key values of different types, all are kept, and the one with the
    alphabetically first name is shown; `remove` removes them all.

    Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), section 7.3, with the presence of keys
    as in Brown et al., "Riak DT Map" (2014): a value may be empty and its key still there.
    """

    __slots__ = ("_dormant", "_entries")

    _actions: ClassVar = {"update": _check_update, "remove": check_element}

    def _bottom(self) -> None:
        self._entries: dict[Any, dict[str, _Entry]] = {}
        self._dormant = Dormant(self._clock.table, self._clock.depth + 1)

    @property
    def value(self) -> dict[K, Any]:
        """The keys and the values of their CRDTs, in the order of the keys."""
        return {key: self[key] for key in in_order(self._entries)}

    def __getitem__(self, key: K) -> Any:
        """Returns the value of the CRDT under a key; KeyError if there is none."""
        entries = self._entries[identify(key)]
        return entries[min(entries)].value.value

    def __contains__(self, key: object) -> bool:
        return identify(key) in self._entries

    def __iter__(self) -> Iterator[K]:
        return iter(in_order(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def update(self, key: K, crdt_type: type[C], change: Callable[[C], object]) -> Operation:
        """Changes the CRDT under a key; it is there afterwards, even if nothing was done to it.

        Args:
            key: As the elements of sets.
            crdt_type: The type of the CRDT; one that is not there yet starts empty.
            change: Called once, with the CRDT; calls the methods that change it, as often as it likes. All that
                it does is one operation.

        Raises:
            TypeError: The value cannot be a key; under the key is a CRDT of another type; nothing has changed.
            ValueError: The key is NaN or the like; maps are nested over 32 deep; nothing has changed.
            UpdateInterruptedError: `change` raised after it had done something, which stands. What it raises
                before it has done anything comes through as it is, and nothing has changed.
        """
        name = identify(key)
        entry = self._entry_for(name, get_origin(crdt_type) or crdt_type)
        draft = self._clock.draft(self.type_name)
        session = Session(self._clock.table, self._dormant.depth, draft)
        interruption = self._run_change(entry.value, session, change)
        self._keep(name, entry, draft)
        self._clock.finish(draft, "update", (name, entry.value.type_name, tuple(session.actions)))
        if interruption is None:
            return draft
        if isinstance(interruption, Exception):
            raise UpdateInterruptedError(draft) from interruption
        raise interruption  # KeyboardInterrupt and the like stay what they are

    def remove(self, key: K) -> Operation:
        """Removes a key, as far as its updates have been seen here; not an error if there is none."""
        return self._prepare("remove", identify(key))

    def _entry_for(self, key: Any, crdt_type: Any) -> _Entry:
        entries = self._entries.get(key, {})
        if not (isinstance(crdt_type, type) and issubclass(crdt_type, Crdt)):
            raise TypeError(f"the values of an ORMap are CRDTs, not {crdt_type!r:.100}")
        if entries and crdt_type.type_name not in entries:
            raise TypeError(f"under the key {key!r:.100} is a {min(entries)}, not a {crdt_type.type_name}")
        if self._dormant.depth > MAPS_DEEP_MAX:
            raise ValueError(f"maps can be nested {MAPS_DEEP_MAX} deep")
        return self._entry(key, crdt_type)

    def _run_change(self, value: CrdtType, session: Session, change: Callable[[Any], object]) -> BaseException | None:
        clock = self._clock
        self._clock, value._clock = self._dormant, session
        try:
            change(value)
        except BaseException as error:
            if not session.actions:
                raise
            return error
        finally:
            self._clock, value._clock = clock, self._dormant
        return None

    def _entry(self, key: Any, crdt_type: type[CrdtType]) -> _Entry:
        """Returns the entry of that key and type, or a new one that is not in the map yet."""
        entry = self._entries.get(key, {}).get(crdt_type.type_name)
        return entry or _Entry((), crdt_type._inside(self._dormant))

    def _keep(self, key: Any, entry: _Entry, operation: Operation) -> None:
        table = self._clock.table
        entry.dots = with_dot(entry.dots, table.pack(operation), table.seen_by(operation))
        self._entries.setdefault(key, {})[entry.value.type_name] = entry

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "remove":
            self._reset_key(argument, operation)
            return
        key, type_name, actions = argument
        entry = self._entry(key, crdt_type(type_name))
        for nested, nested_argument in actions:
            entry.value._run(nested, nested_argument, operation)
        self._keep(key, entry, operation)

    def _reset(self, operation: Operation) -> None:
        for key in list(self._entries):
            self._reset_key(key, operation)

    def _reset_key(self, key: Any, operation: Operation) -> None:
        seen = self._clock.table.seen_by(operation)
        entries = self._entries.get(key, {})
        for entry in entries.values():
            entry.dots = as_dots(unseen(entry.dots, seen)) or ()
            entry.value._reset(operation)
        self._put(key, entries)

    def _join(self, other: Self, join: Join) -> None:
        for key in self._entries.keys() | other._entries.keys():
            mine, theirs = self._entries.get(key, {}), other._entries.get(key, {})
            for type_name in mine.keys() | theirs.keys():
                self._join_entry(mine, theirs, type_name, join)
            self._put(key, mine)

    def _join_entry(self, mine: dict[str, _Entry], theirs: dict[str, _Entry], type_name: str, join: Join) -> None:
        form = crdt_type(type_name)
        entry = mine.setdefault(type_name, _Entry((), form._inside(self._dormant)))
        other = theirs.get(type_name) or _Entry((), form._inside(self._dormant))
        entry.dots = join.survivors(entry.dots, join.translate(other.dots)) or ()
        if entry.dots:
            entry.value._join(other.value, join)

    def _put(self, key: Any, entries: dict[str, _Entry]) -> None:
        """Keeps what still has dots: without any, there is nothing left in the value, either."""
        left = {type_name: entry for type_name, entry in entries.items() if entry.dots}
        if left:
            self._entries[key] = left
        else:
            self._entries.pop(key, None)

    def _fold(self, stable: Stable) -> bool:
        changed = [self._fold_entry(entry, stable) for entries in self._entries.values() for entry in entries.values()]
        return any(changed)

    @staticmethod
    def _fold_entry(entry: _Entry, stable: Stable) -> bool:
        dots, entry.dots = entry.dots, stable.fold(entry.dots)
        return entry.value._fold(stable) or dots != entry.dots

    def _dump(self, encoder: Encoder) -> Any:
        return {
            key: {name: (encoder.dots(entry.dots), entry.value._dump(encoder)) for name, entry in entries.items()}
            for key, entries in self._entries.items()
        }

    def _load(self, plain: Any, decoder: Decoder) -> None:
        expect(type(plain) is dict and self._clock.depth <= MAPS_DEEP_MAX, "a map from keys to values")
        for key, entries in plain.items():
            check_element(key)
            expect(type(entries) is dict and len(entries) > 0, "a map from types to values")
            for type_name, pair in entries.items():
                expect(type(type_name) is str and type(pair) is tuple and len(pair) == 2, "dots and a state")
                entry = _Entry(decoder.dots(pair[0]), crdt_type(type_name)._inside(self._dormant))
                entry.value._load(pair[1], decoder)
                self._entries.setdefault(key, {})[type_name] = entry

    @classmethod
    def _may_refuse(cls, action: str, argument: Any) -> bool:
        if action != "update":
            return False
        form = crdt_type(argument[1])._in_map()
        return any(form._may_refuse(*nested) for nested in argument[2])

    def _adopt_action(self, action: str, argument: Any, operation: Operation, renumber: Callable[[int], int]) -> Any:
        if action != "update":
            return super()._adopt_action(action, argument, operation, renumber)
        key, type_name, actions = argument
        entry = self._entry(key, crdt_type(type_name))
        adopted = tuple(
            (nested, entry.value._adopt_action(nested, nested_argument, operation, renumber))
            for nested, nested_argument in actions
        )
        self._keep(key, entry, operation)
        return (key, type_name, adopted)
