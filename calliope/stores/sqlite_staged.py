"""`Staged`: what one transaction will write to SQLite, gathered so that each table takes one statement."""

from collections.abc import Sequence
from typing import cast

import apsw

from calliope.stores.event_rows import ALL_COLUMNS, NewRow
from calliope.stores.log_batch import LogBatch
from calliope.stores.record import StoredRecord
from calliope.stores.replicated_staging import VersionRow
from calliope.stores.sqlite_log import SqliteLog

_INDEX_ROWS = (
    "INSERT INTO recent_event_by_stream SELECT stream, sequence_number, position FROM event WHERE position >= ?"
)
_INSERT_ROW = f"INSERT INTO event ({ALL_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

_COUNT_OTHER_WRITES = "UPDATE meta SET other_writes = other_writes + ? RETURNING other_writes"


class Staged:
    """The rows of one transaction, gathered so that each table is written by one statement."""

    __slots__ = (
        "_log_tables",
        "log",
        "named",
        "other_write_count",
        "other_writes",
        "records",
        "replicated",
        "rows",
        "tags",
        "versions",
    )

    def __init__(self, log: LogBatch, log_tables: SqliteLog) -> None:
        self.log = log
        self._log_tables = log_tables
        self.replicated: dict[int, list[StoredRecord]] = {}
        self.versions: dict[tuple[int, str], VersionRow] = {}
        self.other_write_count = 0
        self.records: list[StoredRecord] = []
        self.rows: list[NewRow] = []
        self.tags: list[tuple[str, int]] = []
        self.named: dict[tuple[int, str], list[StoredRecord]] = {}
        self.other_writes = 0

    def add(self, row: NewRow, tags: Sequence[str]) -> None:
        """Add a row of the event table, and the tags that its events have."""
        self.rows.append(row)
        if tags:
            self.tags += [(tag, row[1]) for tag in tags]

    def insert(self, connection: apsw.Connection) -> None:
        """Write everything."""
        if self.rows:
            connection.executemany(_INSERT_ROW, self.rows)
            connection.execute(_INDEX_ROWS, (self.records[0].position,))
        if self.tags:
            connection.executemany("INSERT INTO event_tag VALUES (?, ?)", self.tags)
        if self.named:
            keys = [(*key, records[0].position, len(records)) for key, records in self.named.items()]
            connection.executemany("INSERT INTO event_key VALUES (?, ?, ?, ?)", keys)
        if self.other_write_count:
            connection.executemany(
                "INSERT OR REPLACE INTO stream_version VALUES (?, ?, ?, ?, ?)", self.versions.values()
            )
            self._log_tables.insert(self.log)
            self.other_writes = cast(int, connection.execute(_COUNT_OTHER_WRITES, (self.other_write_count,)).get)
