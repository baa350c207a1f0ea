"""The log of a journal in PostgreSQL: its tables, how it stands, and what a transaction does with it.

    replica      one row: the log that is written to, the first one, the highest log position, the checkpoint; a version
                 that grows with every change of these or of `replica_log`; the lineage of the database that they were
                 last written in; the node that holds the journal (see `postgres_lease`)
    replica_log  a number for each log id, the number of its last entry, its floor, and the version that changed them
    log_entry    one row an entry; `position` is the order in which this journal came to hold them
    stream_version
                 how far each writer of a replicated stream has come, who wrote that and what he had observed
    crdt_state   the state of each CRDT key, with a CRC-32
    replica_fact what a replica remembers of others

All of it is written by who holds the lock on the journal's row, together with the events. So the log of one replica is
numbered by any number of processes, in the order of their commits, and none of them numbers by what it remembers: the
version says under the lock whether that is true still.

A database may have gone back in time: restored from a backup, or a standby that took over and had not received all.
Then numbers are taken that it does not know of. Its *lineage* tells: the server's identifier and timeline
(https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES), and the numbers of the database
and the table, which are others after a restore from a dump, or in a copy. Who writes in another lineage than the last
one begins a fresh log, whether a node runs or not. What the lineage does not tell, such as a disk that was copied back
under the server, a node finds out from the other replicas.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg

from calliope.stores.log_batch import LogBatch
from calliope.stores.log_pages import LOG_PAGE_ENTRIES_MAX
from calliope.stores.log_state import LogState
from calliope.stores.postgres_rows import insert_statement, inserted
from calliope.stores.state_rows import state_row
from calliope.stores.versioned import LogEntry
from crdts import VersionVector

LOG_TABLES = """
CREATE TABLE replica (
    version bigint NOT NULL,
    log bigint,
    first_log bigint,
    log_position bigint NOT NULL,
    checkpoint bigint NOT NULL,
    forgotten_through bigint NOT NULL,
    lineage text NOT NULL,
    holder text NOT NULL
);
CREATE UNIQUE INDEX only_one_replica ON replica ((true));
INSERT INTO replica VALUES (0, NULL, NULL, 0, 0, 0, '', '');
CREATE TABLE replica_log (
    id bigint PRIMARY KEY,
    log_id text COLLATE "C" NOT NULL UNIQUE,
    number bigint NOT NULL,
    floor bigint NOT NULL,
    version bigint NOT NULL
);
CREATE TABLE log_entry (
    position bigint PRIMARY KEY,
    log bigint NOT NULL,
    number bigint NOT NULL,
    kind text NOT NULL,
    checksum bigint NOT NULL,
    body bytea NOT NULL
);
CREATE UNIQUE INDEX log_entry_by_number ON log_entry (log, number);
CREATE TABLE stream_version (
    stream bigint NOT NULL,
    writer text COLLATE "C" NOT NULL,
    counter bigint NOT NULL,
    token bytea NOT NULL,
    observed bytea NOT NULL,
    PRIMARY KEY (stream, writer)
);
CREATE TABLE crdt_state (
    key text COLLATE "C" PRIMARY KEY,
    type_name text NOT NULL,
    body bytea NOT NULL,
    checksum bigint NOT NULL
);
CREATE TABLE replica_fact (
    name text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);
