"""Reading the log, the states and the facts of a journal file, on one connection."""

import json
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import cast

import apsw

from calliope.stores.log_pages import LOG_PAGE_ENTRIES_MAX, gathered_page
from calliope.stores.log_state import LogState
from calliope.stores.replica_store import LogPage, StoredState
from calliope.stores.sqlite_schema import transaction
from calliope.stores.state_rows import StateRow, checked_state, text_behind
from calliope.stores.stream_versions import StreamVersions, WriterVersion, decode_observed
from calliope.stores.versioned import EntryKind, LogEntry
from crdts import VersionVector

# The unary plus keeps the planner from the index: entries are wanted by position.
_ENTRIES = (
    "SELECT position, log_id, log_entry.number, kind, checksum, body FROM log_entry"
    " CROSS JOIN replica_log ON replica_log.id = log_entry.log"
    " WHERE position > ?1 AND (?2 IS NULL OR +log_entry.log IN (SELECT value FROM json_each(?2))) ORDER BY position"
)
_FIRST_LACKING = "SELECT position FROM log_entry WHERE log = ? AND number > ? ORDER BY number LIMIT 1"
_STREAM_VERSION = (
    "SELECT writer, counter FROM stream_version"
    " WHERE stream = (SELECT id FROM stream WHERE stream_id = ? AND kind = 'replicated')"
)


def log_state(connection: apsw.Connection) -> LogState:
    """Return the log as it stands."""
    position, checkpoint, forgotten_through, log, first_log = cast(
        tuple[int, int, int, int | None, int | None],
        connection.execute("SELECT log_position, checkpoint, forgotten_through, log, first_log FROM replica").get,
    )
    rows = connection.execute("SELECT id, log_id, number, floor FROM replica_log").fetchall()
    logs = cast(list[tuple[int, str, int, int]], rows)
    log_ids = {number: log_id for number, log_id, _, _ in logs}
    return LogState(
        log_ids.get(log or 0, ""),
        log_ids.get(first_log or 0, ""),
        position,
        checkpoint,
        forgotten_through,
        VersionVector({log_id: number for _, log_id, number, _ in logs}),
        VersionVector({log_id: floor for _, log_id, _, floor in logs}),
    )


def entries_after(connection: apsw.Connection, after: int, bytes_max: int) -> list[tuple[int, LogEntry]] | None:
    """Return all entries after a log position, or None if they are too many, or one is damaged."""
    found: list[tuple[int, LogEntry]] = []
    byte_count = 0
    with closing(_entries(connection, after)) as entries:
        for position, entry in entries:
            byte_count += len(entry.body)
            if byte_count > bytes_max or len(found) >= LOG_PAGE_ENTRIES_MAX or not entry.is_whole:
                return None
            found.append((position, entry))
    return found


def stream_versions(connection: apsw.Connection, stream: int) -> StreamVersions:
    """Return how far the writers of a stream have come, by the stream's number."""
    rows = connection.execute("SELECT writer, counter, token, observed FROM stream_version WHERE stream = ?", (stream,))
    return StreamVersions(
        {
            writer: WriterVersion(counter, token, decode_observed(observed))
            for writer, counter, token, observed in cast(Iterator[tuple[str, int, bytes, bytes]], rows)
        }
    )


class SqliteLogReader:
    """Reads what `ReplicaStore` keeps beside events, on one connection.

    Args:
        connection: where it reads.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def page(self, have: VersionVector, after: int, bytes_max: int) -> LogPage:
        """Return a page of the log; see `ReplicaStore.read_log`."""
        with transaction(self._connection, "DEFERRED"):
            log = log_state(self._connection)
            first, logs = _first_lacking(self._connection, have, log.position)
            start = max(after, first - 1)
            end = LogPage([], max(after, log.position), log.position, log.floor)
            with closing(_entries(self._connection, start, json.dumps(logs))) as entries:
                return gathered_page(entries, have, start=start, end=end, bytes_max=bytes_max)

    def state(self, key: str) -> StoredState | None:
        """Return a state, checked."""
        row = self._connection.execute(
            "SELECT key, type_name, body, checksum FROM crdt_state WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else checked_state(cast(StateRow, row))

    def states(self, prefix: str, after: str, limit: int, *, bodies: bool) -> list[StoredState]:
        """Return states; see `ReplicaStore.states`."""
        columns = "key, type_name, body, checksum" if bodies else "key, type_name"
        rows = self._connection.execute(
            f"SELECT {columns} FROM crdt_state WHERE key > ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT ?4",
            (after, prefix, text_behind(prefix) or b"", limit),  # a blob is behind every text
        )
        if not bodies:
            return [StoredState(cast(str, key), cast(str, type_name), b"") for key, type_name in rows]
        return [checked_state(cast(StateRow, row)) for row in rows]

    def facts(self) -> dict[str, bytes]:
        """Return all facts."""
        rows = self._connection.execute("SELECT name, value FROM replica_fact").fetchall()
        return dict(cast(list[tuple[str, bytes]], rows))

    def stream_version(self, stream_id: str) -> VersionVector:
        """Return how far the writers of a stream have come."""
        rows = self._connection.execute(_STREAM_VERSION, (stream_id,)).fetchall()
        return VersionVector(cast(list[tuple[str, int]], rows))


def _entries(
    connection: apsw.Connection, after: int, logs: str | None = None
) -> Generator[tuple[int, LogEntry], None, None]:
    """Yield entries after a position; only those of some logs, if their numbers are given, as a JSON array."""
    with closing(connection.execute(_ENTRIES, (after, logs))) as rows:
        for position, log_id, number, kind, checksum, body in cast(
            Iterator[tuple[int, str, int, EntryKind, int, bytes]], rows
        ):
            yield position, LogEntry(log_id, number, kind, checksum, body)


def _first_lacking(connection: apsw.Connection, have: VersionVector, head: int) -> tuple[int, list[int]]:
    """Return the first position that may hold what somebody lacks who has this, and the logs that he lacks some of."""
    first, lacking = head + 1, []
    logs = connection.execute("SELECT id, log_id, number FROM replica_log").fetchall()
    for log, log_id, number in cast(list[tuple[int, str, int]], logs):
        if number > have[log_id]:
            position = cast(int | None, connection.execute(_FIRST_LACKING, (log, have[log_id])).get)
            first = first if position is None else min(first, position)
            lacking.append(log)
    return first, lacking
