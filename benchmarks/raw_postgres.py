"""PostgreSQL by hand, as fast as it goes: what a journal's figures there are held against.

The table has the columns of a journal's events and its unique index over (stream, sequence number). The rows are ready,
as columns, so nothing is paid for but the server and asyncpg.
"""

import secrets
import time
from collections.abc import Sequence

import asyncpg

Columns = tuple[list[object], ...]

_TABLE = (
    "(position bigint PRIMARY KEY, stream bigint NOT NULL, sequence_number bigint NOT NULL,"
    " event_count integer NOT NULL, type integer, types bytea, timestamp bigint NOT NULL, attributes bytea NOT NULL,"
    " payload bytea NOT NULL, checksum bigint NOT NULL, UNIQUE (stream, sequence_number))"
)
_TYPES = ("bigint", "bigint", "bigint", "integer", "integer", "bytea", "bigint", "bytea", "bytea", "bigint")
_FETCHED_AT_ONCE = 1_024


def batches(count: int, streams: int, payload: bytes, length: int) -> list[Columns]:
    """Return the columns of rows that go to the streams in turn, in batches."""
    return [
        tuple(
            map(
                list,
                zip(
                    *(
                        (
                            n + 1,
                            n % streams,
                            n // streams + 1,
                            1,
                            1,
                            None,
                            time.time_ns() // 1_000,
                            b"",
                            payload,
                            n * 77_773,
                        )
                        for n in range(start, min(count, start + length))
                    ),
                    strict=True,
                ),
            )
        )
        for start in range(0, count, length)
    ]


async def append(url: str, ready: Sequence[Columns]) -> float:
    """Insert each batch by one statement in a transaction of its own; return rows a second."""
    connection = await asyncpg.connect(url)
    try:
        table = await _new_table(connection)
        places = ", ".join(f"${number}::{name}[]" for number, name in enumerate(_TYPES, 1))
        insert = await connection.prepare(f"INSERT INTO {table} SELECT * FROM unnest({places})")
        began = time.perf_counter()
        for columns in ready:
            await insert.fetch(*columns)
        return sum(len(columns[0]) for columns in ready) / (time.perf_counter() - began)
    finally:
        await connection.close()


async def fetch(url: str, ready: Sequence[Columns]) -> float:
    """Read one stream's rows in pages, and make nothing of them; return rows a second."""
    connection = await asyncpg.connect(url)
    try:
        table = await _new_table(connection)
        places = ", ".join(f"${number}::{name}[]" for number, name in enumerate(_TYPES, 1))
        for columns in ready:
            await connection.execute(f"INSERT INTO {table} SELECT * FROM unnest({places})", *columns)
        select = await connection.prepare(
            f"SELECT * FROM {table} WHERE stream = 0 AND sequence_number > $1 ORDER BY sequence_number"
            f" LIMIT {_FETCHED_AT_ONCE}"
        )
        count, began = 0, time.perf_counter()
        while page := await select.fetch(count):
            count += len(page)
        return count / (time.perf_counter() - began)
    finally:
        await connection.close()


async def _new_table(connection: asyncpg.Connection) -> str:
    table = f"raw_{secrets.token_hex(6)}"
    await connection.execute(f"CREATE TABLE {table} {_TABLE}")
    return table
