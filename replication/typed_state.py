"""`TypedState`: the CRDT of one type under a key: what is durable of it, and what is promised beyond.

    shown       what log entries say that are durable: what `get` hands out
    promised    that, and the operations of updates whose commit is under way: what updates are prepared on

So any number of tasks prepare updates at once, each on what the one before has done, and share a commit; and nobody is
shown what may still fail. If a commit fails, what was promised is forgotten.

A key counts as deleted while no operation but clears is outside the past of all clears. Of the operations of each
replica, the highest that is no clear is remembered, and what clears have seen: a function of the set of operations
seen, so replicas that have seen the same agree. Both are kept only once there has been a clear.

Invariant: promised = shown + underway, or None: nobody has asked for it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from crdts import Crdt, Operation, VersionVector
from replication.errors import ReplicationError
from replication.plain_functions import check_has_run


class TypedState:
    """The CRDT of one type under a key.

    Args:
        shown: the durable state.
        written: per replica, its highest operation that is no clear; None: as `shown.version` says.
        cleared: what clears have seen; None: there was none.
    """

    __slots__ = ("_promised", "_recorder", "cleared", "shown", "underway", "written")

    def __init__(
        self, shown: Crdt, written: dict[str, int] | None = None, cleared: dict[str, int] | None = None
    ) -> None:
        self.shown = shown
        self.written = written
        self.cleared = cleared
        self.underway: deque[Operation] = deque()
        self._promised: Crdt | None = None
        self._recorder = _Recorder()

    @property
    def is_used(self) -> bool:
        """Whether there is any operation, durable or promised."""
        return bool(self.underway) or bool(self.shown.version)

    @property
    def is_listed(self) -> bool:
        """Whether something was written that no clear has seen."""
        if self.cleared is None or self.written is None:
            return bool(self.shown.version)
        return any(counter > self.cleared.get(replica_id, 0) for replica_id, counter in self.written.items())

    @property
    def promised(self) -> Crdt:
        """The state that the next operation is prepared on."""
        if self._promised is None or self._recorder.is_spoilt:
            shown = self.shown
            promised = shown.copy() if shown.version else type(shown)(shown.replica_id)
            for operation in self.underway:
                promised.apply(operation)
            self._recorder = _Recorder()
            promised.listen(self._recorder)
            self._promised = promised
        return self._promised

    def prepare(self, function: Callable[[Any], object]) -> list[Operation]:
        """Run a function on the promised state, and return the operations that it prepared there.

        Raises:
            TypeError: the function is asynchronous, or a generator; nothing has changed.
            ValueError: it has let operations take effect that it has not prepared; nothing has changed.
            Exception: what the function raises; nothing has changed.
        """
        promised = self.promised
        before = promised.version
        operations: list[Operation] = []
        recorder = self._recorder
        recorder.operations = operations
        try:
            result = function(promised)
            check_has_run(result, "the function given to update")
            self._check(promised, before, operations)
        except BaseException:
            self._promised = None
            raise
        finally:
            recorder.operations = None
        self.underway.extend(operations)
        return operations

    def adopt(self, operations: Iterable[Operation], seen: VersionVector) -> list[Operation]:
        """Let what was done to a copy take effect in the promised state; return the operations to ship.

        Raises:
            CrdtError: see `Crdt.adopt`; nothing has changed.
        """
        try:
            adopted = self.promised.adopt(operations, seen)
        except BaseException:
            self._promised = None
            raise
        self.underway.extend(adopted)
        return adopted

    def take_back(self) -> None:
        """Forget what was promised and is not durable."""
        self.underway.clear()
        self._promised = None

    def take_back_last(self, count: int) -> None:
        """Forget the last operations that were promised: they were not submitted."""
        for _ in range(count):
            self.underway.pop()
        self._promised = None

    def apply(self, operation: Operation) -> bool:
        """Let a durable operation take effect; say whether it is new.

        Raises:
            CausalityError, MalformedOperationError: see `Crdt.apply`; nothing has changed.
        """
        if not self.shown.apply(operation):
            return False
        if self.cleared is not None or operation.action == "clear":
            self._note(operation)
        if self.underway and operation is self.underway[0]:  # then it has taken effect in what is promised
            self.underway.popleft()
        elif self._promised is not None:
            self.promised.apply(operation)
        return True

    def merge(self, other: "TypedState") -> None:
        """Join another durable state into this one.

        Raises:
            CausalityError: see `Crdt.merge`; nothing has changed.
        """
        written, cleared = _joined(self.all_written(), other.all_written()), None
        if self.cleared is not None or other.cleared is not None:
            cleared = _joined(self.cleared or {}, other.cleared or {})
        self.shown.merge(other.shown)
        if cleared is not None:
            self.written, self.cleared = written, cleared
        self._promised = None
        own = self.shown.version[self.shown.replica_id]
        while self.underway and self.underway[0].counter <= own:
            self.underway.popleft()

    def fold(self) -> None:
        """Fold away what nobody can need who has seen everything that is seen here."""
        self.shown.stabilize(self.shown.version)
        self._promised = None

    def all_written(self) -> dict[str, int]:
        """Return, per replica, its highest operation that is no clear."""
        return self.shown.version.to_dict() if self.written is None else self.written

    def _note(self, operation: Operation) -> None:
        source, counter = operation.replica_id, operation.counter
        if operation.action != "clear":
            if self.written is not None:
                self.written[source] = counter
            return
        if self.cleared is None or self.written is None:
            before = {**self.shown.version, source: counter - 1}
            self.written, self.cleared = {r: c for r, c in before.items() if c}, {}
        gap = operation.gap  # what lies in the gap was not seen; what comes after it was, and is counted as if not
        seen = {**operation.others, source: counter if gap is None else gap[0] - 1}
        self.cleared = _joined(self.cleared, seen)

    def _check(self, promised: Crdt, before: VersionVector, operations: list[Operation]) -> None:
        own = promised.replica_id
        expected = {**before.to_dict(), own: before[own] + len(operations)} if operations else before.to_dict()
        if promised.version.to_dict() != expected or self._promised is not promised:
            raise ValueError("a function given to update calls the methods of its value, and neither apply nor merge")


class _Recorder:
    """Listens to a promised state.

    It knows no state, so that nothing here refers to itself in a circle: what the cache drops leaves memory at once.

    Attributes:
        operations: where operations are recorded while a function runs; None: none does.
        is_spoilt: whether the state was changed when nobody was to change it.
    """

    __slots__ = ("is_spoilt", "operations")

    def __init__(self) -> None:
        self.operations: list[Operation] | None = None
        self.is_spoilt = False

    def __call__(self, operation: Operation) -> None:
        if self.operations is None:
            self.is_spoilt = True
            raise ReplicationError(
                "a value was changed after the function that it was given to had returned; this change is lost. "
                "To change a value step by step, `get` it, and `update` with it"
            )
        self.operations.append(operation)


def _joined(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    joined = dict(one)
    for replica_id, counter in other.items():
        if counter > joined.get(replica_id, 0):
            joined[replica_id] = counter
    return joined
