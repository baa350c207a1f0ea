"""`KeyState`: everything that is known under a key.

Each key has one type. If replicas that do not know of one another give it different ones, all of them end with the
type whose name comes first in the alphabet, whatever the order in which they learn of it. The operations of the others
are kept and replicated, and are not visible; whoever holds such a value is told by a `KeyTypeError`.

An operation that cannot be read (its type is not imported here, or was made by a later version of it, or by nobody who
means well) is set aside, and with it all that its writer did to the key afterwards: they wait, in the stored state, for
a program that can read them. Others are given them all the same. The key is then usable here and lacks these
operations; replicas that can read them show more.

Invariant: the states contain all operations of the key in the log through the followed position, those in `unread`
    aside.
"""

from collections.abc import Iterable
from typing import cast

import msgspec

from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import Versioned
from crdts import Crdt, CrdtError, Dot, MalformedOperationError, Operation, VersionVector
from crdts.crdt_type import crdt_type
from replication.errors import KeyTypeError, MalformedStateError
from replication.key_record import DELETED, KeyRecord, TypeRecord, decode_record, encode_record
from replication.typed_state import TypedState

UNREAD_BYTES_MAX = 1024 * 1024
"""How many bytes of operations that cannot be read are kept of a key; further ones are lost to it here."""


