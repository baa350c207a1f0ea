"""`SqlTransaction`: what a projection's handler is given to change a SQL view with."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import CursorResult, Executable, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import TextClause


class SqlTransaction:
    """The transaction of one batch. Everything in it is committed with the offset, or nothing is.

    `write` is for statements whose result nobody needs: those that follow one another with the same statement are sent
    together, which is many times as fast. `execute` sends them first and then its own, so it sees what they did.

    Args:
        connection: in a transaction.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._queue: list[tuple[Executable, list[Mapping[str, Any]]]] = []

    def write(self, statement: str | Executable, /, **values: Any) -> None:
        """Send a statement before the batch is committed, with all that were written before it.

        Args:
            statement: SQL with `:names`, or a statement of SQLAlchemy. Keep the latter in a constant: writes are sent
                together if their statement is the same object, or the same text.
            values: what the names stand for.
        """
        executable = _text(statement) if isinstance(statement, str) else statement
        if self._queue and self._queue[-1][0] is executable:
            self._queue[-1][1].append(values)
        else:
            self._queue.append((executable, [values]))

    async def execute(self, statement: str | Executable, /, **values: Any) -> CursorResult[Any]:
        """Send a statement now, after all that were written, and return its result."""
        await self.flush()
        executable = _text(statement) if isinstance(statement, str) else statement
        return await self._connection.execute(executable, values)

    async def connection(self) -> AsyncConnection:
        """Return SQLAlchemy's connection, for all else it can do; it is in the transaction, which is not its to end."""
        await self.flush()
        return self._connection

    async def flush(self) -> None:
        """Send what was written."""
        queue, self._queue = self._queue, []
        for statement, rows in queue:
            await self._connection.execute(statement, rows[0] if len(rows) == 1 else rows)


@lru_cache(maxsize=256)
def _text(statement: str) -> TextClause:
    return text(statement)
