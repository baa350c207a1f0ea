"""`Checkpoints`: fold the operations that came into stored states, and forget those that every replica holds.

A checkpoint stores the state of each key that has operations behind it, in chunks; the last chunk raises the log
position through which the stored states contain everything. A crash between chunks does no harm: states that contain
more than the checkpoint says are given operations twice, and pass them over.

It is due when operations take too much memory, and when nothing has come for a while. A large state is not written
anew for a small change: its operations stay behind, and the checkpoint stays before them, until there are many of them,
or until they have stayed so for `PASSED_OVER_MAX` times that memory was full. So a restart reads no more of the log
than what comes in that time.

Operations at or below the stable version, which all replicas hold, are deleted from the log once states contain them.
"""

import logging
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import anyio
from anyio import lowlevel

from calliope.errors import JournalClosedError, JournalError
from calliope.flow.clock import Clock
from calliope.stores.replica_store import ReplicaStore, StoredState
from crdts import VersionVector
from replication.core.agreement import Agreement
from replication.errors import MalformedStateError
from replication.key_space import KeySpace
from replication.key_state import KeyState
from replication.log_stretches import LOG_KEPT_BYTES
from replication.operations_behind import OPERATIONS_BEHIND_BYTES_MAX

CHECKPOINT_IDLE_SECONDS = 1.0
"""How long nothing must have come for a checkpoint that memory does not need."""

CHUNK_STATES = 512
"""How many states are saved in one commit, at most."""

CHUNK_BYTES = 4 * 1024 * 1024
"""About how many bytes of states are saved in one commit."""

EFFORT_BYTES_MAX = 128 * 1024
"""About how many bytes of states are encoded before other tasks get their turn: a few milliseconds …"""

STATE_EFFORT_BYTES = 2 * 1024
"""… while a state costs as much as so many bytes, however small it is."""

LARGE_STATE_BYTES = 64 * 1024
"""From this size on a state may be passed over …"""

WORTHWHILE = 16
"""… while it is this many times larger than the operations behind it …"""

PASSED_OVER_MAX = 8
"""… and has been passed over by fewer than so many full checkpoints."""

PASSED_OVER_BYTES_MAX = OPERATIONS_BEHIND_BYTES_MAX // 4
"""How many bytes of operations may stay behind in all."""

_logger = logging.getLogger(__name__)


class _Saved(NamedTuple):
    """A state to save, and how many of the changes behind its key it contains."""

    stored: StoredState
    change_count: int


class Checkpoints:
    """Makes checkpoints.

    Args:
        store: the journal's store.
        keys: its keys.
        agreement: knows what all replicas hold.
        clock: tells how long nothing has come.
        foldable: what every operation that any replica will still write has seen; states are folded up to there.
        kept_bytes: how many bytes of operations stay in the log in any case.

    Attributes:
        lock: held while stored states are replaced.
    """

    def __init__(
        self,
        store: ReplicaStore,
        keys: KeySpace,
        agreement: Agreement,
        clock: Clock,
        foldable: Callable[[], VersionVector],
        kept_bytes: int = LOG_KEPT_BYTES,
    ) -> None:
        self.lock = anyio.Lock()
        self._store = store
        self._keys = keys
        self._agreement = agreement
        self._clock = clock
        self._foldable = foldable
        self._kept_bytes = kept_bytes
        self._passed_over: Counter[str] = Counter()

    async def run(self) -> None:
        """Make checkpoints when they are due, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run_when_crowded)
            tasks.start_soon(self._run_when_idle)

    async def checkpoint(self, *, everything: bool = False) -> None:
        """Store the states of keys with operations behind them; cancellation leaves some of them stored.

        Args:
            everything: large states, too.

        Raises:
            StorageFullError, StorageError: the operations stay behind.
        """
        async with self.lock:
            await self._checkpoint(everything=everything, is_full=True)
        await self.compact()

    async def compact(self) -> None:
        """Delete operations that all replicas hold and states contain, except for the newest."""
        stable, through = self._agreement.stable, self._store.checkpoint
        forgettable = self._keys.stretches.forgettable(stable, through, self._kept_bytes)
        if forgettable:
            await self._store.forget_operations(through=forgettable)
            self._keys.stretches.forget(forgettable)

    async def _run_when_crowded(self) -> None:
        while True:
            await self._keys.crowded.wait()
            self._keys.crowded = anyio.Event()
            await self._try(is_full=True)

    async def _run_when_idle(self) -> None:
        while True:
            await self._keys.stirred.wait()
            while True:
                self._keys.stirred = anyio.Event()
                await self._clock.sleep(CHECKPOINT_IDLE_SECONDS)
                if not self._keys.stirred.is_set():
                    break
            await self._try(is_full=False)

    async def _try(self, *, is_full: bool) -> None:
        try:
            async with self.lock:
                await self._checkpoint(everything=False, is_full=is_full)
            await self.compact()
        except JournalClosedError:
            raise
        except JournalError as error:
            _logger.warning("a checkpoint failed and will be tried again when operations come: %s", error)

    async def _checkpoint(self, *, everything: bool, is_full: bool) -> None:
        behind, target = self._keys.behind, self._keys.position
        due = sorted(key for key in behind if behind.first_position(key) <= target)
        chunk: list[_Saved] = []
        left: list[str] = []
        byte_count = left_bytes = effort = 0
        foldable = self._foldable()
        for key in due:
            state = await self._look(key)
            if state is None or not (everything or self._is_due(state, left_bytes)):
                left.append(key)
                left_bytes += behind.bytes_of(key)
                self._passed_over[key] += is_full
                continue
            state.fold(foldable)
            saved = _Saved(state.store(), len(behind.of(key)))
            chunk.append(saved)
            byte_count += len(saved.stored.body)
            effort += STATE_EFFORT_BYTES + len(saved.stored.body)
            if effort > EFFORT_BYTES_MAX:
                await lowlevel.checkpoint()
                effort = 0
            if byte_count > CHUNK_BYTES or len(chunk) == CHUNK_STATES:
                await self._save(chunk)
                chunk, byte_count = [], 0
        if left:
            target = min(target, min(behind.first_position(key) for key in left) - 1)
        if chunk or target > self._store.checkpoint:
            await self._save(chunk, max(target, self._store.checkpoint))

    async def _look(self, key: str) -> KeyState | None:
        try:
            return await self._keys.look(key)
        except MalformedStateError as error:
            _logger.error("the stored state of a key is damaged, its operations stay in the log: %s", error)
            return None

    def _is_due(self, state: KeyState, left_bytes: int) -> bool:
        behind_bytes = self._keys.behind.bytes_of(state.key)
        return (
            state.byte_count < max(LARGE_STATE_BYTES, WORTHWHILE * behind_bytes)
            or self._passed_over[state.key] >= PASSED_OVER_MAX
            or left_bytes + behind_bytes > PASSED_OVER_BYTES_MAX
        )

    async def _save(self, chunk: list[_Saved], position: int | None = None) -> None:
        await self._keys.save([saved.stored for saved in chunk], position)
        for saved in chunk:
            self._keys.behind.drop(saved.stored.key, saved.change_count)
            del self._passed_over[saved.stored.key]
