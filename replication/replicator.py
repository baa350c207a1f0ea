"""`Replicator`: the CRDT keys of a replica: get, update, follow, delete.

    update ──► prepared on what is promised ──► committed in batches ──► log ──► shown ──► acknowledged by others
    get    ◄── copy of what is shown ◄── stored state + operations behind it ◄── log ◄── entries of other replicas

It knows CRDTs; the store knows bytes; the core of replication knows neither.
"""

import logging
from collections.abc import Callable, Sequence
from random import random
from typing import Any, TypeVar, overload

import anyio

from calliope.errors import JournalClosedError, JournalError
from calliope.event_stream import MicrosecondClock, system_clock
from calliope.flow import Source
from calliope.flow.clock import LOOP_CLOCK, Clock
from calliope.flow.retrying import Backoff
from calliope.stores.replica_store import ReplicaStore, StoredState
from crdts import Crdt, VersionVector
from crdts.version_vector import NOTHING_SEEN
from replication.arguments import (
    check_change,
    checked_key,
    checked_predicate,
    checked_timeout,
    checked_timeout_or_none,
    checked_token,
    checked_type_name,
)
from replication.checkpoints import Checkpoints
from replication.committing import Committing
from replication.core.agreement import Agreement, Replicas
from replication.following import Following
from replication.key_cache import CACHED_BYTES_MAX, CACHED_KEYS_MAX, KeyCache
from replication.key_names import KeyNames
from replication.key_snapshots import ExportedStates, KeySnapshots
from replication.key_space import KeySpace
from replication.key_state import known_type
from replication.local_changes import handed_out
from replication.log_stretches import LOG_KEPT_BYTES
from replication.operations_behind import OPERATIONS_BEHIND_BYTES_MAX
from replication.quarantine import Quarantine
from replication.single_replica import checked_replicas
from replication.updates import Update
from replication.updating import Submitted, Updating
from replication.version_token import VersionToken

FOLLOWING_AGAIN = Backoff(first_seconds=0.5, longest_seconds=10.0, jitter=0.5)
"""Pauses after the log could not be followed: the disk is full, say."""

_log = logging.getLogger(__name__)

C = TypeVar("C", bound=Crdt)


def _nothing() -> VersionVector:
    return NOTHING_SEEN


