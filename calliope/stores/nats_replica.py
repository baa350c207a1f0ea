"""`NatsReplica`: the replica half of a journal in JetStream.

What is written crosses into a commit lane, whose thread decides; what is read is asked for by the thread that speaks
with NATS. Other processes' commits are found by looking: at a word from them, and now and then.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import anyio

from calliope.errors import JournalClosedError
from calliope.stores.commit_lane import CommitLane
from calliope.stores.log_state import LogState
from calliope.stores.log_tail import LogTail
from calliope.stores.nats_arrivals import Arrivals
from calliope.stores.nats_commits import NOTHING_STORED, NatsCommits, StoredCommit
from calliope.stores.nats_crossing import NatsThread
from calliope.stores.nats_lease import RENEW_SECONDS, NatsLease
from calliope.stores.nats_listing import NatsListing
from calliope.stores.nats_log import NatsLog
from calliope.stores.nats_log_reader import NatsLogReader
from calliope.stores.nats_notes import NatsNotes
from calliope.stores.nats_publishing import Publisher
from calliope.stores.nats_reader import NatsReader
from calliope.stores.nats_redo import Redo
from calliope.stores.nats_replica_writer import Hold, Learn, LogAdvance, NatsReplicaWriter, Request
from calliope.stores.nats_replicated import NatsReplicated
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.replica_backed import ReplicaBacked
from calliope.stores.replica_store import LogPage, StoredState
from crdts import VersionVector

LOOK_SECONDS = 1.0
"""How often it looks at the log although nobody said a word."""

T = TypeVar("T")


class NatsReplica(ReplicaBacked):
    """Keeps a replica's log in JetStream; a store inherits from it.

    A stream is of one kind, but who makes a plain stream does not wait for who makes a replicated one: if two processes
    do so with one id at the same moment, there may be one of each kind, as when another replica made it.

    Attributes:
        log_tail: the newest log entries and the wake-up of those who replicate them.
    """

    def __init__(
        self,
        thread: NatsThread,
        publisher: Publisher,
        logs: tuple[NatsLog, NatsLog, NatsLog],
        subjects: NatsSubjects,
        arrivals: Arrivals,
        reader: NatsReader,
        listing: NatsListing,
    ) -> None:
        events, notes_log, log = logs
        notes, commits = NatsNotes(publisher, notes_log, subjects), NatsCommits(publisher, log, subjects)
        redo = Redo(publisher, events, subjects, arrivals, notes)
        streams = NatsReplicated(thread, events, reader, subjects, notes)
        self.log_tail = LogTail()
        self._log = LogState()
        self._head: StoredCommit = NOTHING_STORED
        self._new_lease = partial(NatsLease, publisher, notes_log, subjects)
        self._log_reader = NatsLogReader(publisher.connection, commits, notes, listing, subjects)
        self._log_writer = NatsReplicaWriter(
            thread, publisher.connection.address, commits, redo, streams, arrivals, self._say
        )
        self._lane: CommitLane[Request, object, LogAdvance] = CommitLane(
            self._log_writer.commit, self._announce_log, self._look, lambda: None
        )

    async def read_log(self, *, have: VersionVector, after: int, bytes_max: int) -> LogPage:
        """Return log entries; see `ReplicaStore.read_log`."""
        if (await self._run(self._log_reader.head)).last > self._head.last:
            await self._learn_log()  # another process wrote
        head = self._head
        page = await self._run(lambda: self._log_reader.page(head, have, after, bytes_max))
        return replace(page, floor=self.floor)  # as it is now: what was removed meanwhile is below it

    async def load_state(self, key: str) -> StoredState | None:
        """Return a key's state; see `ReplicaStore.load_state`."""
        return await self._run(lambda: self._log_reader.state(key))

    async def states(self, *, prefix: str = "", after: str = "", limit: int, bodies: bool = True) -> list[StoredState]:
        """Return states; see `ReplicaStore.states`."""
        return await self._run(lambda: self._log_reader.states(prefix, after, limit, bodies=bodies))

    async def remembered(self) -> dict[str, bytes]:
        """Return all facts; see `ReplicaStore.remembered`."""
        return await self._run(self._log_reader.facts)

    async def stream_version(self, stream_id: str) -> VersionVector:
        """Return how far each writer has come; see `ReplicaStore.stream_version`."""
        return await self._run(lambda: self._log_reader.stream_version(stream_id))

    async def forget_operations(self, *, through: int) -> None:
        """Delete operations; see `ReplicaStore.forget_operations`.

        They are removed after that is written in the log; if the process ends in between, the next time.
        """
        await super().forget_operations(through=through)
        head = self._head
        await self._run(lambda: self._log_reader.forget(head))

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Callable[[], Coroutine[Any, Any, None]]]:
        """Hold the journal for one node; see `SharedReplicaStore.held`.

        After a node that ended without letting go it takes some seconds until its journal is held again.
        """
        lease = self._new_lease()
        try:
            await self._run(lease.take)
            await self._write(Hold(lease.holder))
            yield partial(self._watch, lease)
        finally:
            with anyio.CancelScope(shield=True), suppress(JournalClosedError):
                await self._run(lease.release)

    async def _watch(self, lease: NatsLease) -> None:
        while True:
            await anyio.sleep(RENEW_SECONDS)
            await self._run(lease.renew)

    async def _write(self, write: Request) -> object:
        self._check_usable()
        return await self._lane.submit(write)

    async def _learn_log(self) -> None:
        """Learn how the log stands; before that, nothing is known of it."""
        await self._write(Learn())

    async def _close_log(self) -> None:
        """Finish what was accepted."""
        try:
            await self._lane.aclose()
        finally:
            self.log_tail.close()

    def _look(self) -> float:
        """Publish what other processes have added to the log. Runs on the lane's thread."""
        if not self._log_writer.is_open:
            return LOOK_SECONDS
        self._lane.post(_nothing)  # if the event loop has ended, so does the thread
        advance = self._log_writer.look()
        if advance is not None:
            self._lane.post(self._announce_log, advance)
        return LOOK_SECONDS

    def _announce_log(self, advance: LogAdvance) -> None:
        if advance.head.commit.number > self._head.commit.number:
            self._head, self._log = advance.head, advance.head.commit.state
        if advance.jumped_to is not None and advance.jumped_to > self.log_tail.position:
            self.log_tail.reset(advance.jumped_to)
        known = self.log_tail.position
        self.log_tail.publish([placed for placed in advance.entries if placed[0] > known])

    def _check_usable(self) -> None:
        raise NotImplementedError

    def _say(self) -> None:
        raise NotImplementedError

    async def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        raise NotImplementedError


def _nothing() -> None:
    pass
