"""Connections to a journal file: opened, given up after a failure, closed; and when its log goes into the database.

SQLite would move the log into the database within the commit that made it too long. A failure of that is no failure of
the commit, but here it would look like one, because an error in a file layer written in Python surfaces in any case. So
this is done between commits.

After a failed sync the operating system takes what it could not write for written: it can still be read, no later sync
writes it, and a power cut takes it away, with everything that follows it in the log (Rebello et al., "Can Applications
Recover from fsync Failures?", USENIX ATC 2020). So a log that was left behind, by a failure or by a process that died,
is written once more, as it is, and synced, before anything is added to it or moved into the database.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw

from calliope.stores.high_water_mark import NO_SALTS
from calliope.stores.page_checksums import PAGE_BYTES
from calliope.stores.sqlite_schema import transaction

BUSY_TIMEOUT_MILLISECONDS = 30_000
"""How long a process waits for another's write transaction."""

CACHE_KIBIBYTES = 16 * 1024
"""Page cache of one connection."""

CHECKPOINT_PAGES = 4_000
"""How long the write-ahead log may grow before its pages are moved into the database."""

_LOG_FLAGS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE
_SALTS_OFFSET = 16
_SETTLED_AT_ONCE = 64 * 1024  # SQLite's file layer writes less than 128 KiB at once

Connect = Callable[[], apsw.Connection]


def connected(path: Path, vfs: str, *, durable: bool = True, create: bool = False) -> apsw.Connection:
    """Open a connection to a journal file.

    Args:
        path: the file.
        vfs: the file layer.
        durable: whether commits are synced before they return.
        create: whether the file may be made; else it is an error if it has disappeared.
    """
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    connection.set_busy_timeout(BUSY_TIMEOUT_MILLISECONDS)
    connection.pragma("synchronous", "FULL" if durable else "NORMAL")
    connection.pragma("fullfsync", durable)  # macOS: through the disk's cache; others know no difference
    connection.pragma("checkpoint_fullfsync", durable)
    connection.pragma("cache_size", -CACHE_KIBIBYTES)
    connection.pragma("wal_autocheckpoint", 0)
    connection.pragma("journal_size_limit", 4 * CHECKPOINT_PAGES * PAGE_BYTES)
    return connection


def close_quietly(connection: apsw.Connection) -> None:
    """Close a connection. What cannot be moved into the database stays in the log, for the next opening."""
    with suppress(Exception):
        connection.close()


def leave_log_alone(connection: apsw.Connection) -> None:
    """See to it that closing the last connection neither moves the log into the database nor deletes it."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)


class WritingConnection:
    """The connection that writes; after a failure it is opened anew when it is next needed.

    Args:
        connection: the first one.
        connect: opens the others.
    """

    def __init__(self, connection: apsw.Connection, connect: Connect) -> None:
        self._connect = connect
        self._connection: apsw.Connection | None = None
        self._settled = False
        self._log_pages = 0
        self._log: int | None = None
        self._use(connection)

    def readable(self) -> apsw.Connection:
        """Return the connection, opened anew if it was given up.

        Raises:
            apsw.Error: the file cannot be used yet.
        """
        return self._connection or self._use(self._connect())

    def writable(self) -> apsw.Connection:
        """Return the connection, after seeing to it that it may add to the log.

        Raises:
            apsw.Error: the file cannot be used yet; nothing was added.
        """
        connection = self.readable()
        if not self._settled:
            _settle(connection)
            self._settled = True
        elif self._log_pages >= CHECKPOINT_PAGES:
            self._checkpoint(connection)
        return connection

    def log_salts(self) -> bytes:
        """Return what tells the log from those before it; zeros if it has no header yet."""
        if self._log is None and self._connection is not None:
            with suppress(OSError):  # it is made with the first commit
                self._log = os.open(self._connection.filename_wal, os.O_RDONLY | os.O_CLOEXEC)
        return log_salts(self._log) if self._log is not None else NO_SALTS

    def log_after_commit(self, salts: bytes) -> tuple[int, bytes]:
        """Return how many frames the log had after the last commit here, and its salts.

        If the log is another one than the salts say, which were read within the transaction, nothing is known: it may
        have begun anew with the commit or after it, and others may do that at any time.
        """
        return (self._log_pages, salts) if self.log_salts() == salts else (0, NO_SALTS)

    def close(self) -> None:
        """Close the connection; SQLite moves the log into the database if nobody else has the journal open."""
        if self._connection is not None and not self._settled:
            with suppress(Exception):  # then the log stays as it is
                self.writable()
        self.give_up()

    def give_up(self) -> None:
        """Close the connection, and trust it no more; the log is settled before anything is written again."""
        if self._connection is not None:
            if not self._settled:
                leave_log_alone(self._connection)
            close_quietly(self._connection)
            self._connection = None
        if self._log is not None:
            os.close(self._log)  # no locks are lost: SQLite locks the database and the index of the log, not the log
            self._log = None

    def _use(self, connection: apsw.Connection) -> apsw.Connection:
        connection.set_wal_hook(self._note_log_pages)
        self._connection = connection
        self._settled = not _has_log(connection)
        self._log_pages = 0
        return connection

    def _checkpoint(self, connection: apsw.Connection) -> None:
        """Fold the log into the database. A failure only lets the log grow on; the next call tries again."""
        with suppress(Exception):
            pages, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._log_pages = 0 if moved == pages else pages

    def _note_log_pages(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK


def _has_log(connection: apsw.Connection) -> bool:
    log = Path(connection.filename_wal)
    return log.exists() and log.stat().st_size > 0


def log_salts(descriptor: int) -> bytes:
    """Return the salts in the header of a write-ahead log (https://sqlite.org/fileformat2.html#walformat)."""
    salts = os.pread(descriptor, len(NO_SALTS), _SALTS_OFFSET)
    return salts if len(salts) == len(NO_SALTS) else NO_SALTS


def _settle(connection: apsw.Connection) -> None:
    """Write the whole log once more, in place, and sync it; the write lock keeps it as it is meanwhile."""
    with transaction(connection):
        log = apsw.VFSFile(connection.open_vfs, connection.filename_wal, [_LOG_FLAGS, 0])
        try:
            size = log.xFileSize()
            for offset in range(0, size, _SETTLED_AT_ONCE):
                log.xWrite(log.xRead(min(_SETTLED_AT_ONCE, size - offset), offset), offset)
            if size:
                log.xSync(apsw.SQLITE_SYNC_NORMAL)
        finally:
            log.xClose()
