"""What a simulated journal's operations amount to: as sets of what was applied, or as real CRDTs.

`AppliedOperations` is fast, and says of each key how often which log entry was applied. `CrdtValues` holds an `ORSet`
or a `GCounter` under each key, so that the values themselves can be compared.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import Item, LogEntry, Versioned
from crdts import CausalityError, Crdt, Dot, GCounter, Operation, ORSet, VersionVector

STATES_PER_PAGE = 3
"""So few, that a snapshot takes several chunks."""


class Change(NamedTuple):
    """What somebody wants done to a key.

    Attributes:
        key: the key.
        action: add or remove an element of a set, or count up.
        argument: the element, or the amount.
    """

    key: str
    action: Literal["add", "remove", "increment"]
    argument: Any


class StatesPage(NamedTuple):
    """States in the order of their keys; the key to go on after; and whether none follows."""

    states: list[StoredState]
    after_key: str
    complete: bool


class Values(Protocol):
    """The states of all keys."""

    def prepare(self, change: Change, log_id: str, stamp: int) -> Versioned:
        """Return what is to be written for a change; `stamp` is different each time."""
        ...

    def apply(self, entry: LogEntry) -> None:
        """Let the operations of an entry take effect."""
        ...

    def merge(self, states: Sequence[StoredState]) -> None:
        """Join another replica's states into these."""
        ...

    def page(self, after_key: str) -> StatesPage:
        """Return some states that follow a key."""
        ...

    def contents(self) -> dict[str, Any]:
        """Return the value of each key; equal values are equal as Python objects."""
        ...

    def applied_twice(self) -> list[tuple[str, int]]:
        """Return the log entries that took effect more than once, as far as it can be told."""
        ...

    def beyond(self, vector: VersionVector) -> list[tuple[str, int]]:
        """Return the log entries that took effect and are not within a version, as far as it can be told."""
        ...


class AppliedOperations:
    """Per key: how often which entry was applied."""

    def __init__(self) -> None:
        self._applied: dict[str, dict[tuple[str, int], int]] = {}
        self._merged: set[tuple[str, str, int]] = set()

    def prepare(self, change: Change, log_id: str, stamp: int) -> Versioned:
        """Return a change that says no more than its stamp."""
        body = b"x" * (change.argument if isinstance(change.argument, int) else 1)
        return Versioned(change.key, log_id, stamp, {}, stamp, None, (), {}, (Item("GCounter", 1, body),))

    def apply(self, entry: LogEntry) -> None:
        """Count the entry under the keys that it changes, unless a state that was merged contained it."""
        for change in entry.changes:
            applied = self._applied.setdefault(change.stream_id, {})
            dot = (entry.log_id, entry.number)
            if (change.stream_id, *dot) in self._merged:
                self._merged.discard((change.stream_id, *dot))
                continue
            applied[dot] = applied.get(dot, 0) + 1

    def merge(self, states: Sequence[StoredState]) -> None:
        """Take over what was not applied here."""
        for state in states:
            applied = self._applied.setdefault(state.key, {})
            for log_id, number, count in _applied_decoder.decode(state.body):
                if (log_id, number) not in applied:
                    applied[log_id, number] = count
                    self._merged.add((state.key, log_id, number))

    def page(self, after_key: str) -> StatesPage:
        """Return some states that follow a key."""
        keys = sorted(key for key in self._applied if key > after_key)
        chosen = keys[:STATES_PER_PAGE]
        states = [StoredState(key, "Applied", self._encoded(key)) for key in chosen]
        return StatesPage(states, chosen[-1] if chosen else after_key, len(keys) <= STATES_PER_PAGE)

    def contents(self) -> dict[str, Any]:
        """Return, per key, how often which entry was applied."""
        return self._applied

    def applied_twice(self) -> list[tuple[str, int]]:
        """Return the log entries that took effect more than once."""
        return [dot for applied in self._applied.values() for dot, count in applied.items() if count > 1]

    def beyond(self, vector: VersionVector) -> list[tuple[str, int]]:
        """Return the log entries that took effect and are not within a version."""
        applied = {dot for applied in self._applied.values() for dot in applied}
        return sorted([(log_id, number) for log_id, number in applied if number > vector[log_id]])

    def _encoded(self, key: str) -> bytes:
        return msgspec.msgpack.encode(sorted((*dot, count) for dot, count in self._applied[key].items()))


