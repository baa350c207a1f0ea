"""`Committing`: one batch of updates after the other, each all or nothing.

    update      prepare ──► gathering ──┐ when the commit before is done
    run                                 ├─► store.append_operations(changes)
    update      ◄── shown, wake ────────┘

While a commit is under way further updates are prepared on what it promises and gather for the next. If it fails, so do
they: they have been prepared on what did not come to be.

Invariant: at most one batch is with the store. So what is prepared is written in its order, or not at all.
"""

import logging

import anyio

from calliope.errors import JournalClosedError, JournalError, StorageError
from calliope.event_stream import MicrosecondClock
from calliope.stores.replica_store import ReplicaStore
from replication.commit_batch import CommitBatch
from replication.errors import StaleValueError
from replication.key_space import KeySpace
from replication.version_token import VersionToken

GATHERED_BYTES_MAX = 8 * 1024 * 1024
"""About how many bytes of updates gather for the next commit; further callers wait for room."""

_log = logging.getLogger(__name__)


class Committing:
    """Commits updates in batches.

    Args:
        store: where they are written.
        keys: shows them once they are durable.
        clock: the time that they are stamped with.

    Attributes:
        writing: held while a batch is with the store; who holds it may move to another log.
    """

    def __init__(self, store: ReplicaStore, keys: KeySpace, clock: MicrosecondClock) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self.writing = anyio.Lock()
        self._gathering = CommitBatch(keys.log_id)
        self._under_way: CommitBatch | None = None
        self._wanted = anyio.Event()
        self._is_unsure = False
        self._closed = False

    async def room(self) -> None:
        """Return when an update may be prepared.

        Raises:
            JournalClosedError: nothing is written any more.
            JournalError: a commit has failed, and what became of it cannot be read.
        """
        while self._gathering.byte_count > GATHERED_BYTES_MAX:
            await self._gathering.done.wait()
        if self._closed:
            raise JournalClosedError("the replicator is closed; nothing was written")
        if self._is_unsure:
            await self._make_sure()

    @property
    def gathering(self) -> CommitBatch:
        """The batch that takes updates now."""
        if self._closed:
            raise JournalClosedError("the replicator is closed; nothing was written")
        if self._gathering.log_id != self._keys.log_id:
            self._fail_gathering(StaleValueError("", "the replica writes in another log now"))
        self._wanted.set()
        return self._gathering

    def carrying(self, key: str) -> CommitBatch | None:
        """Return the last batch that carries operations of a key and is not done; None: there is none."""
        for batch in (self._gathering, self._under_way):
            if batch is not None and key in batch.keys:
                return batch
        return None

    async def run(self) -> None:
        """Commit what gathers, until cancelled; a commit under way is finished, what has gathered fails."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted = anyio.Event()
                batch, self._gathering = self._gathering, CommitBatch(self._keys.log_id)
                if not batch.is_empty:
                    self._under_way = batch
                    with anyio.CancelScope(shield=True):
                        await self._commit(batch)
                    self._under_way = None
        finally:
            self._closed = True
            self._fail_gathering(JournalClosedError("the replicator is closed; nothing was written"))

    async def _commit(self, batch: CommitBatch) -> None:
        try:
            async with self.writing:
                self._check_log(batch, self._store.log_id)
                log_id, number = await self._store.append_operations(batch.changes(self._clock()))
            self._check_log(batch, log_id)  # another process: such a change is passed over, everywhere
        except Exception as error:
            await self._fail(batch, error)
            return
        try:
            await self._keys.reach()
        except JournalClosedError:
            raise
        except JournalError as error:  # it is durable; who asks for the key is told that it cannot be shown
            _log.warning("what was written cannot be shown yet: %s", error)
        finally:
            batch.succeed(VersionToken(log_id, number))

    def _check_log(self, batch: CommitBatch, log_id: str) -> None:
        if batch.log_id != log_id:
            raise StaleValueError("", "the replica writes in another log now")

    async def _fail(self, batch: CommitBatch, error: Exception) -> None:
        self._take_back(batch)
        self._take_back(self._gathering)
        if isinstance(error, StorageError):
            self._is_unsure = True
            try:
                await self._make_sure()
            except Exception as second:
                error.add_note(f"what became of the commit cannot be read: {second!r}")
        batch.fail(error)
        self._fail_gathering(error)

    async def _make_sure(self) -> None:
        """Read what the log has: what failed without a known outcome may be there, and its numbers be taken."""
        while not await self._keys.read_page():
            pass
        self._is_unsure = False

    def _fail_gathering(self, error: Exception) -> None:
        batch, self._gathering = self._gathering, CommitBatch(self._keys.log_id)
        self._take_back(batch)
        batch.fail(error)

    def _take_back(self, batch: CommitBatch) -> None:
        for key in batch.keys:
            state = self._keys.cache.peek(key)
            if state is not None and state.log_id == batch.log_id:
                state.take_back()
