"""`SqlView`: tables that a projection keeps, in SQLite or another database, each event counted exactly once.

The rows and the offset of a projection change in one transaction: a crash leaves both or neither. It is built on
SQLAlchemy's asyncio side (extra `sql`), so it needs asyncio; on trio it raises what SQLAlchemy raises there.

A view that is built anew lies in a file of its own meanwhile, under the same table names, so handlers need not know.
When it has caught up, its tables are copied over the old ones in one transaction of the old file: readers, of this
process and of others, see the old view until it commits and the new one from then on. See `sql_switch`.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from hashlib import blake2s
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from sqlalchemy import Executable, Row, Table, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateIndex, CreateTable

from calliope.domain.projection_errors import OffsetMovedError
from calliope.domain.projection_target import Target, Transaction
from calliope.domain.sql_engine import sqlite_engine, transaction
from calliope.domain.sql_offsets import OFFSETS, keep_offset, offset_of
from calliope.domain.sql_switch import remove_file, switch_tables
from calliope.domain.sql_transaction import SqlTransaction

Definition = Table | str
"""A table of SQLAlchemy, or SQL that makes one, or an index, if it is not there."""


class SqlView:
    """Tables and the offsets of the projections that fill them. Enter it with `async with`; that makes the tables.

    The tables of a view belong to one projection: a rebuild replaces them all. Several views may lie in one database.

    Args:
        database: the path of a SQLite file, or an `AsyncEngine` of another database, which stays yours to dispose of.
        definitions: the tables: each a `Table`, or SQL such as `CREATE TABLE IF NOT EXISTS …`.

    Raises:
        TypeError, ValueError: an argument is not legal.

    Attributes:
        path: the file; None: it is another database.
    """

    def __init__(self, database: str | PathLike[str] | AsyncEngine, *definitions: Definition) -> None:
        for definition in definitions:
            if not isinstance(definition, (Table, str)):
                raise TypeError(f"a definition must be a Table or SQL, not {definition!r}")
        self.path = None if isinstance(database, AsyncEngine) else _path_of(database)
        self._engine = database if isinstance(database, AsyncEngine) else None
        self._definitions = definitions
        self._writing: AsyncEngine | None = None
        self._reading: AsyncEngine | None = None

    async def __aenter__(self) -> Self:
        if self.path is None:
            self._writing = self._reading = self._engine
        else:
            self._writing = sqlite_engine(self.path, begin="IMMEDIATE")
            self._reading = sqlite_engine(self.path, begin="DEFERRED")
        try:
            async with transaction(_opened(self._writing)) as connection:
                await _define(connection, self._definitions)
        except BaseException:
            await self._dispose()
            raise
        return self

    async def __aexit__(
        self, error_class: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._dispose()

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Lend a connection that sees one moment of the view, for queries."""
        return transaction(_opened(self._reading))

    async def fetch(self, query: str | Executable, /, **values: Any) -> Sequence[Row[Any]]:
        """Return the rows of a query: SQL with `:names`, or a statement of SQLAlchemy."""
        async with self.reading() as connection:
            executable = text(query) if isinstance(query, str) else query
            return (await connection.execute(executable, values)).fetchall()

    # What a projection asks of its target.

    async def offset(self, name: str) -> int:
        """Return the position up to which a projection has filled the tables."""
        async with self.reading() as connection:
            return await offset_of(connection, name)

    @asynccontextmanager
    async def transaction(self, name: str, offset: int) -> AsyncIterator[Transaction[SqlTransaction]]:
        """Lend a transaction of the database; the offset is committed with what handlers did, or neither is."""
        async with transaction(_opened(self._writing)) as connection:
            actual = await offset_of(connection, name, locked=True)
            if actual != offset:
                raise OffsetMovedError(name, offset, actual)
            batch = Transaction(SqlTransaction(connection), offset)
            yield batch
            await batch.view.flush()
            await keep_offset(connection, name, batch.reached)

    @asynccontextmanager
    async def rebuilding(self, name: str) -> "AsyncIterator[SqlView]":
        """Lend an empty view with the same tables, in a file beside; what a killed rebuild left there is removed.

        Raises:
            TypeError: the database is not a file of SQLite.
        """
        if self.path is None:
            raise TypeError("a view is built anew in a file of SQLite; elsewhere let a second projection fill another")
        path = self.path.with_name(f"{self.path.name}-rebuild-{blake2s(name.encode(), digest_size=4).hexdigest()}")
        remove_file(path)
        async with AsyncExitStack() as stack:
            stack.callback(remove_file, path)
            yield await stack.enter_async_context(SqlView(path, *self._definitions))

    async def switch(self, name: str, rebuilt: Target[SqlTransaction]) -> bool:
        """Replace the tables and the offset by those of a rebuilt view, in one transaction."""
        if not isinstance(rebuilt, SqlView) or rebuilt.path is None or self.path is None:
            raise TypeError(f"{rebuilt!r} is no rebuilt view")
        return await switch_tables(self.path, rebuilt.path, name)

    async def _dispose(self) -> None:
        engines, self._writing, self._reading = (self._writing, self._reading), None, None
        with anyio.CancelScope(shield=True):
            for engine in engines:
                if engine is not None and engine is not self._engine:
                    await engine.dispose()


def _opened(engine: AsyncEngine | None) -> AsyncEngine:
    if engine is None:
        raise RuntimeError("the view is not open: use `async with SqlView(…) as view`")
    return engine


def _path_of(database: str | PathLike[str]) -> Path:
    path = str(database).removeprefix("sqlite:///")
    if path in ("", ":memory:") or "://" in path:
        raise ValueError(f"{database!r} is no path of a file of SQLite; for another database give an AsyncEngine")
    return Path(path).absolute()


async def _define(connection: AsyncConnection, definitions: Sequence[Definition]) -> None:
    for definition in (OFFSETS, *definitions):
        if isinstance(definition, str):
            await connection.execute(text(definition))
            continue
        await connection.execute(CreateTable(definition, if_not_exists=True))
        for index in definition.indexes:
            await connection.execute(CreateIndex(index, if_not_exists=True))
