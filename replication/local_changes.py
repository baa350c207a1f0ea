"""`LocalChanges`: what was done to a value that was handed out, until it is submitted."""

from collections.abc import Sequence
from typing import Any, TypeVar

from crdts import Crdt, Operation
from replication.commit_batch import CommitBatch

C = TypeVar("C", bound=Crdt)


class LocalChanges:
    """The operations that were prepared on a value since it was handed out, or since they were last submitted.

    It is the value's listener, and so can be found by the value.

    Attributes:
        key: the key that the value was handed out for.
        log_id: the log id under which the value prepares operations.
        operations: what was done, in order.
        lost: why what was done cannot be submitted any more; "" if it can.
        batch: the commit in which operations were submitted last, until that is done; see `under_way`.
    """

    __slots__ = ("batch", "key", "log_id", "lost", "operations")

    def __init__(self, key: str, log_id: str) -> None:
        self.key = key
        self.log_id = log_id
        self.operations: list[Operation] = []
        self.lost = ""
        self.batch: CommitBatch | None = None

    def __call__(self, operation: Operation) -> None:
        """Remember an operation."""
        self.operations.append(operation)

    @property
    def under_way(self) -> CommitBatch | None:
        """The commit in which operations were submitted last; None: there is none, or it is done."""
        if self.batch is not None and self.batch.done.is_set():
            self.batch = None
        return self.batch

    def take(self) -> list[Operation]:
        """Return the operations and forget them."""
        operations, self.operations = self.operations, []
        return operations

    def give_back(self, value: Crdt, operations: Sequence[Operation], state: Crdt) -> None:
        """Let a value be what it was before its operations were submitted in vain: they are still to be submitted.

        If more was done to the value meanwhile, that was done to what has failed, and cannot be kept.
        """
        if self.operations:
            self.lost = "it was changed again while an update of it was under way, and that update failed"
            return
        renewed = state.copy()
        try:
            self.operations = renewed.adopt(operations)
        except Exception as error:  # its numbers were given to what has failed as well, or its rights are spent
            self.lost = f"what was done to it does not fit what is here any more ({error})"
            return
        value.reload(renewed)


def handed_out(state: C, key: str) -> C:
    """Return a copy of a state that remembers what is done to it."""
    value: C = state.copy()
    value.listen(LocalChanges(key, value.replica_id))
    return value


def changes_of(value: Crdt) -> LocalChanges:
    """Return what was done to a value that was handed out.

    Raises:
        ValueError: the value was not handed out by a replicator.
    """
    listener: Any = value._root.listener  # noqa: SLF001 - nothing else of a value leads to who handed it out
    if not isinstance(listener, LocalChanges):
        raise ValueError(f"{value!r:.100} was not handed out by `get`: nobody knows what was done to it")
    return listener
