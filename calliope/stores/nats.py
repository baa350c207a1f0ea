"""The NATS store: a journal in JetStream, for any number of processes and hosts, on a server or a cluster.

JetStream is a log that a cluster replicates by Raft (https://docs.nats.io/nats-concepts/jetstream). One stream of it is
a journal, one subject of it an event stream:

* *A request is a message*, or many requests for one stream are (`nats_message`), with a checksum. A request that is
  larger than a message goes as an atomic batch (ADR-50, server 2.12). The server numbers messages, and so gives out
  positions in the order in which it stores: no lock, and no gap problem.
* *The expected version is the stream's last message* (`Nats-Expected-Last-Subject-Sequence`): writers anywhere number
  their events together, and a message published twice is stored once (`nats_writer`).
* *Event ids are written once, for ever*, and not for JetStream's two minutes: a note is made before (`nats_claims`).
* *Readers ask directly* (direct gets, many messages to a question: ADR-31, server 2.11), in pages, and a server that is
  behind is not believed (`nats_log`).
* *Live readers* are told by whoever writes that there is something new, and read what (`nats_arrivals`).
* *Snapshots* and notes are in a second stream beside (`nats_streams`), *the log of a replica* in a third: one message a
  commit, which whoever comes next carries out (`nats_commit`, `nats_redo`). One node at a time has a lease on it
  (`nats_lease`).

A thread of its own runs asyncio, for which alone nats-py is made; calls cross into it together (`nats_crossing`).

A user that may only use the journal NAME needs: to publish to `calliope.NAME.>`, `$JS.API.STREAM.INFO.*`,
`$JS.API.STREAM.MSG.GET.*`, `$JS.API.DIRECT.GET.*`, `$JS.API.STREAM.PURGE.NAME_notes` and, for a node,
`$JS.API.STREAM.PURGE.NAME_log`; to subscribe to `_INBOX.>` and `calliope.NAME.new`.
"""

import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread

from calliope.errors import CalliopeError, JournalClosedError
from calliope.stores.forks import fork_count
from calliope.stores.nats_address import NatsAddress
from calliope.stores.nats_arrivals import Advance, Arrivals
from calliope.stores.nats_claims import Claims
from calliope.stores.nats_connection import NatsConnection
from calliope.stores.nats_crossing import Crossing, NatsThread
from calliope.stores.nats_errors import NoAnswerError, translated
from calliope.stores.nats_listing import NatsListing
from calliope.stores.nats_log import NatsLog
from calliope.stores.nats_publishing import Publisher
from calliope.stores.nats_reader import NatsReader
from calliope.stores.nats_replica import NatsReplica
from calliope.stores.nats_snapshots import NatsSnapshots
from calliope.stores.nats_streams import create_or_check, log_of, notes_of
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.nats_writer import NatsWriter
from calliope.stores.protocol import (
    AppendRequest,
    Page,
    StoredSnapshot,
    StreamKind,
    StreamSummary,
    before_last_seen,
)
from calliope.stores.record import Selection, StoredRecord
from calliope.stores.tail import Tail

T = TypeVar("T")


