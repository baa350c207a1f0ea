"""The parts of a CRDT that the author of a type writes; `crdts.crdt` says how, and what the rules are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from inspect import isabstract
from typing import Any, ClassVar, Self, cast

from crdts.clock import Clock, Dormant, Session
from crdts.errors import MalformedOperationError
from crdts.operation import Operation
from crdts.packed_dots import Decoder, Encoder, Join, Stable
from crdts.wire import expect

Check = Callable[[Any], None]

_types: dict[str, type["CrdtType"]] = {}


class CrdtType(ABC):
    """What makes a type: the empty state, the effects of its actions, the join, the way to plain values."""

    __slots__ = ("_clock",)

    type_name: ClassVar[str]
    _actions: ClassVar[Mapping[str, Check]] = {}
    _keeps_dots: ClassVar[bool] = True
    _map_form: ClassVar[type["CrdtType"] | None] = None
    _clock: Clock | Session | Dormant

    def __init_subclass__(cls, *, type_name: str | None = None, map_form_of: type["CrdtType"] | None = None) -> None:
        super().__init_subclass__()
        if map_form_of is not None:
            cls.type_name = map_form_of.type_name
            map_form_of._map_form = cls  # noqa: SLF001 - the two belong together
            return
        cls.type_name = type_name or cls.__name__
        if not cls.type_name.startswith("_"):  # else it is a part of types, not one itself
            _types[cls.type_name] = cls

    @property
    @abstractmethod
    def value(self) -> Any:
        """What the replicas agree on once they have seen the same operations."""

    @abstractmethod
    def _bottom(self) -> None:
        """Makes the state empty."""

    @abstractmethod
    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        """Lets a checked action take effect."""

    def _reset(self, operation: Operation) -> None:
        """Undoes what `operation` has seen. Every type has this, or a `_clear` and a map form."""
        raise NotImplementedError

    def _clear(self, argument: Any, operation: Operation) -> None:
        """Lets the action of `clear()` take effect."""
        self._reset(operation)

    @abstractmethod
    def _join(self, other: Self, join: Join) -> None:
        """Joins the other's state into this one."""

    @abstractmethod
    def _dump(self, encoder: Encoder) -> Any:
        """Returns the state as plain values."""

    @abstractmethod
    def _load(self, plain: Any, decoder: Decoder) -> None:
        """Takes over what `_dump` returned, into the empty state."""

    def _fold(self, stable: Stable) -> bool:
        """Folds away what no operation still to come can need; says whether there was anything."""
        return False

    @classmethod
    def _renumbered(cls, action: str, argument: Any, renumber: Callable[[int], int]) -> Any:
        """Returns the argument with the own counters in it renumbered."""
        return argument

    @classmethod
    def _may_refuse(cls, action: str, argument: Any) -> bool:
        """Says whether `_adopt_action` may raise."""
        return False

    def _adopt_action(self, action: str, argument: Any, operation: Operation, renumber: Callable[[int], int]) -> Any:
        """Lets an action of an adopted operation take effect, and returns its new argument."""
        argument = self._renumbered(action, argument, renumber)
        self._run(action, argument, operation)
        return argument

    @classmethod
    def _in_map(cls) -> type[Self]:
        """Returns the class of this type's values inside an ORMap."""
        return cast("type[Self]", cls._map_form or cls)

    @classmethod
    def _inside(cls, clock: Session | Dormant) -> Self:
        """Returns an empty value of this type for the inside of an ORMap."""
        form = cls._in_map()
        value: Self = form.__new__(form)
        value._clock = clock
        value._bottom()
        return value

    def _prepare(self, action: str, argument: Any) -> Operation:
        """Makes an operation, lets it take effect here and returns it."""
        operation = self._clock.issue(self.type_name, action, argument)
        self._run(action, argument, operation)
        return operation

    @classmethod
    def _check(cls, action: str, argument: Any) -> None:
        check = cls._actions.get(action, check_nothing if action == "clear" else None)
        if check is None:
            raise MalformedOperationError(f"{cls.type_name} knows no action {action!r:.100}")
        check(argument)

    @property
    def _own_id(self) -> str:
        return self._clock.table.replica_ids[0]

    def _run(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "clear":
            self._clear(argument, operation)
        else:
            self._effect(action, argument, operation)


def crdt_type(name: str) -> type[CrdtType]:
    """Returns the class of a CRDT type by its name.

    Raises:
        MalformedOperationError: No such type has been imported here.
    """
    found = _types.get(name)
    if found is None or isabstract(found):
        raise MalformedOperationError(f"there is no CRDT type {name!r} here")
    return found


def check_nothing(argument: Any) -> None:
    """Refuses an argument where there must be none."""
    expect(argument is None, "no argument")