"""

Connection = psycopg.Connection[tuple[object, ...]]

LOG = (
    "SELECT replica.version, log, first_log, log_position, checkpoint, forgotten_through, lineage, holder,"
    " id, log_id, number, floor FROM replica LEFT JOIN replica_log ON replica_log.version > %s"
)
"""How the log stands, and what has changed of the logs since a version: see `stored_log`."""

ENTRIES_AFTER = (
    "SELECT position, log_id, page.number, kind, checksum, body FROM"
    " (SELECT *, sum(octet_length(body)) OVER (ORDER BY position) AS bytes FROM"
    f" (SELECT * FROM log_entry WHERE position > %s ORDER BY position LIMIT {LOG_PAGE_ENTRIES_MAX}) AS wanted) AS page"
    " JOIN replica_log ON id = log WHERE bytes <= %s ORDER BY position"
)
"""The entries behind a log position, of so many bytes at most."""

HELD_ENTRIES = (
    "SELECT log_entry.position, log_id, log_entry.number, kind, checksum, body"
    " FROM unnest(%s::text[], %s::bigint[]) AS asked (name, asked_number) JOIN replica_log ON log_id = name"
    " JOIN log_entry ON log = id AND log_entry.number = asked_number"
)
"""Entries by log id and number."""

_DELETE_OPERATIONS = (
    "WITH gone AS (DELETE FROM log_entry WHERE position > %s AND position <= %s AND kind = 'operations'"
    " RETURNING log, log_entry.number)"
    " SELECT log_id, max(gone.number) FROM gone JOIN replica_log ON id = log GROUP BY log_id"
)
_LINEAGE = (
    "SELECT concat_ws('/', system_identifier, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), pg_database.oid,"
    " 'replica'::regclass::oid) FROM pg_control_system(), pg_database WHERE datname = current_database()"
)
_INSERT_ENTRIES = insert_statement("log_entry", "bigint", "bigint", "bigint", "text", "bigint", "bytea")
_PUT_LOGS = (
    insert_statement("replica_log", "bigint", "text", "bigint", "bigint", "bigint")
    + b" ON CONFLICT (id) DO UPDATE SET number = excluded.number, floor = excluded.floor, version = excluded.version"
)
_PUT_STATES = (
    insert_statement("crdt_state", "text", "text", "bytea", "bigint")
    + b" ON CONFLICT (key) DO UPDATE SET type_name = excluded.type_name, body = excluded.body,"
    b" checksum = excluded.checksum"
)
_PUT_FACTS = (
    insert_statement("replica_fact", "text", "bytea") + b" ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_FORGET_FACTS = b"DELETE FROM replica_fact WHERE name = ANY (%s::text[])"
_UPDATE = (
    b"UPDATE replica SET version = %s, log = %s, first_log = %s, log_position = %s, checkpoint = %s,"
    b" forgotten_through = %s, lineage = %s, holder = %s"
)


@dataclass(frozen=True, slots=True)
class StoredLog:
    """The log as it was committed at one moment.

    Attributes:
        version: grows with every change.
        state: how it stood.
        numbers: the row of each log id.
        lineage: in which lineage of the database it was last written; empty: that is not known.
        holder: the node that holds the journal, or did last.
    """

    version: int = -1
    state: LogState = field(default_factory=LogState)
    numbers: dict[str, int] = field(default_factory=dict)
    lineage: str = ""
    holder: str = ""


def stored_log(rows: Sequence[tuple[object, ...]], known: StoredLog) -> StoredLog:
    """Return the log as `LOG` has found it, asked with the version that is known."""
    fetched = cast(list[tuple[Any, ...]], rows)
    version, log, first_log, position, checkpoint, forgotten_through, lineage, holder = fetched[0][:8]
    if version == known.version:
        return known
    changed = [row[8:] for row in fetched if row[8] is not None]
    numbers = {**known.numbers, **{log_id: row for row, log_id, _, _ in changed}}
    log_ids = {row: log_id for log_id, row in numbers.items()}
    state = LogState(
        log_ids.get(log, ""),
        log_ids.get(first_log, ""),
        position,
        checkpoint,
        forgotten_through,
        known.state.vector.merge(VersionVector({log_id: number for _, log_id, number, _ in changed})),
        known.state.floor.merge(VersionVector({log_id: floor for _, log_id, _, floor in changed})),
    )
    return StoredLog(version, state, numbers, lineage, holder)


def entries_of(rows: Sequence[tuple[object, ...]]) -> list[tuple[int, LogEntry]]:
    """Return entries with their log positions, as `ENTRIES_AFTER` and `HELD_ENTRIES` find them."""
    return [
        (position, LogEntry(log_id, number, kind, checksum, body))
        for position, log_id, number, kind, checksum, body in cast(list[tuple[Any, ...]], rows)
    ]


def lineage_of(connection: Connection) -> str:
    """Return the lineage of the database; empty if the server does not tell."""
    try:
        row = connection.execute(_LINEAGE).fetchone()
    except psycopg.DatabaseError:
        if connection.broken:
            raise
        return ""
    return "" if row is None else str(row[0])


class PostgresLog:
    """The log within one transaction that holds the journal's lock.

    Args:
        connection: what the transaction is on.
        before: the log before it.
        held: entries that were asked for, by log id and number.
    """

    def __init__(self, connection: Connection, before: StoredLog, held: dict[tuple[str, int], LogEntry]) -> None:
        self._connection = connection
        self._before = before
        self._held = held

    def entry(self, log_id: str, number: int) -> LogEntry | None:
        """Return an entry that is held, or None if it is in states only."""
        if (log_id, number) not in self._held:
            with self._connection.cursor(binary=True) as cursor:
                rows = cursor.execute(HELD_ENTRIES.encode(), ([log_id], [number])).fetchall()
            for _, entry in entries_of(rows):
                self._held[log_id, number] = entry
        return self._held.get((log_id, number))

    def delete_operations(self, after: int, through: int) -> dict[str, int]:
        """Delete operations; see `LogTables`."""
        rows = self._connection.execute(_DELETE_OPERATIONS.encode(), (after, through)).fetchall()
        return dict(cast(list[tuple[str, int]], rows))

    def insert(self, batch: LogBatch, lineage: str, holder: str) -> StoredLog:
        """Write what was gathered, without waiting for the server's answers; return the log as it will be."""
        batch.finish()
        state, numbers, lineage = batch.state, self._numbers(batch), lineage or self._before.lineage
        connection = self._connection
        entries = [
            (position, numbers[entry.log_id], entry.number, entry.kind, entry.checksum, entry.body)
            for position, entry in batch.entries
        ]
        inserted(connection, _INSERT_ENTRIES, entries)
        inserted(connection, _PUT_STATES, list(map(state_row, batch.states.values())))
        inserted(connection, _PUT_FACTS, [fact for fact in batch.facts.items() if fact[1] is not None])
        forgotten = [name for name, fact in batch.facts.items() if fact is None]
        if forgotten:
            connection.execute(_FORGET_FACTS, (forgotten,))
        if (state, holder) == (self._before.state, self._before.holder):
            return self._before
        changed = sorted({*batch.changed_logs, *(numbers.keys() - self._before.numbers.keys())})
        after = StoredLog(self._before.version + 1, state, numbers, lineage, holder)
        logs = [
            (numbers[log_id], log_id, state.vector[log_id], state.floor[log_id], after.version) for log_id in changed
        ]
        inserted(connection, _PUT_LOGS, logs)
        used, first = numbers.get(state.log_id), numbers.get(state.first_log_id)
        places = state.position, state.checkpoint, state.forgotten_through
        connection.execute(_UPDATE, (after.version, used, first, *places, lineage, holder))
        return after

    def _numbers(self, batch: LogBatch) -> dict[str, int]:
        """Return the row of each log id, those of new ones behind the others."""
        numbers, state = self._before.numbers, batch.state
        new = sorted({*batch.changed_logs, state.log_id, state.first_log_id} - numbers.keys() - {""})
        last = max(numbers.values(), default=0)
        return {**numbers, **{log_id: last + place for place, log_id in enumerate(new, 1)}} if new else numbers
