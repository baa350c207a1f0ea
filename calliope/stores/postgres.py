"""The PostgreSQL store: a journal in one schema of a database, for any number of processes and hosts.

Writes go through one commit lane a process, reads through a few connections, in worker threads; a thread listens for
what other processes commit. The module joins them; what is written and read is in `postgres_writer` and
`postgres_reader`, the form of the tables in `postgres_schema`.
"""

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread
import psycopg

from calliope.errors import JournalClosedError
from calliope.stores.commit_lane import CommitLane
from calliope.stores.forks import fork_count
from calliope.stores.log_tail import LogTail
from calliope.stores.postgres_address import PostgresAddress
from calliope.stores.postgres_advance import Advance, advanced
from calliope.stores.postgres_errors import translated
from calliope.stores.postgres_lease import LOOK_SECONDS, PostgresLease
from calliope.stores.postgres_listener import PostgresListener
from calliope.stores.postgres_log import StoredLog
from calliope.stores.postgres_log_reader import PostgresLogReader
from calliope.stores.postgres_reader import PostgresReader
from calliope.stores.postgres_readers import PostgresReaders
from calliope.stores.postgres_schema import create_or_check
from calliope.stores.postgres_wanted import FOREIGN_LOG_BYTES_MAX
from calliope.stores.postgres_writer import Hold, PostgresWriter, Request
from calliope.stores.protocol import AppendRequest, StoredSnapshot
from calliope.stores.read_lane import ReadLane
from calliope.stores.reader_backed import ReaderBacked
from calliope.stores.record import StoredRecord
from calliope.stores.replica_backed import LogReader, ReplicaBacked
from calliope.stores.snapshot_rows import snapshot_row
from calliope.stores.tail import Tail

IDLE_SECONDS = 3_600.0
"""How often the lane's thread wakes up for nothing."""

T = TypeVar("T")

_SAVE_SNAPSHOT = (
    "INSERT INTO snapshot VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (snapshot_id, sequence_number) DO UPDATE SET"
    " type = excluded.type, schema_version = excluded.schema_version, timestamp = excluded.timestamp,"
    " payload = excluded.payload, checksum = excluded.checksum"
)
_DELETE_SNAPSHOTS = (
    "DELETE FROM snapshot WHERE snapshot_id = %(id)s AND sequence_number NOT IN (SELECT sequence_number"
    " FROM snapshot WHERE snapshot_id = %(id)s ORDER BY sequence_number DESC LIMIT %(keep)s)"
)