class Replicator:
    """The CRDT keys of a replica. A `Node` makes one and runs it; use it from the event loop that it runs in.

    A key is 1 to 512 bytes in UTF-8, without NUL, and holds a CRDT of one type. Its value is shown once it is durable
    here, and never less than was shown before. Keys live in the journal: in memory are those in use, up to the limits
    below.

    Args:
        store: the journal's store; `use_log` has been called.
        agreement: what is known of the cluster.
        clock: tells how long nothing has come.
        wall_clock: the time that changes are stamped with, in microseconds since 1970 UTC.
        foldable: entries that every operation that any replica will still write has seen; up to there, states are
            relieved of what only concurrent operations need. By default nothing is. It takes more than that all
            replicas hold an entry: an operation that was prepared on an older value, or while the entry came in, has
            not seen it.
        cached_keys_max: how many keys are kept in memory.
        cached_bytes_max: about how many bytes of states are kept in memory.
        behind_bytes_max: about how many bytes of operations wait for a checkpoint.
        log_kept_bytes: how many bytes of the newest operations stay in the log, though all replicas hold them.
    """

    def __init__(
        self,
        store: ReplicaStore,
        agreement: Agreement,
        *,
        clock: Clock = LOOP_CLOCK,
        wall_clock: MicrosecondClock = system_clock,
        foldable: Callable[[], VersionVector] = _nothing,
        cached_keys_max: int = CACHED_KEYS_MAX,
        cached_bytes_max: int = CACHED_BYTES_MAX,
        behind_bytes_max: int = OPERATIONS_BEHIND_BYTES_MAX,
        log_kept_bytes: int = LOG_KEPT_BYTES,
    ) -> None:
        self._store = store
        self._agreement = agreement
        self._clock = clock
        cache = KeyCache(cached_keys_max, cached_bytes_max)
        self._quarantine = Quarantine(clock.now)
        self._keys = KeySpace(store, cache, self._quarantine, behind_bytes_max)
        self._committing = Committing(store, self._keys, wall_clock)
        self._checkpoints = Checkpoints(store, self._keys, agreement, clock, foldable, log_kept_bytes)
        self._keys.relief = self._checkpoints.checkpoint
        self._snapshots = KeySnapshots(store, self._keys, self._checkpoints)
        self._updating = Updating(store, self._keys, self._committing)
        self._following = Following(store, self._keys)

    # For users.

    async def get(self, key: str, crdt_type: type[C], replicas: Replicas = 1, timeout: float = 5.0) -> C:
        """Return the value of a key; the empty value if it is unknown.

        What is done to it is submitted by `update(key, value)`.

        Args:
            key: the key.
            crdt_type: its type, such as `ORSet`.
            replicas: what that many replicas, this one included, know together becomes durable here and is shown.
            timeout: how many seconds they are given.

        Raises:
            KeyTypeError: the key holds another type.
            QuorumTimeoutError: too few replicas answered in time.
        """
        name = checked_type_name(crdt_type)
        await self._caught_up(key, replicas, timeout)
        state = await self._keys.state(key)
        state.check_type(name)
        typed = state.types.get(name)
        shown: Any = typed.shown if typed is not None else known_type(name)(self._keys.log_id)
        value: C = handed_out(shown, key)
        return value

    async def find(self, key: str, replicas: Replicas = 1, timeout: float = 5.0) -> Crdt | None:
        """Return the value of a key, whatever its type; None if it is not there, or its type is not known here.

        Raises:
            QuorumTimeoutError: too few replicas answered in time; see `get`.
        """
        await self._caught_up(key, replicas, timeout)
        state = await self._keys.state(key)
        return await self._following.value(key) if state.is_listed else None

    @overload
    async def update(
        self, key: str, change: Crdt, /, *, replicas: Replicas = 1, timeout: float = 5.0
    ) -> VersionToken: ...
    @overload
    async def update(
        self,
        key: str,
        crdt_type: type[C],
        function: Callable[[C], object],
        /,
        *,
        replicas: Replicas = 1,
        timeout: float = 5.0,
    ) -> VersionToken: ...
    async def update(
        self,
        key: str,
        change: Any,
        function: Callable[[Any], object] | None = None,
        /,
        *,
        replicas: Replicas = 1,
        timeout: float = 5.0,
    ) -> VersionToken:
        """Submit what was done to a value that `get` handed out, or what a function does to the current value.

        What is done to a value counts as not having seen what came since it was handed out. Afterwards the value is up
        to date. The function is called once with the current value, on which it calls methods; what it returns does
        not matter; if it raises, nothing has happened. (It is called again if the replica moves to another log before
        the commit.) Updates by many tasks at once share commits.

        If there is nothing to do, because nothing was done to the value or the function left it as it was, nothing is
        written, and so many replicas must hold what the key consists of: who adds an element unless it is there knows
        afterwards that they have it. A key of which nothing is known is held by all.

        Args:
            key: the key.
            change: a value from `get`, or a type, such as `ORSet`.
            function: with a type: changes the value that it is given; a plain function.
            replicas: how many replicas, this one included, must hold the update durably before this returns.
            timeout: how many seconds they are given.

        Returns:
            What `wait_until_version` waits for.

        Raises:
            KeyTypeError: the key holds another type; nothing was written.
            StaleValueError: the value must be got anew; nothing was written.
            QuorumTimeoutError: too few replicas said in time that they hold it. It is recorded here, and spreads.
            JournalError: see its subclasses for whether it was written; if not, the value is as it was before.

        Cancellation stops the waiting; the update is written as a whole, or not at all if it was not submitted yet.
        """
        _check(key, replicas, timeout)
        check_change(change, function)
        if function is None:
            submitted = await self._updating.with_value(key, change)
        else:
            submitted = await self._updating.with_function(key, checked_type_name(change), function)
        return await self._acknowledged(submitted, replicas, timeout)

    async def delete(self, key: str, *, replicas: Replicas = 1, timeout: float = 5.0) -> VersionToken:
        """Undo everything that is known of a key; `keys` does not list it until somebody writes it again.

        Updates that are concurrent survive, on all replicas. The key keeps its type.

        Raises:
            MalformedOperationError: nothing of the key can be read here (its type is not known, say).
            QuorumTimeoutError, JournalError: as `update`.
        """
        _check(key, replicas, timeout)
        return await self._acknowledged(await self._updating.delete(key), replicas, timeout)

    def updates(self, key: str) -> Source[Update[Any]]:
        """Yield the value of a key, at once if there is one, and its newest value after changes, for ever.

        A reader that is slow is told the newest value, and holds up nobody.
        """
        checked_key(key)
        return Source.from_inlet(lambda: self._following.inlet(key))

    async def wait_until(self, key: str, predicate: Callable[[Any], object], timeout: float | None = None) -> Any:
        """Return the value of a key once the predicate is true of it; look at it only when it has changed.

        The predicate is not asked about a key that does not exist.

        Raises:
            TimeoutError: it was not true within `timeout` seconds.
            JournalClosedError: this replica was closed meanwhile.
            Exception: what the predicate raises.
        """
        checked_key(key)
        return await self._following.until(key, checked_predicate(predicate), checked_timeout_or_none(timeout))

    async def wait_until_version(self, token: VersionToken, timeout: float | None = None) -> None:
        """Return when this replica shows the update that a token was returned for, here or elsewhere.

        Raises:
            TimeoutError: it did not come within `timeout` seconds.
            JournalClosedError: this replica was closed meanwhile.
        """
        await self._following.until_version(checked_token(token), checked_timeout_or_none(timeout))

    def keys(self, prefix: str = "", after: str = "") -> Source[str]:
        """Yield the keys that exist and begin with a prefix, in the order of their code points.

        Args:
            prefix: how they begin.
            after: the key to begin after, whether it exists or not.
        """
        for name, text in (("prefix", prefix), ("after", after)):
            if text != "":
                checked_key(text, name)
        return Source.from_inlet(lambda: KeyNames(self._store, self._keys, prefix, after))

    def stable(self) -> VersionVector:
        """Return the stable version: what all replicas hold, as a vector of log ids."""
        return self._agreement.stable

    @property
    def quarantined(self) -> int:
        """How many changes by other replicas could not be read and were set aside."""
        return self._quarantine.count

    @property
    def cached_keys(self) -> int:
        """How many keys are in memory."""
        return len(self._keys.cache)

    # For the node.

    async def run(self) -> None:
        """Commit updates, follow the log and make checkpoints, until cancelled or the journal is closed.

        Cancellation finishes the commit that is under way; updates that have not been submitted fail, and those who
        wait for changes are told that there will be none.
        """
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._committing.run)
                tasks.start_soon(self._checkpoints.run)
                tasks.start_soon(self._keys.scan)
                await self._follow()
        except* JournalClosedError:  # whichever of them noticed it first
            pass
        finally:
            self._following.close()

    async def use_log(self, log_id: str) -> None:
        """Write in another log from now on; updates that have not been submitted are prepared anew, or fail."""
        async with self._committing.writing:
            await self._store.use_log(log_id)
            self._keys.renew()

    async def checkpoint(self) -> None:
        """Store the states of all keys that have changed; delete operations that all replicas hold."""
        await self._keys.reach()
        await self._checkpoints.checkpoint(everything=True)

    async def compact(self) -> None:
        """Delete operations that all replicas hold and states contain: when the stable version has grown."""
        await self._checkpoints.compact()

    async def export_states(self, after_key: str, bytes_max: int) -> ExportedStates:
        """Return states of keys after a key, about `bytes_max` bytes; they contain everything that is in the log."""
        return await self._snapshots.export(after_key, bytes_max)

    async def merge_states(self, states: Sequence[StoredState]) -> None:
        """Join another replica's states into ours, durably.

        Raises:
            MalformedStateError: one of them is none; nothing was changed.
        """
        await self._snapshots.merge(states)

    async def install(self, vector: VersionVector) -> None:
        """Say durably that everything up to a vector is held: its states were merged."""
        await self._store.install_snapshot(vector)
        self._following.announce()

    # What they do.

    async def _follow(self) -> None:
        tail = self._store.log_tail
        failures = 0
        while True:
            try:
                await self._keys.reach()
                failures = 0
            except JournalClosedError:
                raise
            except JournalError as error:  # others are told when they ask; nobody is served what is not there
                failures += 1
                _log.warning("the log cannot be followed, and will be tried again: %s", error)
                await self._clock.sleep(FOLLOWING_AGAIN.pause_seconds(failures, random()))
                continue
            self._following.announce()
            await tail.wait(self._keys.position)

    async def _caught_up(self, key: str, replicas: Replicas, timeout: float) -> None:
        """Show at least what so many replicas know."""
        _check(key, replicas, timeout)
        if replicas != 1:
            await self._agreement.caught_up(replicas, timeout)
        await self._keys.reach()

    async def _acknowledged(self, submitted: Submitted, replicas: Replicas, timeout: float) -> VersionToken:
        if replicas != 1:
            until = self._clock.now() + timeout
            for log_id, number in submitted.held.items():
                left = max(0.0, until - self._clock.now())
                await self._agreement.acknowledged(log_id, number, replicas, left)
        return submitted.token


def _check(key: str, replicas: Replicas, timeout: float) -> None:
    checked_key(key)
    checked_replicas(replicas)
    checked_timeout(timeout)
