"""A process that projects into SQLite and dies in the middle.

python -m tests.integration.projecting JOURNAL VIEW CRASH_AT    die in that call of a handler, after its row was written
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from calliope import Journal, RecordedEvent, event
from calliope.domain.projection import Projection
from calliope.domain.sql_transaction import SqlTransaction
from calliope.domain.sql_view import SqlView

TABLE = "CREATE TABLE IF NOT EXISTS number (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)"
CRASHED = 9


@event("projecting-counted")
@dataclass(frozen=True)
class Counted:
    """A number."""

    n: int


async def project(journal_path: Path, view_path: Path, crash_at: int) -> None:
    """Project what is stored; die in a certain call, if there are as many."""
    calls = count(1)
    async with Journal.open(journal_path) as journal, SqlView(view_path, TABLE) as view:
        projection = Projection("numbers", journal, view, batch=7)

        @projection.on(Counted)
        async def counted(record: RecordedEvent[Counted], rows: SqlTransaction) -> None:
            await rows.execute("INSERT INTO number (n) VALUES (:n)", n=record.data.n)
            if next(calls) == crash_at:
                os._exit(CRASHED)

        await projection.catch_up()


if __name__ == "__main__":
    asyncio.run(project(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
