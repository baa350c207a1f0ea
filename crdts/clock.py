"""The clock of a CRDT object: who writes, what has been seen, and the one place where operations are made.

Every operation that is prepared on this object goes through `Clock.issue` (or `draft` and `finish`, when it is
not known at once what it will say), which numbers it and hands it to the listener, if there is one.

The values inside an `ORMap` have no clock of their own. While `ORMap.update` runs, the clock of the value that
it changes is a `Session`, which collects actions into the map's one operation; at all other times a `Dormant`
one, which refuses to make operations.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from crdts.errors import CausalityError, CrdtError
from crdts.operation import Operation
from crdts.packed_dots import ReplicaTable
from crdts.version_vector import NOTHING_SEEN, VersionVector

Listener = Callable[[Operation], object]


class Clock:
    """What one object has seen: a counter of its own and a vector of the others.

    Attributes:
        replica_id: The replica that writes here.
        counter: The number of its operations.
        listener: Called with every operation that is prepared here.
        stable: What `Crdt.stabilize` has relied on so far.
    """

    __slots__ = ("_others", "_past", "_table", "counter", "listener", "replica_id", "stable")

    depth: ClassVar = 0  # in no map

    def __init__(self, replica_id: str, table: ReplicaTable | None) -> None:
        self.replica_id = replica_id
        self.counter = 0
        self.listener: Listener | None = None
        self.stable = NOTHING_SEEN
        self._table = table
        self._past: VersionVector | None = NOTHING_SEEN  # a view of _others that operations share
        self._others = NOTHING_SEEN.to_dict()

    @property
    def table(self) -> ReplicaTable:
        """The numbering of replicas; one that nobody keeps for types without dots."""
        return self._table or ReplicaTable(self.replica_id)

    @property
    def version(self) -> VersionVector:
        """Everything seen."""
        if self.counter == 0:
            return self._seen_of_others()
        return VersionVector.wrap({**self._others, self.replica_id: self.counter})

    def seen(self, replica_id: str) -> int:
        """Returns how many operations of a replica have been seen."""
        return self.counter if replica_id == self.replica_id else self._others.get(replica_id, 0)

    def issue(self, type_name: str, action: str, argument: Any) -> Operation:
        """Makes the next operation of this replica."""
        self.counter = counter = self.counter + 1
        past = self._past
        if past is None:
            past = self._seen_of_others()
        operation = Operation(self.replica_id, counter, past, type_name, action, argument)
        if self.listener is not None:
            self.listener(operation)
        return operation

    def draft(self, type_name: str) -> Operation:
        """Returns what will be the next operation, without counting it."""
        return Operation(self.replica_id, self.counter + 1, self._seen_of_others(), type_name, "", None)

    def finish(self, draft: Operation, action: str, argument: Any) -> None:
        """Counts the draft as made, now that it is known what it says."""
        draft.action, draft.argument = action, argument
        self.counter = draft.counter
        if self.listener is not None:
            self.listener(draft)

    def admits(self, operation: Operation) -> bool:
        """Says whether the operation is new here.

        Raises:
            CausalityError: It is new, but something that it has seen has not been seen here; or it has not
                seen something that was declared stable.
        """
        seen = self.seen(operation.replica_id)
        if operation.counter <= seen:
            return False
        if operation.counter > seen + 1 or not self._has_seen(operation.others):
            self._refuse_early(operation)
        if self.stable:
            self._check_stable(operation)
        return True

    def _has_seen(self, others: VersionVector) -> bool:
        have = self._others
        for replica_id, counter in others.items():
            if counter > have.get(replica_id, 0) and (replica_id != self.replica_id or counter > self.counter):
                return False
        return True

    def _refuse_early(self, operation: Operation) -> NoReturn:
        past = {**operation.others, operation.replica_id: operation.counter - 1}
        missing = {r: c for r, c in past.items() if c > self.seen(r)}
        dot = f"{operation.replica_id}:{operation.counter}"
        raise CausalityError(f"operation {dot} came before its past: {missing} has not been seen here", missing)

    def record(self, operation: Operation) -> None:
        """Counts an admitted operation as seen."""
        self._advance(operation.replica_id, operation.counter)

    def absorb(self, version: VersionVector) -> None:
        """Counts everything in `version` as seen."""
        for replica_id, counter in version.items():
            if counter > self.seen(replica_id):
                self._advance(replica_id, counter)

    def _advance(self, replica_id: str, counter: int) -> None:
        if replica_id == self.replica_id:
            self.counter = counter
            return
        if self._past is not None:  # operations share this dictionary: leave it to them
            self._others = dict(self._others)
            self._past = None
        self._others[replica_id] = counter

    def _seen_of_others(self) -> VersionVector:
        if self._past is None:
            self._past = VersionVector.wrap(self._others)
        return self._past

    def _check_stable(self, operation: Operation) -> None:
        # Who has seen nothing of a replica cannot tell its operations apart, folded or not.
        unseen = {r: c for r, c in self.stable.items() if operation.saw(r, 1) and not operation.saw(r, c)}
        if unseen:
            dot = f"{operation.replica_id}:{operation.counter}"
            raise CausalityError(f"operation {dot} has not seen {unseen}, which was declared stable here", unseen)


class Session:
    """The clock of a value inside an `ORMap` while the map's `update` changes it.

    Attributes:
        depth: How many maps the value is in.
    """

    __slots__ = ("_operation", "actions", "depth", "table")

    def __init__(self, table: ReplicaTable, depth: int, operation: Operation) -> None:
        self.table = table
        self.depth = depth
        self._operation = operation
        self.actions: list[tuple[str, Any]] = []

    def issue(self, _type_name: str, action: str, argument: Any) -> Operation:
        """Adds an action to the map's operation and returns that operation."""
        self.actions.append((action, argument))
        return self._operation

    def draft(self, _type_name: str) -> Operation:
        """Returns the map's operation."""
        return self._operation

    def finish(self, _draft: Operation, action: str, argument: Any) -> None:
        """Adds an action to the map's operation."""
        self.actions.append((action, argument))


class Dormant:
    """The clock of a value inside an `ORMap` at all other times, and of a map while its `update` runs.

    Attributes:
        depth: How many maps the value is in.
    """

    __slots__ = ("depth", "table")

    def __init__(self, table: ReplicaTable, depth: int) -> None:
        self.table = table
        self.depth = depth

    def _refuse(self, *_arguments: object) -> NoReturn:
        raise CrdtError(
            "a value inside an ORMap is changed by the function given to ORMap.update and nowhere else, "
            "and this function changes nothing but the value that it is given"
        )

    issue = draft = finish = _refuse