class NatsStore(NatsReplica):
    """Keeps records in NATS JetStream. Open it with `NatsStore.open`.

    Attributes:
        address: where the journal is.
        journal_id: names this journal among all others.
        tail: the newest records and the wake-up of live readers.
        places_in_order: whether requests of different streams that are not awaited one by one get positions in the
            order in which they were made. Here each stream is written by itself.
    """

    places_in_order = False

    def __init__(self, thread: NatsThread, connection: NatsConnection, opened: "_Opened") -> None:
        self.address = connection.address
        self.journal_id = opened.journal_id
        self.tail = Tail(opened.position)
        self._process = os.getpid()
        self._forks = fork_count()
        self._closed = False
        self._thread = thread
        self._connection = connection
        self._crossing: Crossing[Advance] = Crossing(thread, self._announce)
        subjects, publisher = NatsSubjects(self.address.name), Publisher(connection)
        arrivals = Arrivals(thread, self._crossing, opened.events, subjects, self.tail, self._say)
        claims = Claims(publisher, opened.events, opened.notes, subjects, arrivals.rows, self.journal_id)
        self._subjects = subjects
        self._writer = NatsWriter(thread, publisher, self._crossing, arrivals, opened.events, subjects, claims)
        self._reader = NatsReader(opened.events, subjects, arrivals)
        self._listing = NatsListing(connection, opened.events, subjects)
        self._snapshots = NatsSnapshots(publisher, opened.notes, subjects)
        super().__init__(
            thread,
            publisher,
            (opened.events, opened.notes, opened.log),
            subjects,
            arrivals,
            self._reader,
            self._listing,
        )
        self._arrivals = arrivals
        thread.loop.call_soon_threadsafe(arrivals.begin, opened.sequence, opened.position)
        thread.loop.call_soon_threadsafe(thread.spawn, connection.listen(subjects.new, self._heard))

    @classmethod
    async def open(cls, url: str) -> "NatsStore":
        """Open a journal, or make one.

        Args:
            url: where it is; see `NatsAddress.parse`.

        Raises:
            ValueError: the URL is not understood.
            StorageError: no server can be connected to, or it makes no stream.
            JournalFormatError: the server is too old or has no JetStream, or the stream is no journal of a format that
                is understood.
        """
        address = NatsAddress.parse(url)
        thread = NatsThread()
        try:
            connection, opened = await anyio.to_thread.run_sync(thread.run, _connected(address))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(thread.stop)
            raise
        store = cls(thread, connection, opened)
        try:
            await store._learn_log()
        except BaseException:
            await store.aclose()
            raise
        return store

    def append(self, request: AppendRequest) -> Coroutine[Any, Any, list[StoredRecord]]:
        """Write a request durably; see `EventStore.append`."""
        self._check_usable()
        append = self._writer.append
        return cast(Coroutine[Any, Any, list[StoredRecord]], self._crossing.call(lambda call: append(request, call)))

    async def read_stream(self, stream_id: str, *, after: int, limit: int, kind: StreamKind | None = None) -> Page:
        """Return records of one stream; see `EventStore.read_stream`."""
        return await self._run(lambda: self._reader.stream_page(stream_id, after, limit, kind))

    async def read_all(self, selection: Selection, *, after: int, limit: int) -> Page:
        """Return records of all streams; see `EventStore.read_all`."""
        return await self._run(lambda: self._reader.all_page(selection, after, limit))

    async def stream(self, stream_id: str, *, kind: StreamKind | None = None) -> StreamSummary | None:
        """Return one stream's summary; see `EventStore.stream`."""
        return await self._run(lambda: self._reader.stream(stream_id, kind))

    async def streams(self, *, prefix: str, after: str, limit: int) -> list[StreamSummary]:
        """Return summaries of streams; see `EventStore.streams`."""
        return await self._run(lambda: self._listing.streams(prefix, after, limit))

    async def save_snapshot(self, snapshot: StoredSnapshot) -> None:
        """Keep a snapshot durably; see `EventStore.save_snapshot`."""
        await self._run(lambda: self._snapshots.save(snapshot))

    async def load_snapshot(self, snapshot_id: str, *, through: int) -> StoredSnapshot | None:
        """Return the newest snapshot; see `EventStore.load_snapshot`."""
        return await self._run(lambda: self._snapshots.load(snapshot_id, through))

    async def read_since_snapshot(
        self, stream_id: str, *, through: int, limit: int
    ) -> tuple[StoredSnapshot | None, Page]:
        """Return the newest snapshot and what follows it; see `EventStore.read_since_snapshot`.

        The events are looked at later than the snapshot, which costs nothing: those that it has seen are there.
        """

        async def read() -> tuple[StoredSnapshot | None, Page]:
            snapshot = await self._snapshots.load(stream_id, through)
            return snapshot, await self._reader.stream_page(stream_id, before_last_seen(snapshot), limit, "plain")

        return await self._run(read)

    async def list_snapshots(self, snapshot_id: str) -> list[StoredSnapshot]:
        """Return snapshots without payloads; see `EventStore.list_snapshots`."""
        return await self._run(lambda: self._snapshots.listed(snapshot_id))

    async def snapshot_ids(self, *, after: str, limit: int) -> list[str]:
        """Return ids that have snapshots; see `EventStore.snapshot_ids`."""
        return await self._run(lambda: self._listing.snapshot_ids(after, limit))

    async def delete_snapshots(self, snapshot_id: str, *, keep: int) -> int:
        """Delete older snapshots; see `EventStore.delete_snapshots`."""
        return await self._run(lambda: self._snapshots.delete(snapshot_id, keep))

    async def aclose(self) -> None:
        """Finish what was accepted, then disconnect; closing twice, or in a fork, does nothing.

        Cancellation stops the waiting, not the closing.
        """
        if self._forks != fork_count():
            return  # all of it belongs to the other process
        first, self._closed = not self._closed, True
        self._connection.give_up()
        with anyio.CancelScope(shield=True):
            await self._close_log()
            await self._crossing.aclose()
            self.tail.close()
            if first:
                await anyio.to_thread.run_sync(self._release)

    def _release(self) -> None:
        self._thread.run(self._connection.close())
        self._thread.stop()

    async def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self._check_usable()
        try:
            return await self._crossing.run(work)
        except (CalliopeError, NoAnswerError) as error:
            raise translated(error, self.address.shown) from error

    def _say(self) -> None:
        self._thread.spawn(self._connection.tell(self._subjects.new))

    def _heard(self) -> None:
        self._arrivals.look()
        self._lane.prod()

    def _announce(self, advance: Advance) -> None:
        if advance.jumped_to is not None:
            self.tail.reset(advance.jumped_to)
        self.tail.publish(advance.records)

    def _check_usable(self) -> None:
        if self._closed:
            raise JournalClosedError(f"the journal {self.address.shown} is closed")
        if self._forks != fork_count():
            raise JournalClosedError(
                f"the journal {self.address.shown} was opened by process {self._process}; a fork cannot use it"
            )


@dataclass(frozen=True, slots=True)
class _Opened:
    """What was found when a journal was opened.

    Attributes:
        journal_id: its id.
        events: its events.
        notes: what is beside them.
        log: what the replica's log gained.
        sequence: the sequence number of the last message of events.
        position: the position of its last event.
    """

    journal_id: str
    events: NatsLog
    notes: NatsLog
    log: NatsLog
    sequence: int
    position: int


async def _connected(address: NatsAddress) -> tuple[NatsConnection, _Opened]:
    connection, subjects = NatsConnection(address), NatsSubjects(address.name)
    try:
        await connection.open()
        journal_id, replicas = await create_or_check(connection, subjects)
        events = NatsLog(connection, address.name, replicas)
        notes = NatsLog(connection, notes_of(address.name), replicas)
        log = NatsLog(connection, log_of(address.name), replicas)
        sequence, position = await events.end(subjects.events)
        return connection, _Opened(journal_id, events, notes, log, sequence, position)
    except BaseException as error:
        await connection.close()
        if isinstance(error, NoAnswerError):
            raise translated(error, address.shown) from error
        raise
