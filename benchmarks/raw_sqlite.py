"""SQLite by hand, as fast as it goes: what a journal's figures are held against.

The table has the columns of a journal's events and an ordinary unique index over (stream, sequence number). The rows
are ready-made tuples, so nothing is paid for but SQLite and its binding. Settings are those of a journal: WAL,
synchronous=FULL, the same page cache and checkpoints.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

import apsw

Row = tuple[int, int, int, int, int, None, bytes, int]
Connect = Callable[[Path], Any]

_CREATE = (
    (
        "CREATE TABLE event (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, sequence_number INTEGER NOT NULL,"
        " type INTEGER NOT NULL, timestamp INTEGER NOT NULL, attributes BLOB, payload BLOB NOT NULL,"
        " checksum INTEGER NOT NULL)"
    ),
    "CREATE UNIQUE INDEX event_by_stream ON event (stream, sequence_number)",
)
_INSERT = (
    "INSERT INTO event (stream, position, sequence_number, type, timestamp, attributes, payload, checksum)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_SELECT = (
    "SELECT position, sequence_number, type, timestamp, attributes, payload, checksum FROM event"
    " WHERE stream = ? AND sequence_number > 0 ORDER BY sequence_number"
)
_FETCHED_AT_ONCE = 1_024
_CACHE_KIBIBYTES = 16 * 1024
_CHECKPOINT_PAGES = 4_000


def stdlib(path: Path) -> sqlite3.Connection:
    """Open a file with Python's own sqlite3, set as a journal is."""
    connection = sqlite3.connect(path, isolation_level=None)
    _tune(connection)
    return connection


def with_apsw(path: Path) -> apsw.Connection:
    """Open a file with apsw, set as a journal is."""
    connection = apsw.Connection(str(path))
    _tune(connection)
    return connection


def rows(count: int, streams: int, payload: bytes) -> list[Row]:
    """Return rows that go to the streams in turn."""
    now = time.time_ns() // 1000
    checksum = crc32(payload)
    return [
        (1 + number % streams, 1 + number, 1 + number // streams, 1, now, None, payload, checksum)
        for number in range(count)
    ]


def append_in_batches(connect: Connect, folder: Path, ready: Sequence[Row], batch: int) -> float:
    """Write rows by executemany, one transaction a batch; return rows a second."""
    with closing(connect(folder / "raw.db")) as connection:
        _create(connection)
        batches = [ready[start : start + batch] for start in range(0, len(ready), batch)]
        began = time.perf_counter()
        for part in batches:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, part)
            connection.execute("COMMIT")
        return len(ready) / (time.perf_counter() - began)


def append_one_by_one(connect: Connect, folder: Path, ready: Sequence[Row], seconds: float) -> float:
    """Write rows, one transaction each, for some time; return rows a second."""
    with closing(connect(folder / "raw.db")) as connection:
        _create(connection)
        written = 0
        began = time.perf_counter()
        deadline = began + seconds
        for row in ready:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_INSERT, row)
            connection.execute("COMMIT")
            written += 1
            if time.perf_counter() > deadline:
                break
        return written / (time.perf_counter() - began)


def fill(path: Path, ready: Sequence[Row]) -> None:
    """Make a file that holds rows."""
    with closing(stdlib(path)) as connection:
        _create(connection)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, ready)
        connection.execute("COMMIT")


def fetch(path: Path, stream: int, consume: Callable[[Sequence[Any]], object] = bool) -> float:
    """Read one stream by fetchmany, and hand every lot to a function; return rows a second."""
    with closing(stdlib(path)) as connection:
        count = 0
        began = time.perf_counter()
        cursor = connection.execute(_SELECT, (stream,))
        while lot := cursor.fetchmany(_FETCHED_AT_ONCE):
            consume(lot)
            count += len(lot)
        return count / (time.perf_counter() - began)


def _create(connection: Any) -> None:
    for statement in _CREATE:
        connection.execute(statement)


def _tune(connection: Any) -> None:
    for setting in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"cache_size=-{_CACHE_KIBIBYTES}",
        f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
    ):
        list(connection.execute(f"PRAGMA {setting}"))
