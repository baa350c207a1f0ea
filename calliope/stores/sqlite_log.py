"""The log of a journal file: its tables, and what a transaction does with them.

    replica      one row: the log that is written to, the first one, the highest log position, the checkpoint
    replica_log  a number for each log id, the number of its last entry and its floor
    log_entry    one row an entry; `position` is the order in which this journal came to hold them
    stream_version
                 how far each writer of a replicated stream has come, who wrote that and what he had observed
    crdt_state   the state of each CRDT key, with a CRC-32
    replica_fact what a replica remembers of others

An entry's row holds the checksum that its writer made. The highest position has a row of its own because the newest
entries may be forgotten, and a position is never given twice.
"""

from typing import cast

import apsw

from calliope.stores.log_batch import LogBatch
from calliope.stores.state_rows import state_row
from calliope.stores.versioned import LogEntry

LOG_TABLES = """
CREATE TABLE replica (
    log INTEGER,
    first_log INTEGER,
    log_position INTEGER NOT NULL,
    checkpoint INTEGER NOT NULL,
    forgotten_through INTEGER NOT NULL
) STRICT;
INSERT INTO replica VALUES (NULL, NULL, 0, 0, 0);
CREATE TABLE replica_log (
    id INTEGER PRIMARY KEY,
    log_id TEXT NOT NULL UNIQUE,
    number INTEGER NOT NULL,
    floor INTEGER NOT NULL
) STRICT;
CREATE TABLE log_entry (
    position INTEGER PRIMARY KEY,
    log INTEGER NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX log_entry_by_number ON log_entry (log, number);
CREATE TABLE stream_version (
    stream INTEGER NOT NULL,
    writer TEXT NOT NULL,
    counter INTEGER NOT NULL,
    token BLOB NOT NULL,
    observed BLOB NOT NULL,
    PRIMARY KEY (stream, writer)
) STRICT, WITHOUT ROWID;
CREATE TABLE crdt_state (
    key TEXT PRIMARY KEY,
    type_name TEXT NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE replica_fact (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""

_FORGETTABLE = "position > ? AND position <= ? AND kind = 'operations'"
_FORGOTTEN_NUMBERS = (
    "SELECT log_id, forgotten.number FROM"
    f" (SELECT log, max(number) AS number FROM log_entry WHERE {_FORGETTABLE} GROUP BY +log) AS forgotten"
    " JOIN replica_log ON id = log"
)


class SqliteLog:
    """The log as it is stored, within one transaction.

    Args:
        connection: what the transaction is on.
        numbers: the row of each log id, as far as it is known; what is learned is added.
    """

    def __init__(self, connection: apsw.Connection, numbers: dict[str, int]) -> None:
        self._connection = connection
        self._numbers = numbers

    def entry(self, log_id: str, number: int) -> LogEntry | None:
        """Return an entry that is held, or None if it is in states only."""
        row = self._connection.execute(
            "SELECT kind, checksum, body FROM log_entry WHERE log = ? AND number = ?", (self._number_of(log_id), number)
        ).fetchone()
        return None if row is None else LogEntry(log_id, number, *row)

    def delete_operations(self, after: int, through: int) -> dict[str, int]:
        """Delete operations; see `LogTables`."""
        numbers = cast(list[tuple[str, int]], self._connection.execute(_FORGOTTEN_NUMBERS, (after, through)).fetchall())
        self._connection.execute(f"DELETE FROM log_entry WHERE {_FORGETTABLE}", (after, through))
        return dict(numbers)

    def insert(self, batch: LogBatch) -> None:
        """Write what was gathered."""
        batch.finish()
        if batch.entries:
            rows = [
                (position, self._number_of(entry.log_id), entry.number, entry.kind, entry.checksum, entry.body)
                for position, entry in batch.entries
            ]
            self._connection.executemany("INSERT INTO log_entry VALUES (?, ?, ?, ?, ?, ?)", rows)
        states = map(state_row, batch.states.values())
        self._connection.executemany("INSERT OR REPLACE INTO crdt_state VALUES (?, ?, ?, ?)", states)
        for name, fact in batch.facts.items():
            self._remember(name, fact)
        state = batch.state
        logs = [(state.vector[log_id], state.floor[log_id], self._number_of(log_id)) for log_id in batch.changed_logs]
        self._connection.executemany("UPDATE replica_log SET number = ?, floor = ? WHERE id = ?", logs)
        if state != batch.before:
            self._connection.execute(
                "UPDATE replica SET log = ?, first_log = ?, log_position = ?, checkpoint = ?, forgotten_through = ?",
                (
                    self._number_of(state.log_id) if state.log_id else None,
                    self._number_of(state.first_log_id) if state.first_log_id else None,
                    state.position,
                    state.checkpoint,
                    state.forgotten_through,
                ),
            )

    def _remember(self, name: str, fact: bytes | None) -> None:
        if fact is None:
            self._connection.execute("DELETE FROM replica_fact WHERE name = ?", (name,))
        else:
            self._connection.execute("INSERT OR REPLACE INTO replica_fact VALUES (?, ?)", (name, fact))

    def _number_of(self, log_id: str) -> int:
        number = self._numbers.get(log_id)
        if number is None:
            found = self._connection.execute("SELECT id FROM replica_log WHERE log_id = ?", (log_id,)).get
            if found is None:
                insert = "INSERT INTO replica_log (log_id, number, floor) VALUES (?, 0, 0) RETURNING id"
                found = self._connection.execute(insert, (log_id,)).get
            number = self._numbers[log_id] = cast(int, found)
        return number
