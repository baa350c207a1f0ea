"""What every CRDT has in common, and how a new one is written.

Theory of operation
===================

A CRDT object belongs to one replica. A method that changes it *prepares* an operation: it decides, from what
is seen here, what shall happen everywhere. The operation takes *effect* here at once, is returned, and takes
effect at every other replica through `apply` (Shapiro et al., "A Comprehensive Study of Convergent and
Commutative Replicated Data Types", 2011). `apply` delivers in causal order or not at all: when an effect runs,
everything that the operation had seen has taken effect before. What it had not seen is concurrent to it; about
that `operation.saw(replica_id, counter)` is the judge. So an effect must come out the same in whatever order
concurrent operations are applied, and that is all there is to prove.

Whole states can be joined, too (`merge`). The trick that makes state small (Bieniusa et al., "An Optimized
Conflict-free Replicated Set", 2012) is that each piece of state is tagged with the dot of the operation that
put it there. A piece that one side lacks although its version covers the dot has been removed there, and goes;
one whose dot the version does not cover is news, and stays. No tombstones.

Writing a type
==============

Derive from `Crdt`, give it `__slots__` and these parts. The example is complete, and `crdts.testing` checks it::

    class Badge(Crdt):                        # on while somebody's pinning has not been unpinned
        __slots__ = ("_pins",)
        _actions = {"pin": check_nothing, "unpin": check_nothing}

        def _bottom(self):                    # the empty state
            self._pins = DotSets()

        @property
        def value(self):                      # what the user reads; a pure function of the state
            return None in self._pins

        def pin(self):                        # prepare: validate, then one call
            return self._prepare("pin", None)

        def unpin(self):
            return self._prepare("unpin", None)

        def _effect(self, action, argument, operation):
            table = self._clock.table
            if action == "pin":
                self._pins.put(None, table.pack(operation), table.seen_by(operation))
            else:
                self._pins.drop(None, table.seen_by(operation))

        def _reset(self, operation):          # undo what the operation has seen, and nothing else
            self._pins.drop_all(self._clock.table.seen_by(operation))

        def _join(self, other, join):         # the state join
            self._pins.join(other._pins, join)

        def _dump(self, encoder):             # state to plain values; also what == compares
            return self._pins.dump(encoder)

        def _load(self, plain, decoder):      # plain values to state, believing nothing
            self._pins.load(plain, decoder, check_nothing)

Rules for the parts:

* `_actions` names every action and a function that raises `MalformedOperationError` if a decoded argument does
  not suit it. Arguments are plain (None, bool, int, float, str, bytes, tuple, dict) and never change. The
  check runs before the effect; the effect itself must not fail and ignores what refers to nothing.
* `_effect` runs at the source as well as everywhere else. It must not read anything that differs between
  replicas which have seen the same: not `replica_id`, not the order of a dictionary, no clock, no chance.
* Inside an `ORMap` *several* actions may come in one operation, under one dot. Therefore an operation has
  `saw` itself, and a dot alone identifies one action only together with something of that action.
* `_reset` is `clear()`, and what `ORMap.remove(key)` does to the value of the key: nothing of what the
  operation saw may be left. An ORMap forgets a value when nobody has updated it since; then nothing of a
  concurrent update can be in it.
* `_join` gets a `Join`: use it to translate the other's dots and to ask who had seen what.
* `_fold(stable)` is `stabilize`: drop what no operation still to come can need. All of them have seen
  `stable`. Return whether anything was folded. `value` must not change, and two states that have seen the
  same must be equal after folding by the same version. The default folds nothing.
* `_renumbered(action, argument, renumber)` returns the argument with own counters in it mapped by
  `renumber`. Only types whose arguments contain dots need it; see `adopt`. (`_adopt_action` and `_may_refuse` are
  for the few types that must decide anew what a copy has decided.)
* `_dump` and `_load`: dots go through the encoder and decoder. Maps and tuples of plain values only.

A type whose state is smaller without dots (counters are) sets `_keeps_dots = False`, has `clear` and
`_clear` of its own instead of `_reset`, and a second class, derived with `map_form_of=`, for values inside an
ORMap, which must be able to vanish.

The two stores in `crdts.dots` do most of this for you. Types are found by their `type_name`, the class name
unless it is given, when a map's operation arrives: two classes of one name cannot be used at once.

Invariants:
    A version is enough to know a state: equal versions, equal states (stabilisation aside).
    An operation takes effect once, after its past, at every object.
    An error from `apply` or `merge` has changed nothing.
"""

