"""Opening a journal file for writing: made if it is new, checked if it is not.

What was acknowledged must be there: see `high_water_mark`. A journal that holds less is left exactly as it is, the
write-ahead log included, because SQLite would throw away what it took for the log's torn end.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import apsw

from calliope.errors import CorruptJournalError
from calliope.stores.high_water_mark import NO_SALTS, HighWaterMark, Marked, shortfall
from calliope.stores.sqlite_connection import WritingConnection, close_quietly, connected, leave_log_alone, log_salts
from calliope.stores.sqlite_errors import translated
from calliope.stores.sqlite_reader import SqliteReader
from calliope.stores.sqlite_schema import create_or_check, identify, transaction


class OpenedJournal(NamedTuple):
    """A journal file that is ready to be written.

    Attributes:
        storage: the connection that writes.
        mark: where it is remembered what was acknowledged.
        held: what it holds now.
    """

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
    mark = HighWaterMark(Path(f"{path}-mark"))
    marked = mark.read()  # before the file is read: another process may be writing both
    if path.exists() and path.stat().st_size == 0 and marked is not None:
        _check_acknowledged(path, marked, Marked(marked.journal_id, 0))
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
    return OpenedJournal(storage, mark, held)


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
