"""The table that keeps offsets beside the views of a database, so that one transaction moves both."""

from sqlalchemy import BigInteger, Column, MetaData, String, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

METADATA = MetaData()

OFFSETS = Table(
    "calliope_projection",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("position", BigInteger, nullable=False),
)
"""A row for each projection: up to which position of the journal its tables have seen."""


async def offset_of(connection: AsyncConnection, name: str, *, locked: bool = False) -> int:
    """Return a projection's offset; its row can be locked until the transaction ends, where a database locks rows."""
    query = select(OFFSETS.c.position).where(OFFSETS.c.name == name)
    found = await connection.execute(query.with_for_update() if locked else query)
    return found.scalar_one_or_none() or 0


async def keep_offset(connection: AsyncConnection, name: str, position: int) -> None:
    """Set a projection's offset."""
    changed = await connection.execute(update(OFFSETS).where(OFFSETS.c.name == name).values(position=position))
    if changed.rowcount == 0:
        await connection.execute(insert(OFFSETS).values(name=name, position=position))
