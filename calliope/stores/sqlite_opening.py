"""Opening a journal file for writing: made if it is new, checked if it is not.

What was acknowledged must be there: see `high_water_mark`. A journal that holds less is left exactly as it is, the
write-ahead log included, because SQLite would throw away what it took for the log's torn end. What stands beside the
file must be its own.
"""

import os
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import apsw

from calliope.errors import CorruptJournalError
from calliope.stores.high_water_mark import NO_SALTS, HighWaterMark, Marked, shortfall
from calliope.stores.sqlite_connection import WritingConnection, close_quietly, connected, leave_log_alone, log_salts
from calliope.stores.sqlite_errors import translated
from calliope.stores.sqlite_reader import SqliteReader
from calliope.stores.sqlite_schema import create_or_check, identify, transaction
from calliope.stores.write_ahead_log import HEADER_BYTES


class OpenedJournal(NamedTuple):
    """A journal file that is ready to be written.

    Attributes:
        path: the file, by its real name.
        storage: the connection that writes.
        mark: where it is remembered what was acknowledged.
        held: what it holds now.
    """

    path: Path
    storage: WritingConnection
    mark: HighWaterMark
    held: Marked


def opened(path: Path, vfs: str, *, durable: bool) -> OpenedJournal:
    """Open or make a journal file.

    Raises:
        JournalFormatError: the path is not a journal, or of a newer format.
        CorruptJournalError: the journal holds less than was acknowledged, or its first pages are damaged.
        StorageError: the storage failed.
    """
    try:
        return _opened(path, vfs, durable=durable)
    except (apsw.Error, OSError) as error:
        raise translated(error, str(path)) from error


def _opened(path: Path, vfs: str, *, durable: bool) -> OpenedJournal:
    identify(path)
    path = Path(os.path.realpath(path))  # a journal has one name: what stands beside it is found under any
    mark = HighWaterMark(Path(f"{path}-mark"))
    marked = mark.read()  # before the file is read: another process may be writing both
    _check_beside(path, marked, vfs)
    connection = connected(path, vfs, durable=durable, create=True)
    try:
        held = _held(connection, create_or_check(connection, path))
        if marked is not None and marked.journal_id == held.journal_id:
            _check_acknowledged(path, marked, held)
    except BaseException:
        leave_log_alone(connection)  # it is evidence
        close_quietly(connection)
        raise
    storage = WritingConnection(connection, partial(connected, path, vfs, durable=durable))
    return OpenedJournal(path, storage, mark, held)


def _check_beside(path: Path, marked: Marked | None, vfs: str) -> None:
    """Refuse a log or a mark that a lost journal left, and a log that is another journal's by its mark.

    SQLite deletes a log that has no database, and lays any log over any database. Who makes a journal makes its file
    first, so that file is looked at last: others may be making it now.
    """
    has_log = _has_frames(Path(f"{path}-wal"))
    if (has_log or marked is not None) and not (path.exists() and path.stat().st_size):
        left = f"{path}-wal" if has_log else f"{path}-mark"
        raise CorruptJournalError(
            f"{left} was left by a journal that is not there any more; bring {path} back,"
            " or move away what stands beside it to begin a new one"
        )
    if has_log and marked is not None and _journal_id_without_log(path, vfs) not in (None, marked.journal_id):
        raise CorruptJournalError(
            f"{path}-wal seems to be of another journal, as {path.name}-mark is; move away the log, its index"
            f" ({path.name}-shm) and the mark to open the journal without them"
        )


def _has_frames(log: Path) -> bool:
    try:
        return log.stat().st_size > HEADER_BYTES
    except FileNotFoundError:
        return False


def _journal_id_without_log(path: Path, vfs: str) -> bytes | None:
    """Return whose journal the database file is, whatever the log says; None if it cannot tell."""
    name = f"file:{quote(str(path))}?immutable=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    try:
        with closing(apsw.Connection(name, flags=flags, vfs=vfs)) as database:
            return bytes(database.execute("SELECT journal_id FROM meta").get)
    except (apsw.Error, CorruptJournalError):
        return None


def _held(connection: apsw.Connection, journal_id: bytes) -> Marked:
    """Return what a journal holds; which log it has is asked on both sides, because others may begin it anew."""
    before = _log_salts(connection)
    with transaction(connection, "DEFERRED"):
        head = SqliteReader(connection).head()
        other_writes = int(connection.execute("SELECT other_writes FROM meta").get)
    frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    salts = before if before == _log_salts(connection) else NO_SALTS
    return Marked(journal_id, head, other_writes, frames, salts)


def _log_salts(connection: apsw.Connection) -> bytes:
    try:
        with open(connection.filename_wal, "rb") as log:
            return log_salts(log.fileno())
    except FileNotFoundError:
        return NO_SALTS


def _check_acknowledged(path: Path, marked: Marked, held: Marked) -> None:
    lacking = shortfall(marked, held)
    if lacking is not None:
        raise CorruptJournalError(f"{path} {lacking}; to go on with what is left, remove {path}-mark")
