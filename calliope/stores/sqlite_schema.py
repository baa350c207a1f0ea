"""The form of a journal file: an SQLite database (https://sqlite.org/fileformat.html) that any SQLite can read.

    meta        one row: the journal id, and how often something other than events was written
    stream      a number for each stream id, and the stream's kind
    event_type  a number for each stored type name and schema version
    event       one row a request, or a part of one; `position` is the order of the journal and has no gaps
    event_by_stream, recent_event_by_stream
                the rows of each stream: an index in two levels
    event_key   the event ids that callers gave and what they named, for writing it once
    event_tag   the rows of each tag
    snapshot    states
    replica, replica_log, log_entry, stream_version, crdt_state, replica_fact
                what makes the journal a replica: see `sqlite_log`

A request is a row: what one persist wrote to a stream stands together, so that a list of events is written, checked
and decoded as one, which is several times faster than an event at a time. A row is known by its last event: it holds
the positions from `position - event_count + 1` to `position`, so whatever lies behind a position is in the rows above
it, and the highest row says where the journal ends. The same holds for sequence numbers. A row has at most 256 events
and, if it has several, 64 KiB of payload; a large request becomes several rows in one transaction. `event_rows` tells
what a row holds.

Rows are small integers and two blobs because the layout decides the speed: an index over text stream ids halves it.
An ordinary index over (stream, sequence number) would cost more than all the rest: a commit of 256 events of as many
streams would rewrite 256 of its pages. So new entries go into a small index of the last few thousand events, which
fits a few pages, and are folded into the large one together (a log-structured merge tree of two levels; O'Neil et al.,
Acta Informatica 33, 1996). Both are keyed alike, and the small one holds each stream's later events: a stream is read
from the large one first, then from the small one.

Every row carries a CRC-32 over all that is served of it, the stream id and type names included, so that a record is
checked from end to end; see `event_rows`. Every page carries one as well; see `page_checksums`.

`application_id` says that a database is a journal, `user_version` in which format. A reader refuses a newer format.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from calliope.errors import JournalFormatError
from calliope.stores.page_checksums import PAGE_BYTES, RESERVED_BYTES
from calliope.stores.sqlite_log import LOG_TABLES

APPLICATION_ID = 0x43616C6C  # "Call"
FORMAT_VERSION = 2
"""1 had a row for each event, and was never released."""
_HEADER_BYTES = 100

SWITCH_SECONDS_MAX = 30.0
"""How long a process waits until the others that open a new file at the same time let it turn the log on."""

_TABLES = """
CREATE TABLE meta (
    journal_id BLOB NOT NULL,
    other_writes INTEGER NOT NULL
) STRICT;
CREATE TABLE stream (
    id INTEGER PRIMARY KEY,
    stream_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    UNIQUE (stream_id, kind)
) STRICT;
CREATE TABLE event_type (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    UNIQUE (name, schema_version)
) STRICT;
CREATE TABLE event (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    sequence_number INTEGER NOT NULL,
    event_count INTEGER NOT NULL,
    type ANY NOT NULL,
    timestamp INTEGER NOT NULL,
    attributes BLOB NOT NULL,
    payload BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE event_by_stream (
    stream INTEGER NOT NULL,
    sequence_number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (stream, sequence_number)
) STRICT, WITHOUT ROWID;
CREATE TABLE recent_event_by_stream (
    stream INTEGER NOT NULL,
    sequence_number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (stream, sequence_number)
) STRICT, WITHOUT ROWID;
CREATE TABLE event_key (
    stream INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    event_count INTEGER NOT NULL,
    PRIMARY KEY (stream, event_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE event_tag (
    tag TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tag, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE snapshot (
    snapshot_id TEXT NOT NULL,
    sequence_number INTEGER NOT NULL,
    type TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    payload BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (snapshot_id, sequence_number)
) STRICT, WITHOUT ROWID;
"""


def identify(path: Path) -> None:
    """Refuse what is no journal of this format, by the file's header, without changing it.

    It reads through SQLite's file layer: closing a descriptor of our own would drop the locks that other connections
    of this process hold (https://sqlite.org/howtocorrupt.html, section 2.2).

    Raises:
        JournalFormatError: the path is a folder or no ordinary file, or the file is something else or
            of a newer format.
    """
    if path.is_dir():
        raise JournalFormatError(f"{path} is a folder, not a journal")
    if path.is_symlink() and not path.exists():
        raise JournalFormatError(f"{path} is a link to what does not exist, not a journal")
    if path.exists() and not path.is_file():
        raise JournalFormatError(f"{path} is no ordinary file, so it cannot be a journal")
    if not path.parent.is_dir():
        raise JournalFormatError(f"{path} cannot be made: there is no folder {path.parent}")
    if not path.exists() or path.stat().st_size == 0 or Path(f"{path}-journal").exists():
        return  # new, or SQLite has to roll a torn creation back first
    header = _header(path)
    if len(header) < _HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise JournalFormatError(f"{path} is not a journal: it does not begin like an SQLite database")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise JournalFormatError(f"{path} is an SQLite database, but not a Calliope journal")
    _check_version(path, int.from_bytes(header[60:64], "big"))


def create_or_check(connection: apsw.Connection, path: Path) -> bytes:
    """Make an empty database a journal, or check that it is one; return the journal id.

    Raises:
        JournalFormatError: it is of another format.
    """
    if connection.pragma("application_id") != APPLICATION_ID:
        connection.reserve_bytes("main", RESERVED_BYTES)
        connection.pragma("page_size", PAGE_BYTES)
        with transaction(connection):
            if connection.pragma("application_id") != APPLICATION_ID:  # nobody was quicker
                connection.execute(_TABLES + LOG_TABLES)
                connection.execute("INSERT INTO meta VALUES (?, 0)", (os.urandom(8),))
                connection.pragma("application_id", APPLICATION_ID)
                connection.pragma("user_version", FORMAT_VERSION)
    _check_version(path, int(connection.pragma("user_version")))
    _switch_to_log(connection)
    return bytes(connection.execute("SELECT journal_id FROM meta").get)


def _switch_to_log(connection: apsw.Connection) -> None:
    """Turn the write-ahead log on; SQLite does not wait here for others that open the same new file, so we do."""
    give_up_at = time.monotonic() + SWITCH_SECONDS_MAX
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def transaction(connection: apsw.Connection, mode: str = "IMMEDIATE") -> Iterator[None]:
    """Commit what the block does, or roll it back.

    A write transaction takes its lock at the beginning: taken later it may fail at once, whatever the busy timeout.
    """
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _header(path: Path) -> bytes:
    file = apsw.VFSFile("", os.path.realpath(path), [apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB, 0])
    try:
        return file.xRead(min(_HEADER_BYTES, file.xFileSize()), 0)
    finally:
        file.xClose()


def _check_version(path: Path, version: int) -> None:
    if version != FORMAT_VERSION:
        raise JournalFormatError(
            f"{path} is a journal of format {version}; this version of Calliope reads format {FORMAT_VERSION}"
        )
