"""A journal file as it stands at one moment, for those who must not change it by looking.

Opening a database in the ordinary way recovers its write-ahead log and may checkpoint it, makes files beside it and
deletes them. Here the database file is only read, the log is copied, and SQLite is given the two as one database that
cannot change, through a file layer (https://sqlite.org/vfs.html) that knows no other file.

Beside a running writer two things move: pages from the log into the database file, and the log's beginning when all of
them are there. While somebody reads, SQLite moves no page that the reader might need from the log, and does not begin
the log anew before the reader is done (https://sqlite.org/wal.html, "Concurrency"). So a connection that holds a read
transaction, and does nothing else, keeps both still; every page that is moved meanwhile is in the copy of the log. If
nobody has the journal open there is nothing to hold, and somebody may open it at any time: `has_changed` then tells.
"""

import os
from contextlib import suppress
from pathlib import Path
from time import sleep
from urllib.parse import quote

import apsw

from calliope.stores.page_checksums import PAGE_BYTES
from calliope.stores.write_ahead_log import HEADER_BYTES, WriteAheadLog

WAIT_MICROSECONDS_MAX = 1_000
"""How long SQLite waits between its hundred attempts to make sense of a log."""

COPY_ATTEMPTS_MAX = 10
"""How often a log is copied until two copies agree."""

COPY_PAUSE_SECONDS = 0.02
"""How long a writer needs to finish the frame that it is writing, and more."""

_FILE_FORMAT = 18
_ROLLBACK_MODE = b"\1\1"


class SqliteView:
    """Reads a database and its write-ahead log without changing a byte of either.

    Args:
        path: the database.

    Attributes:
        log: a copy of what the write-ahead log has committed.
        file_page_count: how many whole pages the database file has.
        file_rest_bytes: how many bytes follow the last whole page.

    Raises:
        OSError, apsw.Error: a file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = self._current_state()
        self._reader = _reading_connection(path)
        self.log = _copied(Path(f"{path}-wal"))
        self._file = apsw.VFSFile("", str(path), [apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB, 0])
        self.file_page_count, self.file_rest_bytes = divmod(self._file.xFileSize(), PAGE_BYTES)

    @property
    def page_count(self) -> int:
        """The size of the database in pages, by what it says of itself."""
        header = self.page(1)
        in_header = int.from_bytes(header[28:32], "big") if header[24:28] == header[92:96] else 0
        return self.log.page_count or in_header or self.file_page_count

    @property
    def has_changed(self) -> bool:
        """Whether somebody has changed the files since."""
        return self._state != self._current_state()

    def page(self, number: int) -> bytes:
        """Return a page as it was last committed; shorter if the file is cut off there."""
        return self.log.page(number) or self.page_of_file(number)

    def page_of_file(self, number: int) -> bytes:
        """Return a page as the database file has it, whatever the log says."""
        try:
            return self._file.xRead(PAGE_BYTES, (number - 1) * PAGE_BYTES)
        except apsw.IOError:
            return b""  # behind the end

    def connect(self) -> apsw.Connection:
        """Return a connection to the database as it stands in this view; close it before the view."""
        files = _ViewFiles(self)
        connection = apsw.Connection("view", flags=apsw.SQLITE_OPEN_READONLY, vfs=files.vfs_name)
        connection.pragma("temp_store", "MEMORY")
        return connection

    def close(self) -> None:
        """Let go of everything."""
        self._file.xClose()
        self.log.close()
        if self._reader is not None:
            self._reader.close()

    def _current_state(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_state_of(Path(f"{self._path}{suffix}")) for suffix in ("", "-wal"))


class _ViewFiles(apsw.VFS):
    """A file layer in which there is one file, the view."""

    def __init__(self, view: SqliteView) -> None:
        self._view = view
        self.vfs_name = f"calliope-view-{id(self)}"
        super().__init__(self.vfs_name, "")

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - SQLite's name
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return False

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_ViewFile":  # type: ignore[override] # noqa: N802
        flags[1] = flags[0]
        return _ViewFile(self._view)


class _ImpatientFiles(apsw.VFS):
    """The system's file layer, but SQLite does not wait ten seconds for a log that nobody will mend."""

    vfs_name = "calliope-impatient"

    def __init__(self) -> None:
        super().__init__(self.vfs_name, "")

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        return super().xSleep(min(microseconds, WAIT_MICROSECONDS_MAX))


_IMPATIENT_FILES = _ImpatientFiles()


class _ViewFile:
    """The database of a view, as a file that nobody can lock or change."""

    def __init__(self, view: SqliteView) -> None:
        self._view = view
        self._byte_count = view.page_count * PAGE_BYTES

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        number, start = divmod(offset, PAGE_BYTES)
        page = self._view.page(number + 1)
        if number == 0:
            page = _in_rollback_mode(page)
        return page[start : start + amount]

    def xFileSize(self) -> int:  # noqa: N802
        return self._byte_count

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_IMMUTABLE

    def xSectorSize(self) -> int:  # noqa: N802
        return PAGE_BYTES

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802
        return False

    def xLock(self, level: int) -> None:  # noqa: N802
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xClose(self) -> None:  # noqa: N802
        pass


def _in_rollback_mode(first_page: bytes) -> bytes:
    """Return the first page without the two bytes that make SQLite look for a write-ahead log."""
    before, after = first_page[:_FILE_FORMAT], first_page[_FILE_FORMAT + len(_ROLLBACK_MODE) :]
    return before + _ROLLBACK_MODE + after if after else first_page


def _reading_connection(path: Path) -> apsw.Connection | None:
    """Return a connection within a read transaction, if anybody may have the journal open."""
    if not (Path(f"{path}-wal").exists() and Path(f"{path}-shm").exists()):
        return None
    name = f"file:{quote(os.fspath(path.absolute()))}?mode=ro&readonly_shm=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with suppress(apsw.Error):
        connection = apsw.Connection(name, flags=flags, vfs=_IMPATIENT_FILES.vfs_name)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        return connection
    return None  # what is damaged is looked at without SQLite's help


def _copied(path: Path) -> WriteAheadLog:
    """Copy a log; again if it began anew meanwhile, or if a writer may be in the middle of a frame."""
    broken_before: int | None = None
    for _ in range(COPY_ATTEMPTS_MAX):
        header = _header_of(path)
        log = WriteAheadLog.read(path)
        if header == _header_of(path) and log.broken_at in (None, broken_before):
            return log
        broken_before = log.broken_at
        log.close()
        sleep(COPY_PAUSE_SECONDS)
    return WriteAheadLog.read(path)


def _header_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEADER_BYTES)
    except FileNotFoundError:
        return b""


def _state_of(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