class KeyState:
    """The states of a key, one a type, and what could not be read.

    Args:
        key: the key.
        log_id: the log in which operations prepared here will be written.

    Attributes:
        types: the state of each type that has been seen.
        entries: of each log, the last entry that had operations of this key.
        unread: changes that could not be read.
        opaque: the stored states of types that are not known here.
        byte_count: about how many bytes of memory it takes, as of its stored form.
    """

    __slots__ = ("byte_count", "entries", "key", "log_id", "opaque", "types", "unread")

    def __init__(self, key: str, log_id: str) -> None:
        self.key = key
        self.log_id = log_id
        self.types: dict[str, TypedState] = {}
        self.entries: dict[str, int] = {}
        self.unread: list[Versioned] = []
        self.byte_count = 256
        self.opaque: dict[str, TypeRecord] = {}

    @classmethod
    def load(cls, key: str, log_id: str, stored: StoredState) -> "KeyState":
        """Return the state that `stored` encoded.

        Raises:
            MalformedStateError: these are not the bytes of a state.
        """
        record = decode_record(key, stored.body)
        self = cls(key, log_id)
        self.entries = dict(record.entries)
        for part in record.types:
            self._load_type(part)
        self.byte_count += len(stored.body)
        self.unread = list(record.unread)
        self._read_again()
        return self

    @property
    def type_name(self) -> str | None:
        """The name of the key's type; None: it has none yet."""
        used = [name for name, typed in self.types.items() if typed.is_used]
        return min([*used, *self.opaque], default=None)

    @property
    def current(self) -> TypedState | None:
        """The state that is visible; None: there is none, or none that can be read here."""
        name = self.type_name
        return None if name is None else self.types.get(name)

    @property
    def is_listed(self) -> bool:
        """Whether the key counts as being there: something was written that no deletion has seen."""
        return bool(self.unread or self.opaque) or any(typed.is_listed for typed in self.types.values())

    @property
    def is_empty(self) -> bool:
        """Whether nothing durable is known under the key."""
        return not (self.unread or self.opaque) and not any(typed.shown.version for typed in self.types.values())

    @property
    def is_promised(self) -> bool:
        """Whether operations are under way."""
        return any(typed.underway for typed in self.types.values())

    def check_type(self, type_name: str) -> None:
        """Check that the key has a type, or none yet.

        Raises:
            KeyTypeError: it has another.
        """
        actual = self.type_name
        if actual is not None and actual != type_name:
            raise KeyTypeError(self.key, type_name, actual)

    def typed(self, type_name: str) -> TypedState:
        """Return the state of a type, an empty one if there was none.

        Raises:
            MalformedOperationError: the type is not known here.
        """
        typed = self.types.get(type_name)
        if typed is None:
            typed = self.types[type_name] = TypedState(known_type(type_name)(self.log_id))
        return typed

    def apply(self, change: Versioned, log_id: str, number: int) -> bool:
        """Let a durable change take effect; say whether something new did.

        Raises:
            CrdtError: an operation cannot be read, and was set aside with those that follow it in the change. What
                comes before it has taken effect.
        """
        self.entries[log_id] = max(number, self.entries.get(log_id, 0))
        self.byte_count += _byte_count([change])
        try:
            new = self._apply(change)
        except CrdtError:
            self._read_again()
            raise
        if new and self.unread:
            self._read_again()
        return new

    def merge(self, other: "KeyState") -> None:
        """Join what another replica knows of the key into this.

        Raises:
            MalformedStateError: they do not join; nothing has changed.
        """
        self._check_joins(other)
        for name, typed in other.types.items():
            try:
                self.typed(name).merge(typed)
            except CrdtError as error:
                raise MalformedStateError(self.key, str(error)) from error
        self.opaque.update(other.opaque)
        for log_id, number in other.entries.items():
            self.entries[log_id] = max(number, self.entries.get(log_id, 0))
        self.byte_count += other.byte_count
        self.unread += [change for change in other.unread if change not in self.unread]
        self._read_again()

    def take_back(self) -> None:
        """Forget what was promised and is not durable."""
        for typed in self.types.values():
            typed.take_back()

    def fold(self, stable: VersionVector) -> None:
        """Fold away what nobody can need any more, if all operations of the key are stable.

        Args:
            stable: entries that everything that any replica will still write has seen.
        """
        if self.unread or self.is_promised or not stable.descends(VersionVector.wrap(self.entries)):
            return
        for typed in self.types.values():
            typed.fold()

    def store(self) -> StoredState:
        """Return the durable state, encoded."""
        types = [
            TypeRecord(name, typed.shown.to_bytes(), typed.written, typed.cleared)
            for name, typed in sorted(self.types.items())
            if typed.shown.version
        ]
        return self.stored_as(encode_record(KeyRecord(1, self.entries, [*types, *self.opaque.values()], self.unread)))

    def stored_as(self, body: bytes) -> StoredState:
        """Return the durable state, whose encoded form is known."""
        used = [name for name, typed in self.types.items() if typed.shown.version]
        name = min([*used, *self.opaque, *_type_names(self.unread)], default="")
        self.byte_count = 256 + len(body)
        return StoredState(self.key, name if self.is_listed else DELETED + name, body)

    def _load_type(self, part: TypeRecord) -> None:
        try:
            found = known_type(part.type_name)
        except MalformedOperationError:
            self.opaque[part.type_name] = part
            return
        try:
            state = found.from_bytes(part.body, self.log_id)
        except CrdtError as error:
            raise MalformedStateError(self.key, str(error)) from error
        self.types[part.type_name] = TypedState(state, part.written, part.cleared)

    def _check_joins(self, other: "KeyState") -> None:
        for name in other.opaque:
            if name in self.opaque:
                raise MalformedStateError(self.key, f"there is no CRDT type {name!r:.100} here to join its states")
        for name, theirs in other.types.items():
            mine = self.types.get(name)
            if mine is None:
                continue
            try:
                mine.shown.copy().merge(theirs.shown)
            except CrdtError as error:
                raise MalformedStateError(self.key, str(error)) from error

    def _apply(self, change: Versioned) -> bool:
        new, index = False, 0
        try:
            others = _checked_others(change)
            for index, item in enumerate(change.items):
                typed = self.typed(item.type_name)
                underway, counter = typed.underway, change.counter + index
                if underway and change.writer == self.log_id and underway[0].counter == counter:
                    operation = underway[0]
                else:
                    version = VersionVector.wrap({**others, change.writer: counter})
                    operation = Operation.from_payload(item.payload, Dot(change.writer, counter), version)
                new |= typed.apply(operation)
        except CrdtError:
            self._set_aside(change, index)
            raise
        return new

    def _set_aside(self, change: Versioned, index: int) -> None:
        rest = msgspec.structs.replace(change, counter=change.counter + index, items=change.items[index:])
        if rest not in self.unread and _byte_count(self.unread) + _byte_count([rest]) <= UNREAD_BYTES_MAX:
            self.unread.append(rest)

    def _read_again(self) -> None:
        """Try what was set aside: it may have waited for something that is here now."""
        progress = True
        while progress and self.unread:
            progress = False
            waiting, self.unread = self.unread, []
            for change in waiting:
                try:
                    progress |= self._apply(change)
                except CrdtError:
                    continue


def known_type(type_name: str) -> type[Crdt]:
    """Return the class of a CRDT type.

    Raises:
        MalformedOperationError: it is not known here.
    """
    return cast("type[Crdt]", crdt_type(type_name))


def _checked_others(change: Versioned) -> dict[str, int]:
    try:
        return VersionVector(change.observed).without(change.writer).to_dict()
    except (TypeError, ValueError) as error:
        raise MalformedOperationError(str(error)) from error


def _type_names(changes: Iterable[Versioned]) -> list[str]:
    return [change.items[0].type_name for change in changes]


def _byte_count(changes: Iterable[Versioned]) -> int:
    return sum(len(item.payload) + 64 for change in changes for item in change.items)
