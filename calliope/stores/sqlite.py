"""The SQLite store: a journal in one file, for any number of tasks and several processes.

Writes go through one commit lane, reads through a few connections of their own, in worker threads. The module joins
the two; what is written and read is in `sqlite_writer` and `sqlite_reader`, the file's form in `sqlite_schema`.

Other processes may write to the same file. While anybody waits for records the lane's thread looks every few
milliseconds whether they did (`PRAGMA data_version`), and publishes what it finds in the tail.
"""

import os
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import anyio
import anyio.to_thread
import apsw

from calliope.errors import JournalClosedError
from calliope.stores.commit_lane import CommitLane
from calliope.stores.forks import fork_count
from calliope.stores.log_state import LogState
from calliope.stores.log_tail import LogTail
from calliope.stores.page_checksums import VFS_NAME
from calliope.stores.protocol import AppendRequest, StoredSnapshot
from calliope.stores.read_lane import ReadLane
from calliope.stores.reader_backed import ReaderBacked
from calliope.stores.record import StoredRecord
from calliope.stores.replica_backed import LogReader, ReplicaBacked
from calliope.stores.snapshot_rows import snapshot_row
from calliope.stores.sqlite_connection import connected
from calliope.stores.sqlite_errors import translated
from calliope.stores.sqlite_log_reader import SqliteLogReader
from calliope.stores.sqlite_opening import opened
from calliope.stores.sqlite_reader import SqliteReader
from calliope.stores.sqlite_readers import SqliteReaders
from calliope.stores.sqlite_writer import Advance, Request, SqliteWriter
from calliope.stores.tail import Tail

Durability = Literal["full", "relaxed"]

READERS_MAX = 4
"""How many pages may be read at once; further readers wait."""

POLL_SECONDS = 0.01
"""How often the lane looks for other processes' events while somebody waits for them."""

POLL_IDLE_SECONDS = 0.05
"""How often the lane looks whether somebody waits."""

T = TypeVar("T")


class SqliteStore(ReaderBacked[SqliteReader], ReplicaBacked):
    """Keeps records in an SQLite file. Open it with `SqliteStore.open`.

    Attributes:
        path: the journal's file; `-wal`, `-shm` and `-mark` files stand beside it.
        journal_id: names this journal among all others.
        tail: the newest records and the wake-up of live readers.
        log_tail: the newest log entries and the wake-up of those who replicate them.
    """

    places_in_order = True

    def __init__(self, path: Path, writer: SqliteWriter, readers: SqliteReaders) -> None:
        self.path = path
        self.journal_id = writer.journal_id.hex()
        self.tail = Tail(writer.head)
        self.log_tail = LogTail(writer.log.position)
        self._log: LogState = writer.log
        self._writer = writer
        self._readers = readers
        self._process = os.getpid()
        self._forks = fork_count()
        self._closed = False
        self._reads = ReadLane(self._read_now, READERS_MAX)
        self._lane: CommitLane[Request, object, Advance] = CommitLane(
            writer.commit, self._announce, self._look_for_others, self._close_connections
        )

    @classmethod
    async def open(cls, path: Path, *, durability: Durability = "full", vfs: str = VFS_NAME) -> "SqliteStore":
        """Open a journal file, or make one.

        Args:
            path: the file.
            durability: "full" syncs before each acknowledgement; "relaxed" leaves that to the operating system, so
                that a power cut (not a killed process) may lose the last acknowledged events.
            vfs: the file layer; tests use others.

        Raises:
            JournalFormatError: the path is not a journal, or of a newer format.
            CorruptJournalError: the journal holds less than was acknowledged, or its first pages are damaged.
        """
        durable = durability == "full"
        path, storage, mark, held = await anyio.to_thread.run_sync(partial(opened, path, vfs, durable=durable))
        writer = SqliteWriter(storage, mark if durable else None, held)
        return cls(path, writer, SqliteReaders(partial(connected, path, vfs)))

    def append(self, request: AppendRequest) -> Coroutine[Any, Any, list[StoredRecord]]:
        """Write a request durably; see `EventStore.append`."""
        self._check_usable()
        return self._lane.submit(request)  # type: ignore[return-value] # an append's reply

    async def save_snapshot(self, snapshot: StoredSnapshot) -> None:
        """Keep a snapshot durably; see `EventStore.save_snapshot`."""
        row = snapshot_row(snapshot)
        await self._write(
            lambda connection: connection.execute("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        )

    async def delete_snapshots(self, snapshot_id: str, *, keep: int) -> int:
        """Delete older snapshots; see `EventStore.delete_snapshots`."""

        def delete(connection: apsw.Connection) -> int:
            connection.execute(
                "DELETE FROM snapshot WHERE snapshot_id = ?1 AND sequence_number NOT IN (SELECT sequence_number"
                " FROM snapshot WHERE snapshot_id = ?1 ORDER BY sequence_number DESC LIMIT ?2)",
                (snapshot_id, keep),
            )
            return connection.changes()

        return cast(int, await self._write(delete))

    async def aclose(self) -> None:
        """Finish what was accepted, then close all connections; closing twice, or in a fork, does nothing.

        Cancellation stops the waiting, not the closing.
        """
        self._closed = True
        if self._forks != fork_count():
            return  # all of it belongs to the other process
        self._reads.close()
        try:
            await self._lane.aclose()
        finally:
            self.tail.close()
            self.log_tail.close()

    async def _write(self, write: Request) -> object:
        self._check_usable()
        return await self._lane.submit(write)

    async def _read(self, read: Callable[[SqliteReader], T]) -> T:
        self._check_usable()
        return await self._reads.submit(read)

    async def _read_log(self, read: Callable[[LogReader], T]) -> T:
        return await self._read(lambda reader: read(SqliteLogReader(reader.connection)))

    def _read_now(self, read: Callable[[SqliteReader], T]) -> T:
        try:
            return self._readers.read(read)
        except apsw.Error as error:
            raise translated(error, str(self.path)) from error

    def _close_connections(self) -> None:
        self._readers.close()
        self._writer.close()

    def _announce(self, advance: Advance) -> None:
        if advance.jumped_to is not None:
            self.tail.reset(advance.jumped_to)
        if advance.log is not None:
            self._log = advance.log
        if advance.log_jumped_to is not None:
            self.log_tail.reset(advance.log_jumped_to)
        self.log_tail.publish(advance.entries)
        self.tail.publish(advance.records)

    def _look_for_others(self) -> float:
        """Publish what other processes wrote, if anybody waits for it. Runs on the lane's thread."""
        if not (self.tail.awaited or self.log_tail.awaited):
            return POLL_IDLE_SECONDS
        try:
            advance = self._writer.poll()
        except Exception:
            return POLL_IDLE_SECONDS  # whoever reads or writes meets the error itself; the next look begins here again
        if not advance.is_empty:
            self._lane.post(partial(self._announce, advance))
        return POLL_SECONDS

    def _check_usable(self) -> None:
        if self._closed:
            raise JournalClosedError(f"the journal {self.path} is closed")
        if self._forks != fork_count():
            raise JournalClosedError(
                f"the journal {self.path} was opened by process {self._process}; a fork cannot use it"
            )
