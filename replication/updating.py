"""`Updating`: what is done to keys becomes operations, prepared on what is promised, and committed in batches."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from calliope.stores.replica_store import ReplicaStore
from crdts import Crdt, MalformedOperationError
from crdts.version_vector import NOTHING_SEEN
from replication.commit_batch import CommitBatch, encoded_items
from replication.committing import Committing
from replication.errors import StaleValueError
from replication.key_space import KeySpace
from replication.key_state import KeyState
from replication.local_changes import LocalChanges, changes_of
from replication.typed_state import TypedState
from replication.version_token import VersionToken


class Submitted(NamedTuple):
    """An update that is durable here.

    Attributes:
        token: what others wait for until they see it.
        held: of each log, up to which entry who holds the update must hold it. If there was nothing to do, these are
            the entries that the value consists of: it is as if they had been asked for again.
    """

    token: VersionToken
    held: Mapping[str, int]


class Updating:
    """Prepares updates and deletions of keys; between reading a key and preparing on it nothing is awaited.

    Args:
        store: the journal's store.
        keys: its keys.
        committing: takes the operations.
    """

    def __init__(self, store: ReplicaStore, keys: KeySpace, committing: Committing) -> None:
        self._store = store
        self._keys = keys
        self._committing = committing

    async def with_value(self, key: str, value: Crdt) -> Submitted:
        """Submit what was done to a value that was handed out; return when it is durable.

        Raises:
            KeyTypeError, StaleValueError, JournalError: see `Replicator.update`.
        """
        changes = changes_of(value)
        if changes.key != key:
            raise ValueError(f"this value was handed out for key {changes.key!r}, not for {key!r}")
        await self._committing.room()
        await self._keys.reach()
        state = await self._keys.state(key)
        self._check_current(changes)
        state.check_type(value.type_name)
        self._submit(state, value, changes)
        try:
            return await self._outcome(state, changes.under_way)  # which another task may have submitted with its own
        except StaleValueError as error:
            raise StaleValueError(key, error.reason) from None

    async def with_function(self, key: str, type_name: str, function: Callable[[Any], object]) -> Submitted:
        """Submit what a function does to the current value; return when it is durable.

        Raises:
            KeyTypeError, JournalError: see `Replicator.update`.
        """
        while True:
            await self._committing.room()
            await self._keys.reach()
            state = await self._keys.state(key)
            state.check_type(type_name)
            batch = self._prepare(state, type_name, function)
            if batch is None and state.is_promised:  # what the function saw, and left as it is, may still fail
                batch = self._committing.carrying(key)
            try:
                return await self._outcome(state, batch)
            except StaleValueError:
                continue  # the replica has moved to another log

    async def delete(self, key: str) -> Submitted:
        """Undo all that is known of a key; return when that is durable.

        Raises:
            MalformedOperationError, JournalError: see `Replicator.delete`.
        """
        while True:
            await self._committing.room()
            await self._keys.reach()
            state = await self._keys.state(key)
            batch = self._prepare_deletion(state)
            try:
                return await self._outcome(state, batch)
            except StaleValueError:
                continue  # the replica has moved to another log

    def _check_current(self, changes: LocalChanges) -> None:
        if changes.lost:
            raise StaleValueError(changes.key, changes.lost)
        if changes.log_id != self._keys.log_id:
            raise StaleValueError(changes.key, "the replica writes in another log now")

    def _submit(self, state: KeyState, value: Crdt, changes: LocalChanges) -> None:
        typed = state.typed(value.type_name)
        batch = self._committing.gathering
        operations = changes.take()
        try:
            adopted = typed.adopt(operations, NOTHING_SEEN)
            if adopted:
                self._add(batch, state, typed, adopted, lambda: changes.give_back(value, operations, typed.shown))
                changes.batch = batch
        except BaseException:
            changes.operations = operations
            raise
        value.reload(typed.promised if changes.under_way else typed.shown)

    def _prepare(self, state: KeyState, type_name: str, function: Callable[[Any], object]) -> CommitBatch | None:
        typed = state.typed(type_name)
        batch = self._committing.gathering
        operations = typed.prepare(function)
        if not operations:
            return None
        self._add(batch, state, typed, operations)
        return batch

    def _prepare_deletion(self, state: KeyState) -> CommitBatch | None:
        if not (state.is_listed or state.is_promised):
            return None
        used = [typed for typed in state.types.values() if typed.is_used]
        if not used:
            raise MalformedOperationError(f"nothing of key {state.key!r} can be read here; it was not deleted")
        batch = self._committing.gathering
        for typed in used:
            self._add(batch, state, typed, typed.prepare(lambda value: value.clear()))
        return batch

    def _add(
        self,
        batch: CommitBatch,
        state: KeyState,
        typed: TypedState,
        operations: list[Any],
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        try:
            items = encoded_items(operations)
        except BaseException:
            typed.take_back_last(len(operations))
            raise
        batch.add(state.key, operations, items, on_failure)

    async def _outcome(self, state: KeyState, batch: CommitBatch | None) -> Submitted:
        """Wait for a commit; None: there is nothing to wait for."""
        if batch is not None:
            token = await batch.outcome()
            return Submitted(token, {token.log_id: token.number})  # who holds that holds its past
        token = VersionToken(self._keys.log_id, self._store.vector[self._keys.log_id])
        return Submitted(token, dict(state.entries))
