"""Putting rebuilt tables of one SQLite file in the place of those in another, in one transaction.

SQLite changes tables in transactions as it changes rows. So the old file stays where it is, with all connections that
anybody has to it: a reader in the middle of a query finishes on the old view. What it costs: the rebuilt rows are
written a second time, and the write-ahead log grows by as much until the next checkpoint.

A transaction that writes two files is not atomic in WAL mode. Here one file is written, the other is only read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from calliope.domain.sql_engine import sqlite_engine, transaction
from calliope.domain.sql_offsets import OFFSETS, keep_offset, offset_of

_OBJECTS = (
    "SELECT type, name, sql FROM rebuilt.sqlite_schema"
    " WHERE sql IS NOT NULL AND name <> :offsets AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
)
_OFFSET = f"SELECT position FROM rebuilt.{OFFSETS.name} WHERE name = :name"


async def switch_tables(serving: Path, rebuilt: Path, name: str) -> bool:
    """Replace tables by those of another file, with the offset of a projection.

    Args:
        serving: the file that serves.
        rebuilt: the other file; nobody writes it.
        name: the projection.

    Returns:
        False: the serving tables have seen more than the others; nothing was changed.

    Cancellation leaves the new tables: it waits until the copy is done.
    """
    with anyio.CancelScope(shield=True):
        engine = sqlite_engine(serving, begin="IMMEDIATE", attached={"rebuilt": rebuilt})
        try:
            async with transaction(engine) as connection:
                offset = (await connection.execute(text(_OFFSET), {"name": name})).scalar_one_or_none() or 0
                if offset < await offset_of(connection, name):
                    return False
                await _copy(connection)
                await keep_offset(connection, name, offset)
        finally:
            await engine.dispose()
    return True


async def _copy(connection: AsyncConnection) -> None:
    await connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    objects = (await connection.execute(text(_OBJECTS), {"offsets": OFFSETS.name})).fetchall()
    tables = [found for found in objects if found.type == "table"]
    for found in objects:
        if found.type in ("table", "view"):
            await connection.exec_driver_sql(f"DROP {found.type} IF EXISTS main.{_quoted(found.name)}")
    for found in tables:
        await connection.exec_driver_sql(found.sql)
        await _copy_rows(connection, found.name)
    for found in _after_tables(objects):
        await connection.exec_driver_sql(found.sql)


async def _copy_rows(connection: AsyncConnection, table: str) -> None:
    described = await connection.exec_driver_sql(f"PRAGMA rebuilt.table_info({_quoted(table)})")
    columns = ", ".join([_quoted(column.name) for column in described])  # generated ones are not among them
    name = _quoted(table)
    await connection.exec_driver_sql(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM rebuilt.{name}")


def _after_tables(objects: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return indexes, views and triggers, which must not fire while rows are copied, in this order."""
    kinds = ("index", "view", "trigger")
    return sorted([found for found in objects if found.type in kinds], key=lambda found: kinds.index(found.type))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def remove_file(path: Path) -> None:
    """Remove a file of SQLite with what lies beside it; what is not there need not be removed."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
