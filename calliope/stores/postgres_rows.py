"""Many rows for one table of PostgreSQL by one statement: an array for each column."""

from collections.abc import Sequence

import psycopg

Connection = psycopg.Connection[tuple[object, ...]]


def insert_statement(table: str, *types: str, given: str = "") -> bytes:
    """Return the statement that inserts rows into a table.

    Args:
        table: the table, perhaps with names of columns.
        types: of the columns.
        given: a table of one row or none, and then nothing is inserted.
    """
    places = ", ".join(f"%b::{each}[]" for each in types)
    return f"INSERT INTO {table} SELECT new.* FROM {f'{given}, ' if given else ''}unnest({places}) AS new".encode()


def inserted(connection: Connection, statement: bytes, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows, if there are any."""
    if rows:
        connection.execute(statement, tuple(map(list, zip(*rows, strict=True))))
