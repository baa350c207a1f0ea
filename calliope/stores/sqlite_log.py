"""What one transaction adds to a journal's log: gathered, so that each table is written by one statement.

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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast
from zlib import crc32

import apsw

from calliope.errors import ForkedLogError
from calliope.stores.log_state import LogState, check_forgettable, check_next
from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import EntryGathering, EntryKind, LogEntry
from crdts import VersionVector

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


class LogBatch:
    """The log within one transaction.

    Args:
        connection: what the transaction is on.
        state: the log before it.
        numbers: the row of each log id, as far as it is known; what is learned is added.

    Attributes:
        state: the log as it will be when the transaction is committed.
        entries: the new entries, each with its log position.
    """

    def __init__(self, connection: apsw.Connection, state: LogState, numbers: dict[str, int]) -> None:
        self.state = state
        self.entries: list[tuple[int, LogEntry]] = []
        self._connection = connection
        self._numbers = numbers
        self._before = state
        self._gathering: EntryGathering | None = None
        self._new: dict[tuple[str, int], LogEntry] = {}

    def use(self, log_id: str) -> None:
        """Number what is written from now on in a log."""
        self._end_gathering()
        self._number_of(log_id)
        self.state = self.state.using(log_id)

    def add_changes(self, kind: EntryKind, changes: Sequence[bytes]) -> int:
        """Add what is written here, encoded; return the number of the entry that the last change is in."""
        if self._gathering is None:
            self._gathering = EntryGathering(self.state.log_id, self.state.vector[self.state.log_id])
        return self._gathering.add(kind, changes)

    def add_operations(self, changes: Sequence[bytes]) -> tuple[str, int]:
        """Add operations, encoded; see `ReplicaStore.append_operations`."""
        if not changes or not self.state.log_id:
            raise ValueError("there are no operations" if self.state.log_id else "no log was ever used")
        return self.state.log_id, self.add_changes("operations", changes)

    def new_among(self, entries: Sequence[LogEntry], snapshot: VersionVector) -> list[LogEntry]:
        """Return the entries that are not held, after checking that each is the next of its log.

        Raises:
            LogGapError, ForkedLogError: as `ReplicaStore.receive`.
        """
        self._end_gathering()
        held = self.state.vector.to_dict().copy()
        new: dict[tuple[str, int], LogEntry] = {}
        for entry in entries:
            log_id, number = entry.log_id, entry.number
            if number > held.get(log_id, 0):
                check_next(entry, held.get(log_id, 0), snapshot[log_id])
                new[log_id, number] = entry
                held[log_id] = number
            elif (new.get((log_id, number)) or self._held(log_id, number) or entry) != entry:
                raise ForkedLogError(log_id, number)
        return list(new.values())

    def add_entries(self, entries: Sequence[LogEntry]) -> None:
        """Add entries that are the next of their logs, or jump over what is in states."""
        if not entries:
            return
        numbers, floor = self.state.vector.to_dict().copy(), self.state.floor
        for position, entry in enumerate(entries, self.state.position + 1):
            if entry.number - 1 > numbers.get(entry.log_id, 0):
                floor = floor.merge(VersionVector({entry.log_id: entry.number - 1}))
            numbers[entry.log_id] = entry.number
            self._new[entry.log_id, entry.number] = entry
            self.entries.append((position, entry))
        self.state = replace(self.state, position=position, vector=VersionVector.wrap(numbers), floor=floor)

    def save_states(self, states: Sequence[StoredState], checkpoint: int) -> None:
        """Replace states, and raise the checkpoint."""
        rows = [(state.key, state.type_name, state.body, state_checksum(state)) for state in states]
        self._connection.executemany("INSERT OR REPLACE INTO crdt_state VALUES (?, ?, ?, ?)", rows)
        self.state = replace(self.state, checkpoint=max(self.state.checkpoint, checkpoint))

    def forget_operations(self, through: int) -> None:
        """Delete operations, and raise the floor."""
        check_forgettable(through, self.state.checkpoint)
        bindings = (self.state.forgotten_through, through)
        numbers = cast(list[tuple[str, int]], self._connection.execute(_FORGOTTEN_NUMBERS, bindings).fetchall())
        self._connection.execute(f"DELETE FROM log_entry WHERE {_FORGETTABLE}", bindings)
        self.state = self.state.forgetting(through, VersionVector(numbers))

    def install(self, vector: VersionVector) -> None:
        """Hold everything up to a vector."""
        self._end_gathering()
        held = self.state.vector
        jumped = VersionVector({log_id: number for log_id, number in vector.items() if number > held[log_id]})
        self.state = replace(self.state, vector=held.merge(vector), floor=self.state.floor.merge(jumped))

    def remember(self, name: str, fact: bytes | None) -> None:
        """Keep or forget a fact."""
        if fact is None:
            self._connection.execute("DELETE FROM replica_fact WHERE name = ?", (name,))
        else:
            self._connection.execute("INSERT OR REPLACE INTO replica_fact VALUES (?, ?)", (name, fact))

    def insert(self) -> None:
        """Write what was gathered."""
        self._end_gathering()
        if self.entries:
            rows = [
                (position, self._number_of(entry.log_id), entry.number, entry.kind, entry.checksum, entry.body)
                for position, entry in self.entries
            ]
            self._connection.executemany("INSERT INTO log_entry VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._update_logs()
        if self.state != self._before:
            self._connection.execute(
                "UPDATE replica SET log = ?, first_log = ?, log_position = ?, checkpoint = ?, forgotten_through = ?",
                (
                    self._number_of(self.state.log_id) if self.state.log_id else None,
                    self._number_of(self.state.first_log_id) if self.state.first_log_id else None,
                    self.state.position,
                    self.state.checkpoint,
                    self.state.forgotten_through,
                ),
            )

    def _update_logs(self) -> None:
        state, before = self.state, self._before
        changed = {
            log_id
            for log_id in (*state.vector, *state.floor)
            if state.vector[log_id] != before.vector[log_id] or state.floor[log_id] != before.floor[log_id]
        }
        rows = [(state.vector[log_id], state.floor[log_id], self._number_of(log_id)) for log_id in sorted(changed)]
        self._connection.executemany("UPDATE replica_log SET number = ?, floor = ? WHERE id = ?", rows)

    def _end_gathering(self) -> None:
        if self._gathering is not None:
            gathering, self._gathering = self._gathering, None
            self.add_entries(gathering.entries())

    def _number_of(self, log_id: str) -> int:
        number = self._numbers.get(log_id)
        if number is None:
            found = self._connection.execute("SELECT id FROM replica_log WHERE log_id = ?", (log_id,)).get
            if found is None:
                insert = "INSERT INTO replica_log (log_id, number, floor) VALUES (?, 0, 0) RETURNING id"
                found = self._connection.execute(insert, (log_id,)).get
            number = self._numbers[log_id] = cast(int, found)
        return number

    def _held(self, log_id: str, number: int) -> LogEntry | None:
        """Return an entry, or None if it is in states only."""
        if (log_id, number) in self._new:
            return self._new[log_id, number]
        row = self._connection.execute(
            "SELECT kind, checksum, body FROM log_entry WHERE log = ? AND number = ?", (self._number_of(log_id), number)
        ).fetchone()
        return None if row is None else LogEntry(log_id, number, *row)


@dataclass(frozen=True, slots=True)
class LogWrite:
    """A request that concerns the log."""

    write: Callable[[LogBatch], object]


def state_checksum(state: StoredState) -> int:
    """Return the CRC-32 of a state: of its key and type name, each followed by NUL, and its body."""
    return crc32(state.body, crc32(f"{state.key}\0{state.type_name}\0".encode()))
