"""`KeySpace`: the keys as the log has them.

A key is its stored state and the operations behind it. Both are bounded in memory: states by the cache, operations by
checkpoints. A key in the cache is shown each operation as the log is followed; any other is built when it is asked for.

Invariant: what a key shows is durable: it comes from the log tail, from pages of the log, and from stored states.
Invariant: a key's stored state and the operations behind it contain everything in the log through `position`.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

import anyio
import msgspec
from anyio.lowlevel import checkpoint

from calliope.errors import JournalClosedError, JournalError
from calliope.limits import STREAM_ID_BYTES_MAX, checked_text
from calliope.stores.replica_store import ReplicaStore, StoredState
from calliope.stores.versioned import LogEntry, Versioned
from crdts import CrdtError
from crdts.version_vector import NOTHING_SEEN
from replication.key_cache import KeyCache
from replication.key_state import KeyState
from replication.log_stretches import LogStretches
from replication.operations_behind import OPERATIONS_BEHIND_BYTES_MAX, Behind, OperationsBehind
from replication.quarantine import Quarantine
from replication.stored_keys import StoredKeys
from replication.watching import Watches

PAGE_BYTES = 1024 * 1024
"""How much of the log is read at once where the tail does not reach."""

SLICE_SECONDS = 0.005
"""How long the log is followed before other tasks get their turn."""

_log = logging.getLogger(__name__)


class KeySpace:
    """The keys of a journal.

    Args:
        store: the journal's store.
        cache: keeps the keys in use.
        quarantine: is told of operations that cannot be read.
        behind_bytes_max: how many bytes of operations wait for a checkpoint.

    Attributes:
        behind: the operations that stored states may lack.
        watches: who is told of changes.
        log_id: the log in which operations are prepared to be written.
        position: everything in the log up to this position is in `behind` or in stored states.
        stirred: set when operations have come.
        crowded: set when more than `behind_bytes_max` bytes wait for a checkpoint.
        relief: makes a checkpoint, for who follows the log when twice as much waits.
    """

    def __init__(
        self,
        store: ReplicaStore,
        cache: KeyCache,
        quarantine: Quarantine,
        behind_bytes_max: int = OPERATIONS_BEHIND_BYTES_MAX,
    ) -> None:
        self.store = store
        self.cache = cache
        self.behind = OperationsBehind()
        self.watches = Watches()
        self.quarantine = quarantine
        self.log_id = store.log_id
        self.position = store.checkpoint
        self.stretches = LogStretches(store.checkpoint, store.vector)
        self._saves = 0
        self._stored_keys = StoredKeys()
        self.stirred = anyio.Event()
        self.crowded = anyio.Event()
        self.relief: Callable[[], Awaitable[None]] | None = None
        self._behind_bytes_max = behind_bytes_max

    async def reach(self) -> None:
        """Follow the log up to where it is now; cancellation leaves it followed up to somewhere.

        Raises:
            JournalError: the log cannot be read, or a checkpoint was needed and failed.
        """
        head = self.store.log_tail.position
        while self.position < head:
            if self.store.log_tail.covers(self.position):
                await self._follow_tail()
            else:
                await self.read_page()

    async def read_page(self) -> bool:
        """Follow a page of the log as it is stored; say whether that was all."""
        await self._make_room()
        after = self.position
        page = await self.store.read_log(have=NOTHING_SEEN, after=after, bytes_max=PAGE_BYTES)
        if self.position == after:  # nobody else was here meanwhile
            for entry in page.entries:
                self._take(after + 1, entry)
            self._step_to(page.through)
            await checkpoint()
        return page.complete

    async def state(self, key: str) -> KeyState:
        """Return a key as of `position`, and keep it in the cache. Use it before anything else is awaited."""
        self.renew()
        found = self.cache.use(key)
        if found is None:
            found = await self._loaded(key)
            if self.cache.peek(key) is None:
                self.cache.put(found)
        return found

    async def look(self, key: str) -> KeyState:
        """Return a key as of `position` without counting that as use."""
        self.renew()
        found = self.cache.peek(key)
        return await self._loaded(key) if found is None else found

    async def scan(self) -> None:
        """Find out which keys have stored states; unless it is known, those of new keys are looked for."""
        try:
            await self._stored_keys.scan(self.store)
        except JournalClosedError:
            raise
        except JournalError as error:
            _log.warning("the names of the keys cannot be read, so each key is looked for: %s", error)

    async def save(self, states: Sequence[StoredState], position: int | None = None) -> None:
        """Replace stored states, and raise the checkpoint to a log position; who does so holds a lock.

        Raises:
            StorageFullError, StorageError: they may be the old ones still.
        """
        for state in states:
            self._stored_keys.add(state.key)
        await self.store.save_states(states, checkpoint=position)
        self._saves += 1

    def renew(self) -> None:
        """Forget states that would write in a log that is not used any more."""
        if self.store.log_id != self.log_id:
            self.log_id = self.store.log_id
            self.cache.clear()

    async def _loaded(self, key: str) -> KeyState:
        while self._stored_keys.may_hold(key):
            saves = self._saves
            stored = await self.store.load_state(key)
            self.renew()
            found = self.cache.peek(key)
            if found is not None:
                return found
            if saves == self._saves:  # else operations that `stored` lacks may not be behind any more
                return self._built(key, stored)
        return self._built(key, None)

    def _built(self, key: str, stored: StoredState | None) -> KeyState:
        state = KeyState(key, self.log_id) if stored is None else KeyState.load(key, self.log_id, stored)
        for behind in self.behind.of(key):
            self._apply(state, behind)
        return state

    async def _follow_tail(self) -> None:
        until = 0.0
        for position, entry in self.store.log_tail.after(self.position):
            if self._is_full or perf_counter() > until:
                await self._make_room()
                await checkpoint()
                until = perf_counter() + SLICE_SECONDS
            if position > self.position:  # others follow, too
                self._take(position, entry)
                self._step_to(position)
        self._step_to(self.store.log_tail.position if self._is_through() else self.position)

    def _is_through(self) -> bool:
        tail = self.store.log_tail
        return tail.covers(self.position) and not tail.after(self.position)

    def _step_to(self, position: int) -> None:
        if position > self.position:
            self.position = position
            self.stretches.extend(position)

    def _take(self, position: int, entry: LogEntry) -> None:
        if entry.kind != "operations":
            return
        self.stretches.add(entry.log_id, entry.number, len(entry.body))
        try:
            changes = entry.changes
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self.quarantine.add(entry.log_id, entry.number, "", error)
            return
        for change in changes:
            self._add(Behind(position, entry.log_id, entry.number, change))
        if changes:
            self.stirred.set()
        if self.behind.byte_count > self._behind_bytes_max:
            self.crowded.set()

    def _add(self, behind: Behind) -> None:
        try:
            _check(behind.change, behind.log_id)
        except ValueError as error:
            self.quarantine.add(behind.log_id, behind.number, behind.change.stream_id, error)
            return
        self.behind.add(behind)
        key = behind.change.stream_id
        state = self.cache.peek(key)
        if state is not None:
            self._apply(state, behind)
            self.cache.changed(state)
        self.watches.notify(key, behind.log_id)

    def _apply(self, state: KeyState, behind: Behind) -> None:
        try:
            state.apply(behind.change, behind.log_id, behind.number)
        except CrdtError as error:
            self.quarantine.add(behind.log_id, behind.number, state.key, error)

    @property
    def _is_full(self) -> bool:
        return self.behind.byte_count > 2 * self._behind_bytes_max

    async def _make_room(self) -> None:
        if self._is_full and self.relief is not None:
            await self.relief()


def _check(change: Versioned, log_id: str) -> None:
    checked_text("the key", change.stream_id, STREAM_ID_BYTES_MAX)
    if change.writer != log_id or not change.items:
        raise ValueError(f"it says that {change.writer!r:.100} has written it, or is empty")
