"""`CommitBatch`: the updates that will be committed together, as the changes that the store is given."""

from collections.abc import Callable, Sequence

import anyio

from calliope.limits import PAYLOAD_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_EVENTS_MAX
from calliope.stores.versioned import Item, Versioned
from crdts import Operation
from replication.version_token import VersionToken

SHARED_CHANGE_BYTES = 16 * 1024
"""Up to about this size, consecutive updates of a key share a change; one update is never divided for its size."""


class _Draft:
    """A change that is being written: operations of one replica on one key, which have seen the same of others."""

    __slots__ = ("byte_count", "counter", "items", "key", "others", "writer")

    def __init__(self, key: str, operation: Operation) -> None:
        self.key = key
        self.writer = operation.replica_id
        self.counter = operation.counter
        self.others = operation.others
        self.items: list[Item] = []
        self.byte_count = 0

    def continues(self, operation: Operation) -> bool:
        """Whether an operation can be the next of this change."""
        return operation.counter == self.counter + len(self.items) and (
            operation.others is self.others or operation.others == self.others
        )

    def change(self, timestamp: int) -> Versioned:
        """Return the change."""
        observed = self.others.to_dict()
        return Versioned(self.key, self.writer, self.counter, observed, timestamp, None, (), {}, tuple(self.items))


class CommitBatch:
    """Gathers updates until they are committed, all or nothing.

    Attributes:
        log_id: the log in which the operations were prepared to be written.
        token: where they stand, once they are durable.
        error: why they are not, if the commit failed.
        done: set when one of the two is known, and the keys show it.
    """

    def __init__(self, log_id: str) -> None:
        self.log_id = log_id
        self.token: VersionToken | None = None
        self.error: Exception | None = None
        self.done = anyio.Event()
        self.byte_count = 0
        self._drafts: list[_Draft] = []
        self._last: dict[tuple[str, str], _Draft] = {}
        self._on_failure: list[Callable[[], None]] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self._drafts

    @property
    def keys(self) -> set[str]:
        """The keys that it changes."""
        return {draft.key for draft in self._drafts}

    def add(
        self,
        key: str,
        operations: Sequence[Operation],
        items: Sequence[Item],
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        """Add the operations of one update, which come after all others of their key, and their encoded form."""
        draft = self._last.get((key, operations[0].type_name))
        if draft is not None and draft.byte_count > SHARED_CHANGE_BYTES:
            draft = None
        for operation, item in zip(operations, items, strict=True):
            if draft is None or not draft.continues(operation):
                draft = self._last[key, operation.type_name] = _Draft(key, operation)
                self._drafts.append(draft)
            draft.items.append(item)
            draft.byte_count += len(item.payload) + 16
            self.byte_count += len(item.payload) + 64
        if on_failure is not None:
            self._on_failure.append(on_failure)

    def changes(self, timestamp: int) -> list[Versioned]:
        """Return the changes to write, each key's in the order of its operations."""
        return [draft.change(timestamp) for draft in self._drafts]

    def succeed(self, token: VersionToken) -> None:
        """Let the callers go on: it is durable, and shown."""
        self.token = token
        self._end()

    def fail(self, error: Exception) -> None:
        """Let the callers know: it is not durable, and what it promised is taken back."""
        self.error = error
        for function in self._on_failure:
            function()
        self._end()

    def _end(self) -> None:
        """Let go of what was committed: who holds a value may hold its last batch for long."""
        self._drafts, self._last, self._on_failure = [], {}, []
        self.done.set()

    async def outcome(self) -> VersionToken:
        """Wait for the commit, and return where it stands.

        Raises:
            Exception: why the commit failed.
        """
        await self.done.wait()
        if self.error is not None:
            raise self.error
        assert self.token is not None
        return self.token


def encoded_items(operations: Sequence[Operation]) -> list[Item]:
    """Return the items of an update.

    Raises:
        ValueError: the update is larger than what a journal takes.
    """
    items = [Item(operation.type_name, 1, operation.payload) for operation in operations]
    sizes = [len(item.payload) for item in items]
    if len(items) > REQUEST_EVENTS_MAX:
        raise ValueError(f"an update has at most {REQUEST_EVENTS_MAX} operations, not {len(items)}")
    if max(sizes, default=0) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"an operation has at most {PAYLOAD_BYTES_MAX} bytes, not {max(sizes)}")
    if sum(sizes) > REQUEST_BYTES_MAX:
        raise ValueError(f"an update has at most {REQUEST_BYTES_MAX} bytes, not {sum(sizes)}")
    return items