from collections.abc import Iterable
from typing import Any, Self

import msgspec

from crdts.clock import Clock, Listener
from crdts.crdt_type import CrdtType, check_nothing, crdt_type
from crdts.errors import CausalityError, CrdtError, OperationTypeError
from crdts.operation import Operation
from crdts.packed_dots import Decoder, Encoder, Join, ReplicaTable, Stable
from crdts.version_vector import NOTHING_SEEN, VersionVector
from crdts.wire import FORMAT, NAME_LENGTH_MAX, Counters, Format, Name, decode, encode, expect, plain

__all__ = ["Crdt", "check_nothing", "checked_replica_id", "crdt_type"]


class _State(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The byte form of a state."""

    format: Format
    type_name: Name
    version: Counters
    stable: Counters | bool  # True: all of the version; False: nothing
    state: Any


_state = msgspec.msgpack.Decoder(_State)


class Crdt(CrdtType):
    """A value that replicas change without asking one another, and that converges.

    Objects are equal if they are of one type, have seen the same operations and hold the same state. The
    replica id and what `stabilize` has folded away do not count.

    Args:
        replica_id: The replica that writes here: 1 to 255 characters. No two objects may write under one
            id, unless the operations of one are handed to the other's `adopt`.
    """

    __slots__ = ()

    def __init__(self, replica_id: str) -> None:
        checked_replica_id(replica_id)
        self._clock = self._new_clock(replica_id)
        self._bottom()

    @property
    def replica_id(self) -> str:
        """The replica that writes here."""
        return self._root.replica_id

    @property
    def version(self) -> VersionVector:
        """The operations seen here."""
        return self._root.version

    @property
    def stable_version(self) -> VersionVector:
        """What `stabilize` has relied on so far: operations that have not seen it are refused."""
        return self._root.stable

    def apply(self, operation: Operation) -> bool:
        """Lets an operation take effect here: True if it is new, False if it was seen before.

        Raises:
            CausalityError: Its causal past is missing; nothing has changed.
            MalformedOperationError: It is of another type or not valid; nothing has changed.
        """
        clock = self._root
        if operation.type_name != self.type_name:
            raise OperationTypeError(self.type_name, operation.type_name)
        if not clock.admits(operation):
            return False
        self._check(operation.action, operation.argument)
        self._run(operation.action, operation.argument, operation)
        clock.record(operation)
        return True

    def merge(self, other: Self) -> None:
        """Joins the state of another object into this one; idempotent, commutative and associative.

        Raises:
            TypeError: `other` is of another type.
            CausalityError: Each side has seen something that the other has not, and one has declared stable what
                the other has seen only in part; nothing has changed.
        """
        if type(other) is not type(self):
            raise TypeError(f"a {type(self).__name__} merges with its like, not with a {type(other).__name__}")
        mine, theirs = self._root, other._root
        if mine.version.descends(theirs.version):
            return
        if theirs.version.descends(mine.version):
            self._take_over(other)
            return
        stable = _common_stable(mine, theirs)
        if mine.stable != stable:
            self._fold(Stable(mine.table, stable))
            mine.stable = stable
        self._join(other._folded(stable), Join(mine.table, mine.version, theirs.table, theirs.version))
        mine.absorb(theirs.version)

    def clear(self) -> Operation:
        """Undoes everything that has been seen here, and nothing that is concurrent (an observed reset)."""
        return self._prepare("clear", None)

    def stabilize(self, version: VersionVector) -> None:
        """Folds away what no operation still to come can need; the value does not change.

        Args:
            version: A version that has been seen here and that *every operation not yet seen here* has in
                its past. The minimum of the vectors of all replicas has this property only together with
                everything those replicas had written when they told their vectors.

        Raises:
            CausalityError: The version has not been seen here; nothing has changed.
        """
        clock = self._root
        missing = {r: c for r, c in version.items() if c > clock.seen(r)}
        if missing:
            raise CausalityError(f"{missing} cannot be stable, it has not even been seen here", missing)
        if self._fold(Stable(clock.table, version)):
            clock.stable = clock.stable.merge(version)

    def copy(self, replica_id: str | None = None) -> Self:
        """Returns an independent object with the same state, for another replica (or for `adopt`)."""
        clock = self._root
        twin: Self = type(self)(clock.replica_id if replica_id is None else replica_id)
        twin._take_over(self)
        return twin

    def reload(self, other: Self) -> None:
        """Becomes what `other` is, whatever it was before; replica id and listener stay.

        For a copy whose operations have been handed to `adopt`: its own numbers mean nothing any more.
        """
        listener = self._root.listener
        self._clock = self._new_clock(self.replica_id)
        self._root.listener = listener
        self._take_over(other)

    def listen(self, listener: Listener | None) -> None:
        """Has `listener` called with every operation that is prepared here, not with those applied or adopted."""
        self._root.listener = listener

    def adopt(self, operations: Iterable[Operation], seen: VersionVector = NOTHING_SEEN) -> list[Operation]:
        """Applies what was done to an older copy of this object, and returns the operations to ship.

        A copy made by `copy()`, with this object's own replica id, has prepared operations while this object
        went on: both used the same numbers. The operations are numbered anew, after what was done here, and
        each remembers what its source had not seen. So two tasks that work on copies lose nothing.

        Args:
            operations: All that the copy has prepared, in their order.
            seen: What the operations shall count as having seen in any case; at least what is stable here.

        Raises:
            CausalityError: The operations are not those of a copy of this object; nothing has changed.
            InsufficientRightsError: Rights that an operation needs have been spent here in the meantime; nothing
                has changed.
        """
        operations = list(operations)
        if not operations:
            return []
        base = operations[0].counter - 1
        shift = self._root.counter - base
        if shift == 0 and not self._root.stable and operations[0].replica_id == self.replica_id:
            for operation in operations:
                self.apply(operation)
            return operations
        if any(self._may_refuse(operation.action, operation.argument) for operation in operations):
            self.copy()._adopt_all(operations, base, shift, seen)  # noqa: SLF001 - raises before anything changed here
        return self._adopt_all(operations, base, shift, seen)

    def to_bytes(self) -> bytes:
        """Returns the state, without the replica id, as bytes."""
        clock = self._root
        version = clock.version
        encoder = Encoder(clock.table, version)
        stable = bool(clock.stable) if clock.stable in (version, NOTHING_SEEN) else clock.stable.to_dict()
        return encode((FORMAT, self.type_name, version.to_dict(), stable, self._dump(encoder)))

    @classmethod
    def from_bytes(cls, data: bytes, replica_id: str) -> Self:
        """Returns an object of `replica_id` with the state that `to_bytes` encoded.

        Raises:
            MalformedOperationError: These are not the bytes of a state of this type.
        """
        form = decode(_state, data)
        expect(form.type_name == cls.type_name, f"the state of a {cls.type_name}, not of a {form.type_name}")
        version = VersionVector.wrap(form.version)
        stable = _stable_part(version, form.stable)
        self = cls(replica_id)
        clock = self._root
        self._load(plain(form.state), Decoder(clock.table, version))
        clock.absorb(version)
        clock.stable = stable
        return self

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        mine, theirs = self._clock, other._clock
        if not isinstance(mine, Clock) or not isinstance(theirs, Clock):
            return bool(self.value == other.value)
        if mine.version != theirs.version:
            return False
        stable = mine.stable.merge(theirs.stable)
        return bool(self._folded(stable)._plain() == other._folded(stable)._plain())

    __hash__ = None  # type: ignore[assignment] # it changes

    def __repr__(self) -> str:
        if not isinstance(self._clock, Clock):
            return f"<{self.type_name}: {self._shown()}>"
        return f"<{self.type_name} of {self.replica_id}: {self._shown()} at {dict(self.version)}>"

    def _shown(self) -> str:
        value = self.value
        if isinstance(value, frozenset):
            return "{" + ", ".join(sorted(map(repr, value))) + "}"
        return repr(value)

    @property
    def _root(self) -> Clock:
        if not isinstance(self._clock, Clock):
            raise CrdtError(f"this {self.type_name} is a part of an ORMap; ask the map")
        return self._clock

    def _new_clock(self, replica_id: str) -> Clock:
        return Clock(replica_id, ReplicaTable(replica_id) if self._keeps_dots else None)

    def _take_over(self, other: Self) -> None:
        """Becomes what the other is, which has seen all that has been seen here."""
        mine, theirs = self._root, other._root
        self._bottom()
        self._join(other, Join(mine.table, NOTHING_SEEN, theirs.table, theirs.version))
        mine.absorb(theirs.version)
        mine.stable = theirs.stable

    def _plain(self) -> Any:
        clock = self._root
        return self._dump(Encoder(clock.table, clock.version))

    def _folded(self, stable: VersionVector) -> Self:
        if self._root.stable == stable:
            return self
        twin: Self = self.copy()
        twin._fold(Stable(twin._clock.table, stable))
        return twin

    def _adopt_all(self, operations: list[Operation], base: int, shift: int, seen: VersionVector) -> list[Operation]:
        clock = self._root
        floor = clock.stable.merge(seen)
        if shift < 0 or any(operation.replica_id != clock.replica_id for operation in operations):
            raise CausalityError(f"{operations[0]!r} was not prepared on a copy of this object", {})

        def renumber(counter: int) -> int:
            return counter + shift if counter > base else counter

        adopted = [operation.rebased(base, shift, operation.argument, floor) for operation in operations]
        for operation in adopted:
            clock.admits(operation)
            self._check(operation.action, operation.argument)
            operation.argument = self._adopt_action(operation.action, operation.argument, operation, renumber)
            clock.record(operation)
        return adopted


def checked_replica_id(replica_id: object) -> None:
    """Refuses what cannot be the id of a replica."""
    if not isinstance(replica_id, str):
        raise TypeError(f"a replica id is a str, not {replica_id!r:.100}")
    if not 0 < len(replica_id) <= NAME_LENGTH_MAX:
        raise ValueError(f"a replica id has 1 to {NAME_LENGTH_MAX} characters, not {len(replica_id)}")
    try:
        replica_id.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the replica id {replica_id!r:.100} has a lone surrogate") from None


def _stable_part(version: VersionVector, stable: dict[str, int] | bool) -> VersionVector:  # noqa: FBT001 - decoded
    if isinstance(stable, bool):
        return version if stable else NOTHING_SEEN
    expect(version.descends(VersionVector.wrap(stable)), "a stable version that has been seen")
    return VersionVector.wrap(stable)


def _common_stable(mine: Clock, theirs: Clock) -> VersionVector:
    missing = {r: c for r, c in mine.stable.items() if 0 < theirs.seen(r) < c}
    missing.update((r, c) for r, c in theirs.stable.items() if 0 < mine.seen(r) < c)
    if missing:
        raise CausalityError(f"one state has declared {missing} stable, the other has not seen it", missing)
    return mine.stable.merge(theirs.stable)
