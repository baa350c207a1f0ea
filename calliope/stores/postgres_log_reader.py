"""Reading the log, the states and the facts of a journal in PostgreSQL, on one connection."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from calliope.stores.log_pages import LOG_PAGE_ENTRIES_MAX, gathered_page
from calliope.stores.postgres_log import ENTRIES_AFTER, LOG, Connection, StoredLog, entries_of, stored_log
from calliope.stores.replica_store import LogPage, StoredState
from calliope.stores.state_rows import StateRow, checked_state, text_behind
from calliope.stores.stream_versions import StreamVersions, WriterVersion, decode_observed
from calliope.stores.versioned import LogEntry
from crdts import VersionVector

SCAN_POSITIONS = 8_192
"""How many log positions are looked through at once; four times as many if nothing was there, and so on."""

STREAM_VERSIONS = (
    "SELECT stream_id, writer, counter, token, observed FROM stream JOIN stream_version ON stream = id"
    " WHERE stream_id = ANY (%s::text[]) AND kind = 'replicated'"
)
"""How far the writers of replicated streams have come, by the streams' ids: see `stream_versions`."""

_HEAD = "SELECT log_position FROM replica"
_FLOOR = "SELECT log_id, floor FROM replica_log WHERE floor > 0"
_LACKED = (
    "SELECT log, has, (SELECT position FROM log_entry WHERE log_entry.log = lacked.log AND number > has"
    " ORDER BY number LIMIT 1) FROM (SELECT id AS log, coalesce(has, 0) AS has FROM replica_log"
    " LEFT JOIN unnest(%s::text[], %s::bigint[]) AS asked (name, has) ON log_id = name"
    " WHERE number > coalesce(has, 0)) AS lacked"
)
"""The logs of which somebody lacks something who has a vector, how far he has them, and where the rest begins."""

# Only the position may look as if an index would help, and its range is short: the planner does not know how many
# entries are lacked, and would sort all of them for a page.
_PAGE = (
    "SELECT page.position, log_id, page.number, kind, checksum, body FROM"
    " (SELECT *, sum(octet_length(body)) OVER (ORDER BY position) - octet_length(body) AS bytes_before FROM"
    " (SELECT * FROM log_entry WHERE position > %s AND position <= %s"
    " AND number + 0 > (%s::bigint[])[array_position(%s::bigint[], log + 0)]"
    f" ORDER BY position LIMIT {LOG_PAGE_ENTRIES_MAX}) AS wanted) AS page"
    " JOIN replica_log ON id = log WHERE bytes_before <= %s ORDER BY page.position"
)
_STATE = "SELECT key, type_name, body, checksum FROM crdt_state WHERE key = %s"
_STATES = (
    "SELECT key, type_name, {columns} FROM crdt_state WHERE key > %(after)s AND key >= %(prefix)s {below}"
    " ORDER BY key LIMIT %(limit)s"
)


class PostgresLogReader:
    """Reads what `ReplicaStore` keeps beside events.

    Args:
        connection: where it reads.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def log(self, known: StoredLog) -> StoredLog:
        """Return how the log stands; what is known, if that has not changed."""
        return stored_log(self._rows(LOG, (known.version,)), known)

    def entries_after(self, after: int, bytes_max: int) -> list[tuple[int, LogEntry]]:
        """Return entries behind a log position, with their positions; of so many bytes at most."""
        return entries_of(self._rows(ENTRIES_AFTER, (after, bytes_max)))

    def page(self, have: VersionVector, after: int, bytes_max: int) -> LogPage:
        """Return a page of the log; see `ReplicaStore.read_log`.

        The head is read first and the floor last: what is written meanwhile is left to the next page, and what is
        deleted meanwhile is below the floor.
        """
        asked = _LACKED, (list(have), list(have.values()))
        head_found, lacked, floor = self._several((_HEAD, ()), asked, (_FLOOR, ()))
        head = cast(int, head_found[0][0])
        first = min([position for _, _, position in lacked if position is not None], default=head + 1)
        page = LogPage([], max(after, min(first - 1, head)), head, _vector(floor))
        scanned = SCAN_POSITIONS
        while not page.entries and not page.complete:
            page = self._scanned(page, lacked, have, min(head, page.through + scanned), bytes_max)
            scanned *= 4
        return page

    def _scanned(
        self, before: LogPage, lacked: Sequence[tuple[Any, ...]], have: VersionVector, end: int, bytes_max: int
    ) -> LogPage:
        """Return a page of what is lacked behind another page, up to a log position."""
        start, head = before.through, before.head
        logs, numbers = [log for log, _, _ in lacked], [number for _, number, _ in lacked]
        rows, floor = self._several((_PAGE, (start, end, numbers, logs, bytes_max)), (_FLOOR, ()))
        entries = entries_of(rows)
        byte_count = sum([len(entry.body) for _, entry in entries])
        is_cut = len(entries) == LOG_PAGE_ENTRIES_MAX or byte_count > bytes_max
        rest = LogPage([], entries[-1][0] if is_cut else end, head, _vector(floor))
        return gathered_page(entries, have, start=start, end=rest, bytes_max=bytes_max)

    def state(self, key: str) -> StoredState | None:
        """Return a state, checked."""
        rows = self._rows(_STATE, (key,))
        return checked_state(cast(StateRow, rows[0])) if rows else None

    def states(self, prefix: str, after: str, limit: int, *, bodies: bool) -> list[StoredState]:
        """Return states; see `ReplicaStore.states`."""
        behind = text_behind(prefix)
        statement = _STATES.format(
            columns="body, checksum" if bodies else "NULL, NULL", below="" if behind is None else "AND key < %(behind)s"
        )
        rows = self._rows(statement, {"after": after, "prefix": prefix, "behind": behind, "limit": limit})
        if not bodies:
            return [StoredState(row[0], row[1], b"") for row in rows]
        return [checked_state(cast(StateRow, row)) for row in rows]

    def facts(self) -> dict[str, bytes]:
        """Return all facts."""
        return dict(cast(list[tuple[str, bytes]], self._rows("SELECT name, value FROM replica_fact", ())))

    def stream_version(self, stream_id: str) -> VersionVector:
        """Return how far the writers of a stream have come."""
        return VersionVector([(row[1], row[2]) for row in self._rows(STREAM_VERSIONS, ([stream_id],))])

    def _several(self, *statements: tuple[str, Sequence[object]]) -> list[Sequence[tuple[Any, ...]]]:
        """Return what several statements find, each after the other, in one round trip."""
        with self._connection.pipeline():
            cursors = [
                self._connection.cursor(binary=True).execute(statement.encode(), asked)
                for statement, asked in statements
            ]
        return [cursor.fetchall() for cursor in cursors]

    def _rows(self, statement: str, asked: Sequence[object] | Mapping[str, object]) -> Sequence[tuple[Any, ...]]:
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(statement.encode(), asked).fetchall()


def stream_versions(rows: Sequence[tuple[object, ...]]) -> dict[str, StreamVersions]:
    """Return how far the writers of streams have come, by the streams' ids, as `STREAM_VERSIONS` finds it."""
    found: dict[str, StreamVersions] = {}
    for stream_id, writer, counter, token, observed in cast(list[tuple[str, str, int, bytes, bytes]], rows):
        versions = found.setdefault(stream_id, StreamVersions())
        versions.writers[writer] = WriterVersion(counter, token, decode_observed(observed))
    return found


def _vector(rows: Sequence[tuple[Any, ...]]) -> VersionVector:
    return VersionVector(cast(list[tuple[str, int]], rows))
