"""The one async shell around the core: it owns the tasks, the clock and the connections, and carries effects out.

    connections ──► receive ──┐                     ┌─► `PersistLane`: the store, in order ──► stored, merged, installed
    `LogFollower` ► persisted ┼─► core ──► effects ─┼─► outboxes of connections, in order
    time        ──► tick ─────┘                     └─► those who wait: `CoreAgreement`

No decision about the protocol is taken here. Effects that persist something go through the lane, one after the other;
what the same effects send follows when that is durable, and what later effects send does not overtake it.

Only these and the replicator touch the store for replication. A peer's mistake ends its connection, and is counted and
logged; it raises in no local caller.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskGroup, TaskStatus

from calliope.errors import CalliopeError, JournalClosedError, JournalError
from calliope.stores.replica_store import ReplicaStore
from calliope.stores.versioned import LogEntry
from replication import wire
from replication.agreeing import CoreAgreement
from replication.complaints import Complaints
from replication.core.effects import (
    Agreed,
    Announcement,
    Effects,
    MemberChanged,
    Read,
    ReadStaged,
    ReadStates,
    Refuse,
    Send,
    Stable,
)
from replication.core.replica import MemberReport, ReplicaCore
from replication.errors import ConnectionLostError, MalformedMessageError
from replication.log_following import LogFollower
from replication.outbox import Outbox
from replication.persisting import PersistLane
from replication.printable import printable
from replication.replicator import Replicator
from replication.staging import StagingArea
from replication.transports.protocol import Connection

logger = logging.getLogger("calliope.replication")


class Engine:
    """Runs one replica's part of the protocol.

    Args:
        core: the protocol.
        store: the journal's store.
        clock: a monotonic clock, in seconds.

    Attributes:
        agreement: what the replicator waits for.
        complaints: what was wrong with peers whose connections were ended.
        sent_bytes: how many bytes of messages were sent.
    """

    def __init__(
        self,
        core: ReplicaCore,
        store: ReplicaStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._core = core
        self._store = store
        self._clock = clock
        self._log = LogFollower(store, self._persisted)
        self._staging = StagingArea(store)
        self._lane = PersistLane(core, store, self._staging, clock, self._do_the_rest, self._log.follow_tail)
        self.agreement = CoreAgreement(core, clock, self._lane.do, self._log.follow_tail)
        self._outboxes: dict[str, Outbox] = {}
        self._tasks: TaskGroup
        self._changed = anyio.Event()
        self._compacting = False
        self._replicator: Replicator
        self.complaints = Complaints(logger, clock)
        self.sent_bytes = 0

    # Running --------------------------------------------------------------------------------------------------

    async def run(self, replicator: Replicator, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; it has started when it is decided to which log the journal writes.

        Args:
            replicator: whose states other replicas may need, and which is told what is new.
            task_status: told when it has started.
        """
        self._replicator = replicator
        async with anyio.create_task_group() as self._tasks:
            await self._lane.start(replicator)
            task_status.started()
            self._tasks.start_soon(self._log.run)
            self._tasks.start_soon(self._tick)
            await self._lane.run()

    async def serve(self, connection: Connection) -> None:
        """Speak with a peer until the connection is over.

        Cancellation ends it; what was received and is not durable yet will be asked for again.
        """
        peer = connection.replica_id
        outbox = Outbox()
        self._outboxes[peer] = outbox
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send_from, outbox, connection, tasks)
                tasks.start_soon(self._end_when_closed, outbox, tasks)
                self._do(self._core.connected(self._clock(), peer))
                with suppress(ConnectionLostError):
                    await self._receive_from(connection, outbox)
                tasks.cancel_scope.cancel()
        finally:
            if self._outboxes.get(peer) is outbox:
                del self._outboxes[peer]
                self._lane.forget(peer)
                self._do(self._core.disconnected(self._clock(), peer))
            with anyio.CancelScope(shield=True):
                await connection.aclose(outbox.reason)

    # The cluster -----------------------------------------------------------------------------------------------

    def members(self) -> list[MemberReport]:
        """Return what is known of every replica, this one first."""
        return self._core.members(self._clock())

    def remove(self, replica_id: str) -> None:
        """Remove a replica for ever; see `ReplicaCore.remove`."""
        self._do(self._core.remove(self._clock(), replica_id))

    def listens_at(self, address: str) -> None:
        """Tell others from now on where this replica listens."""
        self._core.address = address

    @property
    def connected(self) -> frozenset[str]:
        """The peers that are connected."""
        return frozenset(self._outboxes)

    async def changed(self) -> None:
        """Return when a member's state, or who is connected, has changed."""
        await self._changed.wait()

    # Effects ---------------------------------------------------------------------------------------------------

    def _do(self, effects: Effects) -> None:
        self._lane.do(effects)

    def _do_the_rest(self, effects: Effects) -> None:
        for send in effects.send:
            self._send(send)
        for read in effects.read:
            self._read(read)
        for refusal in effects.refuse:
            self._refuse(refusal)
        for announcement in effects.announce:
            self._announce(announcement)

    def _send(self, send: Send) -> None:
        outbox = self._outboxes.get(send.peer)
        if outbox is not None and not outbox.closed and not outbox.put(send.message):
            self._refuse(Refuse(send.peer, "does not read what it is sent"))

    def _refuse(self, refusal: Refuse) -> None:
        outbox = self._outboxes.get(refusal.peer)
        if outbox is not None:
            self.complaints.add(refusal.peer, f"loses its connection: it {refusal.reason}")
            outbox.close(refusal.reason)

    def _announce(self, announcement: Announcement) -> None:
        if isinstance(announcement, Agreed):
            self.agreement.agreed(announcement.token)
        elif isinstance(announcement, Stable):
            self._tasks.start_soon(self._compact)
        elif isinstance(announcement, MemberChanged):
            logger.info("%s is %s", printable(announcement.replica_id), announcement.state)
            self._changed.set()
            self._changed = anyio.Event()

    # Reading ---------------------------------------------------------------------------------------------------

    def _read(self, read: Read | ReadStates | ReadStaged) -> None:
        if isinstance(read, Read):
            page = self._log.page(read)
            if page is not None:
                self._do(self._core.loaded(self._clock(), read, page))
                return
        if isinstance(read, ReadStaged):
            self._tasks.start_soon(self._read_part, read)
        else:
            self._tasks.start_soon(self._read_from_store, read)

    async def _read_from_store(self, read: Read | ReadStates) -> None:
        try:
            if isinstance(read, Read):
                page = await self._store.read_log(have=read.have, after=read.after, bytes_max=read.bytes_max)
                self._core.compacted(page.floor.merge(self._store.floor))  # so that no page with holes is sent
                self._do(self._core.loaded(self._clock(), read, page))
            else:
                states, after_key, complete = await self._replicator.export_states(read.after_key, read.bytes_max)
                now, held = self._clock(), self._store.vector
                self._do(self._core.states_loaded(now, read, states, after_key, held, complete=complete))
        except JournalClosedError:
            raise
        except CalliopeError as error:
            self._cannot_serve(read.peer, error)

    async def _read_part(self, read: ReadStaged) -> None:
        try:
            part = await self._staging.part(read.number)
        except JournalClosedError:
            raise
        except CalliopeError as error:
            logger.error("a snapshot that was taken over cannot be read, and will be tried again: %s", error)
            part = None
        self._do(self._core.part_loaded(self._clock(), part))

    def _cannot_serve(self, peer: str, error: Exception) -> None:
        logger.error("%s cannot be served: %s", printable(peer), error)
        self._refuse(Refuse(peer, f"cannot be served: {error}"))

    # Tasks -----------------------------------------------------------------------------------------------------

    def _persisted(self, entries: Sequence[tuple[int, LogEntry]]) -> None:
        self._do(self._core.persisted(self._clock(), entries))

    async def _compact(self) -> None:
        if self._compacting:
            return
        self._compacting = True
        try:
            await self._replicator.compact()
        except JournalClosedError:
            raise
        except JournalError as error:
            logger.warning("the log was not compacted, and will be tried again: %s", error)
        finally:
            self._compacting = False

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(max(0.0, self._core.next_tick - self._clock()))
            self._core.compacted(self._store.floor)
            self._do(self._core.tick(self._clock()))

    async def _receive_from(self, connection: Connection, outbox: Outbox) -> None:
        while not outbox.closed:
            data = await connection.receive()
            try:
                message = wire.decode(data)
            except MalformedMessageError as error:
                self._refuse(Refuse(connection.replica_id, str(error)))
                return
            self._do(self._core.receive(self._clock(), connection.replica_id, message))

    async def _end_when_closed(self, outbox: Outbox, tasks: TaskGroup) -> None:
        """End speaking with who was refused, also while a message to it is stuck on the way."""
        await outbox.until_closed()
        tasks.cancel_scope.cancel()

    async def _send_from(self, outbox: Outbox, connection: Connection, tasks: TaskGroup) -> None:
        with suppress(ConnectionLostError):
            while not outbox.closed:
                message = await outbox.next()
                try:
                    data = wire.encode(message)
                except ValueError as error:
                    self._cannot_serve(connection.replica_id, error)
                    continue
                self.sent_bytes += len(data)
                await connection.send(data)
        tasks.cancel_scope.cancel()
