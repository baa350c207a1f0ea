"""Opening a journal file for writing: made if it is new, checked if it is not.

What was acknowledged must be there: see `high_water_mark`. A journal that holds less is left exactly as it is, the
write-ahead log included, because SQLite would throw away what it took for the log's torn end.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import apsw

from calliope.errors import CorruptJournalError
from calliope.stores.high_water_mark import HighWaterMark, Marked
from calliope.stores.sqlite_connection import WritingConnection, close_quietly, connected, leave_log_alone
from calliope.stores.sqlite_errors import translated
from calliope.stores.sqlite_reader import SqliteReader
from calliope.stores.sqlite_schema import create_or_check, identify


class OpenedJournal(NamedTuple):
    """A journal file that is ready to be written.

    Attributes:
        storage: the connection that writes.
        journal_id: the journal's id, as in the file.
        mark: where acknowledged positions are remembered.
        head: its highest position.
    """

    storage: WritingConnection
    journal_id: bytes
    mark: HighWaterMark
    head: int


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
    if path.exists() and path.stat().st_size == 0:
        _check_acknowledged(path, marked, None, 0)
    connection = connected(path, vfs, durable=durable, create=True)
    try:
        journal_id = create_or_check(connection, path)
        head = SqliteReader(connection).head()
        _check_acknowledged(path, marked, journal_id, head)
    except BaseException:
        leave_log_alone(connection)  # it is evidence
        close_quietly(connection)
        raise
    storage = WritingConnection(connection, partial(connected, path, vfs, durable=durable))
    return OpenedJournal(storage, journal_id, mark, head)


def _check_acknowledged(path: Path, marked: Marked | None, journal_id: bytes | None, head: int) -> None:
    """Check that a journal (None: an empty file) holds what its mark says; another journal's mark says nothing."""
    if marked is not None and journal_id in (None, marked.journal_id) and head < marked.position:
        raise CorruptJournalError(
            f"{path} ends at position {head}, but {marked.position} was acknowledged;"
            f" to go on with what is left, remove {path}-mark"
        )