class CrdtValues:
    """Per key: a counter, if anybody ever counted there; else a set.

    As in the replicator, an operation that comes before its past is set aside and tried again. Entries come after
    theirs; but states of a snapshot may be ahead of its cut, and what is written meanwhile builds on them.
    """

    def __init__(self) -> None:
        self._values: dict[str, Crdt] = {}
        self._set_aside: list[tuple[str, Operation]] = []

    def prepare(self, change: Change, log_id: str, stamp: int) -> Versioned:
        """Return the operation that does a change to the value that is seen here."""
        crdt_type = GCounter if change.action == "increment" else ORSet
        seen = self._values.get(change.key)
        value = crdt_type(log_id) if seen is None else seen.copy(log_id)
        operation: Operation = getattr(value, change.action)(change.argument)
        item = Item(operation.type_name, 1, operation.payload)
        others = operation.others.to_dict()
        return Versioned(change.key, log_id, operation.counter, others, stamp, None, (), {}, (item,))

    def apply(self, entry: LogEntry) -> None:
        """Let the operations of an entry take effect."""
        for change in entry.changes:
            for counter, item in enumerate(change.items, change.counter):
                version = VersionVector({**change.observed, change.writer: counter})
                operation = Operation.from_payload(item.payload, Dot(change.writer, counter), version)
                self._set_aside.append((change.stream_id, operation))
        self._apply_what_can_be()

    def merge(self, states: Sequence[StoredState]) -> None:
        """Join another replica's states into these."""
        for state in states:
            theirs = _TYPES[state.type_name].from_bytes(state.body, _READER)
            self._value(state.key, state.type_name).merge(theirs)
        self._apply_what_can_be()

    def page(self, after_key: str) -> StatesPage:
        """Return some states that follow a key."""
        keys = sorted(key for key in self._values if key > after_key)
        chosen = keys[:STATES_PER_PAGE]
        states = [StoredState(key, self._values[key].type_name, self._values[key].to_bytes()) for key in chosen]
        return StatesPage(states, chosen[-1] if chosen else after_key, len(keys) <= STATES_PER_PAGE)

    def contents(self) -> dict[str, Any]:
        """Return the value of each key."""
        return {key: crdt.value for key, crdt in self._values.items()}

    def applied_twice(self) -> list[tuple[str, int]]:
        """Return nothing: a CRDT refuses what it has seen."""
        return []

    def beyond(self, vector: VersionVector) -> list[tuple[str, int]]:
        """Return nothing: a CRDT knows its own operations, not the log entries in which they came."""
        return []

    def _apply_what_can_be(self) -> None:
        waiting: list[tuple[str, Operation]] = []
        while len(waiting) != len(self._set_aside):
            waiting, self._set_aside = self._set_aside, []
            for key, operation in waiting:
                try:
                    self._value(key, operation.type_name).apply(operation)
                except CausalityError:
                    self._set_aside.append((key, operation))

    def _value(self, key: str, type_name: str) -> Crdt:
        value = self._values.get(key)
        if value is None:
            value = self._values[key] = _TYPES[type_name](_READER)
        return value


_READER = "reader"  # writes nothing: what is written is prepared on a copy
_TYPES: dict[str, type[Crdt]] = {"GCounter": GCounter, "ORSet": ORSet}
_applied_decoder = msgspec.msgpack.Decoder(list[tuple[str, int, int]])
