"""The one async shell around the core: it owns the tasks, the clock and the connections, and carries effects out.

    connections ──► receive ─┐                     ┌─► store (one worker, in order) ──► stored, merged, installed
    log tail    ──► persisted┼─► core ──► effects ─┼─► outboxes of connections, in order
    time        ──► tick     ─┘                     └─► those who wait here

No decision about the protocol is taken here. Effects that persist something go through the worker, one after the other;
what the same effects send follows when that is durable, and what later effects send does not overtake it.

Only this module and the replicator touch the store for replication. A peer's mistake ends its connection, and is
counted and logged; it raises in no local caller.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskGroup, TaskStatus

from calliope.errors import (
    CalliopeError,
    ForkedLogError,
    JournalClosedError,
    JournalError,
    LogGapError,
    MalformedEntryError,
)
from calliope.stores.replica_store import LogPage, ReplicaStore
from calliope.stores.versioned import LogEntry
from crdts import MalformedOperationError, VersionVector
from replication import wire
from replication.complaints import Complaints
from replication.core.agreement import Replicas
from replication.core.effects import (
    Agreed,
    Announcement,
    Append,
    Effects,
    Install,
    MemberChanged,
    MergeStates,
    Persist,
    Read,
    ReadStates,
    Receive,
    Refuse,
    Remember,
    Send,
    Stable,
    UseLog,
)
from replication.core.quorum import required
from replication.core.replica import MemberReport, ReplicaCore
from replication.errors import ConnectionLostError, MalformedMessageError, MalformedStateError, QuorumTimeoutError
from replication.outbox import Outbox
from replication.replicator import Replicator
from replication.transports.protocol import Connection

FOLLOWED_BYTES_MAX = 1024 * 1024
"""How much of the log is read at once where the tail does not reach back."""

PAGE_ENTRIES_MAX = 4_096
"""How many entries are looked through at once for a peer."""

RETRY_SECONDS = 1.0
"""How long the worker waits after the store has failed."""

logger = logging.getLogger("calliope.replication")


class Engine:
    """Runs one replica's part of the protocol; what the replicator waits for is `Agreement`.

    Args:
        core: the protocol.
        store: the journal's store.
        clock: a monotonic clock, in seconds.

    Attributes:
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
        self._followed = store.log_tail.position
        self._outboxes: dict[str, Outbox] = {}
        self._work: deque[Effects] = deque()
        self._work_came = anyio.Event()
        self._sends_waiting = 0
        self._waiting: dict[Hashable, anyio.Event] = {}
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
            for persist in self._core.start(self._clock()).persist:
                await self._carry_out(persist)
            task_status.started()
            self._tasks.start_soon(self._follow_log)
            self._tasks.start_soon(self._tick)
            await self._persist_in_order()

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
                self._do(self._core.connected(self._clock(), peer))
                with suppress(ConnectionLostError):
                    await self._receive_from(connection, outbox)
                tasks.cancel_scope.cancel()
        finally:
            if self._outboxes.get(peer) is outbox:
                del self._outboxes[peer]
                self._do(self._core.disconnected(self._clock(), peer))
            with anyio.CancelScope(shield=True):
                await connection.aclose(outbox.reason)

    # Agreement --------------------------------------------------------------------------------------------------

    @property
    def stable(self) -> VersionVector:
        """The stable version: no operation that has not seen it can still arrive."""
        return self._core.stable

    async def acknowledged(self, log_id: str, number: int, replicas: Replicas, timeout: float) -> None:
        """Return when so many replicas hold an entry durably; see `Agreement`."""
        needed = required(replicas, self._core.member_count)
        self._follow_tail()
        if len(self._core.holders(log_id, number)) >= needed:
            return
        token = object()
        try:
            agreed = await self._until_agreed(
                token, timeout, lambda now: self._core.wait_for(now, token, log_id, number, replicas)
            )
            if not agreed:
                raise QuorumTimeoutError(needed, self._core.holders(log_id, number))
        finally:
            self._core.give_up(token)

    async def caught_up(self, replicas: Replicas, timeout: float) -> None:
        """Return when this journal holds all that so many replicas held when this was called; see `Agreement`."""
        needed = required(replicas, self._core.member_count)
        self._follow_tail()
        token = object()
        answered = {self._core.replica_id}
        try:
            agreed = await self._until_agreed(token, timeout, lambda now: self._core.ask(now, token, replicas))
        finally:
            answered |= self._core.give_up(token)
        if not agreed:
            raise QuorumTimeoutError(needed, answered)

    async def _until_agreed(self, token: Hashable, timeout: float, ask: Callable[[float], Effects]) -> bool:
        event = self._waiting[token] = anyio.Event()
        try:
            self._do(ask(self._clock()))
            with anyio.move_on_after(timeout):
                await event.wait()
            return event.is_set()
        finally:
            del self._waiting[token]

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
        if effects.persist or (self._sends_waiting and effects.send):
            if effects.send:
                self._sends_waiting += 1
            self._work.append(effects)
            self._work_came.set()
        else:
            self._do_the_rest(effects)

    def _do_the_rest(self, effects: Effects) -> None:
        for send in effects.send:
            self._send(send)
        for read in effects.read:
            self._read(read)
        for refusal in effects.refuse:
            self._refuse(refusal)
        for announcement in effects.announce:
            self._announce(announcement)

    async def _persist_in_order(self) -> None:
        while True:
            if not self._work:
                self._work_came = anyio.Event()
                await self._work_came.wait()
            effects = self._work.popleft()
            together = self._receives_together(effects)
            if together:
                await self._receive_together(together)
            else:
                for persist in effects.persist:
                    await self._carry_out(persist)
            for done in together or [effects]:
                if done.send:
                    self._sends_waiting -= 1
                self._do_the_rest(done)

    def _receives_together(self, first: Effects) -> list[Effects]:
        """Return the effects, from the first on, that do nothing but receive: they are stored in one commit."""
        together: list[Effects] = []
        effects: Effects | None = first
        while effects is not None and _only_receives(effects):
            together.append(effects)
            effects = self._work.popleft() if self._work and _only_receives(self._work[0]) else None
        return together if len(together) > 1 else []

    async def _receive_together(self, together: Sequence[Effects]) -> None:
        receives = [persist for effects in together for persist in effects.persist if isinstance(persist, Receive)]
        entries = [entry for receive in receives for entry in receive.entries]
        try:
            await self._store.receive(entries)
        except CalliopeError:
            for receive in receives:  # one of them is at fault: find out which
                await self._carry_out(receive)
            return
        self._follow_tail()
        for receive in receives:
            self._do(self._core.stored(self._clock(), receive))

    async def _carry_out(self, persist: Persist) -> None:
        try:
            done = await self._persist(persist)
        except JournalClosedError:
            raise
        except (CalliopeError, MalformedOperationError) as error:
            self._do(self._core.failed(self._clock(), persist))
            if isinstance(persist, (Receive, MergeStates)) and isinstance(error, _FAULTS_OF_PEERS):
                self._refuse(Refuse(persist.peer, f"sent what cannot be stored: {error}"))
                return
            logger.warning("%s was not stored: %s", type(persist).__name__, error)
            if isinstance(persist, (Receive, MergeStates)):
                await anyio.sleep(RETRY_SECONDS)
        else:
            if done is not None:
                self._do(done)

    async def _persist(self, persist: Persist) -> Effects | None:
        if isinstance(persist, Receive):
            await self._store.receive(persist.entries, snapshot=persist.snapshot)
            self._follow_tail()
            return self._core.stored(self._clock(), persist)
        if isinstance(persist, Remember):
            await self._store.remember(persist.name, persist.fact)
        elif isinstance(persist, UseLog):
            await self._replicator.use_log(persist.log_id)
        elif isinstance(persist, Append):
            await self._store.append_operations(persist.changes)
        elif isinstance(persist, MergeStates):
            await self._replicator.merge_states(persist.states)
            return self._core.merged(self._clock(), persist)
        elif isinstance(persist, Install):
            await self._replicator.install(persist.vector)
            return self._core.installed(self._clock(), persist)
        return None

    def _send(self, send: Send) -> None:
        outbox = self._outboxes.get(send.peer)
        if outbox is not None:
            outbox.put(send.message)

    def _refuse(self, refusal: Refuse) -> None:
        outbox = self._outboxes.get(refusal.peer)
        if outbox is not None:
            self.complaints.add(refusal.peer, f"loses its connection: it {refusal.reason}")
            outbox.close(refusal.reason)

    def _announce(self, announcement: Announcement) -> None:
        if isinstance(announcement, Agreed):
            event = self._waiting.get(announcement.token)
            if event is not None:
                event.set()
        elif isinstance(announcement, Stable):
            self._tasks.start_soon(self._compact)
        elif isinstance(announcement, MemberChanged):
            logger.info("%s is %s", announcement.replica_id, announcement.state)
            self._changed.set()
            self._changed = anyio.Event()

    # Reading ---------------------------------------------------------------------------------------------------

    def _read(self, read: Read | ReadStates) -> None:
        if isinstance(read, Read):
            page = self._page_in_memory(read)
            if page is not None:
                self._do(self._core.loaded(self._clock(), read, page))
                return
        self._tasks.start_soon(self._read_from_store, read)

    def _page_in_memory(self, read: Read) -> LogPage | None:
        tail = self._store.log_tail
        if not tail.covers(read.after):
            return None
        entries: list[LogEntry] = []
        byte_count, through = 0, read.after
        for position, entry in tail.after(read.after, PAGE_ENTRIES_MAX):
            if position > self._followed:
                break
            if entry.number > read.have[entry.log_id]:
                byte_count += len(entry.body)
                if entries and byte_count > read.bytes_max:
                    break
                entries.append(entry)
            through = position
        return LogPage(entries, through, self._followed)

    async def _read_from_store(self, read: Read | ReadStates) -> None:
        try:
            if isinstance(read, Read):
                page = await self._store.read_log(have=read.have, after=read.after, bytes_max=read.bytes_max)
                self._do(self._core.loaded(self._clock(), read, page))
            else:
                states, after_key, complete = await self._replicator.export_states(read.after_key, read.bytes_max)
                self._do(self._core.states_loaded(self._clock(), read, states, after_key, complete=complete))
        except JournalClosedError:
            raise
        except CalliopeError as error:
            logger.error("%s cannot be served: %s", read.peer, error)
            self._refuse(Refuse(read.peer, f"cannot be served: {error}"))

    # Tasks -----------------------------------------------------------------------------------------------------

    async def _follow_log(self) -> None:
        """Tell the core of everything that becomes durable in the journal, whoever wrote it."""
        tail = self._store.log_tail
        while True:
            await tail.wait(self._followed)
            if tail.covers(self._followed):
                self._follow_tail()
            else:
                await self._follow_store()

    def _follow_tail(self) -> None:
        tail = self._store.log_tail
        if tail.position > self._followed and tail.covers(self._followed):
            entries = tail.after(self._followed)
            self._followed = tail.position
            self._do(self._core.persisted(self._clock(), entries))

    async def _follow_store(self) -> None:
        page = await self._store.read_log(have=VersionVector(), after=self._followed, bytes_max=FOLLOWED_BYTES_MAX)
        if page.through > self._followed:
            self._followed = page.through
            self._do(self._core.persisted(self._clock(), [(page.through, entry) for entry in page.entries]))

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

    async def _send_from(self, outbox: Outbox, connection: Connection, tasks: TaskGroup) -> None:
        with suppress(ConnectionLostError):
            while not outbox.closed:
                data = wire.encode(await outbox.next())
                self.sent_bytes += len(data)
                await connection.send(data)
        tasks.cancel_scope.cancel()


def _only_receives(effects: Effects) -> bool:
    return (
        len(effects.persist) == 1
        and isinstance(effects.persist[0], Receive)
        and effects.persist[0].snapshot is None
        and not (effects.send or effects.read)
    )


_FAULTS_OF_PEERS = (MalformedEntryError, ForkedLogError, LogGapError, MalformedOperationError, MalformedStateError)