class PostgresStore(ReaderBacked[PostgresReader], ReplicaBacked):
    """Keeps records in a PostgreSQL database. Open it with `PostgresStore.open`.

    Attributes:
        address: where the journal is.
        journal_id: names this journal among all others.
        tail: the newest records and the wake-up of live readers.
        log_tail: the newest log entries and the wake-up of those who replicate them.
    """

    places_in_order = True

    def __init__(self, address: PostgresAddress, journal_id: str, writer: PostgresWriter) -> None:
        self.address = address
        self.journal_id = journal_id
        self._writer = writer
        self.tail = Tail(writer.head)
        self.log_tail = LogTail(writer.log.state.position)
        self._log = writer.log.state
        self._stored_log = writer.log
        self._process = os.getpid()
        self._forks = fork_count()
        self._closed = False
        self._readers = PostgresReaders(address)
        self._reads = ReadLane(self._readers.read, address.readers)
        self._lane: CommitLane[Request, object, Advance] = CommitLane(
            lambda batch: writer.commit(batch, self._lane.underway), self._announce, lambda: IDLE_SECONDS, writer.close
        )
        self._listener = PostgresListener(address, writer.writer_id, self._look_for_others)
        self._listener.start()

    @classmethod
    async def open(cls, url: str, *, durable: bool = True) -> "PostgresStore":
        """Open a journal, or make one.

        Args:
            url: where it is; see `PostgresAddress.parse`.
            durable: whether an acknowledged event survives a crash of the server.

        Raises:
            ValueError: the URL is not understood.
            StorageError: the server cannot be connected to.
            JournalFormatError: the server is too old, or the schema holds no journal of a format that is understood.
        """
        address = PostgresAddress.parse(url, durable=durable)
        return cls(address, *await anyio.to_thread.run_sync(_opened, address))

    def append(self, request: AppendRequest) -> Coroutine[Any, Any, list[StoredRecord]]:
        """Write a request durably; see `EventStore.append`."""
        self._check_usable()
        return self._lane.submit(request)  # type: ignore[return-value] # an append's reply

    async def save_snapshot(self, snapshot: StoredSnapshot) -> None:
        """Keep a snapshot durably; see `EventStore.save_snapshot`."""
        row = snapshot_row(snapshot)
        await self._write(lambda connection: connection.execute(_SAVE_SNAPSHOT, row))

    async def delete_snapshots(self, snapshot_id: str, *, keep: int) -> int:
        """Delete older snapshots; see `EventStore.delete_snapshots`."""
        asked = {"id": snapshot_id, "keep": keep}
        return cast(int, await self._write(lambda connection: connection.execute(_DELETE_SNAPSHOTS, asked).rowcount))

    async def aclose(self) -> None:
        """Finish what was accepted, then close all connections; closing twice, or in a fork, does nothing.

        Cancellation stops the waiting, not the closing.
        """
        if self._forks != fork_count():
            return  # all of it belongs to the other process
        first, self._closed = not self._closed, True
        self._reads.close()
        try:
            self._writer.give_up()
            await self._lane.aclose()
        finally:
            self.tail.close()
            self.log_tail.close()
            if first:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._release)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Callable[[], Coroutine[Any, Any, None]]]:
        """Hold the journal for one node; see `SharedReplicaStore.held`."""
        lease = PostgresLease(self.address, self.journal_id)
        try:
            await anyio.to_thread.run_sync(lease.take)
            await self._write(Hold(lease.holder))
            yield partial(self._watch, lease)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lease.release)

    async def _watch(self, lease: PostgresLease) -> None:
        while True:
            await anyio.sleep(LOOK_SECONDS)
            await anyio.to_thread.run_sync(lease.look)

    def _release(self) -> None:
        self._listener.close()
        self._readers.close()

    async def _write(self, write: Request) -> object:
        self._check_usable()
        return await self._lane.submit(write)

    async def _read(self, read: Callable[[PostgresReader], T]) -> T:
        self._check_usable()
        return await self._reads.submit(read)

    async def _read_log(self, read: Callable[[LogReader], T]) -> T:
        return await self._read(lambda reader: read(PostgresLogReader(reader.connection)))

    def _announce(self, advance: Advance) -> None:
        """Publish what is new; the lane and the listener may both bring it, so some of it may be known."""
        if advance.log is not None:
            self._announce_log(advance, advance.log)
        if advance.jumped_to is not None and advance.jumped_to > self.tail.position:
            self.tail.reset(advance.jumped_to)
        known = self.tail.position
        if advance.records and advance.records[0].position > known:
            self.tail.publish(advance.records)
        else:
            self.tail.publish([record for record in advance.records if record.position > known])

    def _announce_log(self, advance: Advance, log: StoredLog) -> None:
        if log.version > self._stored_log.version:
            self._stored_log, self._log = log, log.state
        if advance.log_jumped_to is not None and advance.log_jumped_to > self.log_tail.position:
            self.log_tail.reset(advance.log_jumped_to)
        known = self.log_tail.position
        self.log_tail.publish([placed for placed in advance.entries if placed[0] > known])

    def _look_for_others(self, reader: PostgresReader) -> None:
        """Publish what other processes wrote. Runs on the listener's thread."""
        log = Advance([])
        self._look_at_log(PostgresLogReader(reader.connection), log)
        known, head = self.tail.position, reader.head()
        if self.tail.awaited or head <= known:
            advance = advanced(reader, known, max(known, head))
        else:
            advance = Advance([], jumped_to=head)
        advance.log, advance.entries, advance.log_jumped_to = log.log, log.entries, log.log_jumped_to
        if advance.log is not None or head > known:
            self._lane.post(partial(self._announce, advance))

    def _look_at_log(self, reader: PostgresLogReader, advance: Advance) -> None:
        before, known = self._stored_log, self.log_tail.position
        log = reader.log(before)
        if log is before:
            return
        advance.log = log
        if log.state.position > known:
            entries = reader.entries_after(known, FOREIGN_LOG_BYTES_MAX)
            if entries and entries[-1][0] >= log.state.position:
                advance.entries = [placed for placed in entries if placed[0] <= log.state.position]
            else:
                advance.log_jumped_to = log.state.position

    def _check_usable(self) -> None:
        if self._closed:
            raise JournalClosedError(f"the journal {self.address.shown} is closed")
        if self._forks != fork_count():
            raise JournalClosedError(
                f"the journal {self.address.shown} was opened by process {self._process}; a fork cannot use it"
            )


def _opened(address: PostgresAddress) -> tuple[str, PostgresWriter]:
    """Return the id of the journal, which is made if there is none, and a writer of it."""
    connection = address.connect()
    try:
        journal_id = create_or_check(connection, address)
        return journal_id, PostgresWriter(address, journal_id, connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, psycopg.Error):
            raise translated(error, address.shown) from error
        raise
