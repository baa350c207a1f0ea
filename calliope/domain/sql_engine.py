"""Engines for files of SQLite, set up for one who writes and many who read."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

BUSY_SECONDS = 10
"""How long a transaction waits for the write lock of a file that another process writes."""


def sqlite_engine(path: Path, *, begin: str, attached: Mapping[str, Path] = MappingProxyType({})) -> AsyncEngine:
    """Return an engine on a file, in WAL mode: readers see the last commit and stand in nobody's way.

    A commit is not synced by itself: a power cut may take the last ones, always view and offset together, and the
    journal has the events of which they are made again.

    Args:
        path: the file; it is made when it does not exist.
        begin: how transactions begin. A writer's begin `IMMEDIATE`: one that begins as a reader's and then writes may
            be refused whatever it waits.
        attached: other files, by the names under which they are seen.
    """
    engine = create_async_engine(URL.create("sqlite+aiosqlite", database=str(path)))

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver shall not begin transactions by its own rules
        cursor = connection.cursor()
        for setting in (f"busy_timeout={BUSY_SECONDS * 1000}", "journal_mode=WAL", "synchronous=NORMAL"):
            cursor.execute(f"PRAGMA {setting}")
        for name, other in attached.items():
            cursor.execute(f"ATTACH DATABASE ? AS {name}", (str(other),))
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin_transaction(connection: Any) -> None:
        connection.exec_driver_sql(f"BEGIN {begin}")

    return engine


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Lend a connection in a transaction; commit it when the block is left, undo it when the block fails.

    Cancellation in the block undoes; once the block is left, the commit is finished. Either way the connection is given
    back before this returns.
    """
    with anyio.CancelScope(shield=True):
        connection = await engine.connect()
    try:
        await connection.begin()
        yield connection
        with anyio.CancelScope(shield=True):
            await connection.commit()
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close()
