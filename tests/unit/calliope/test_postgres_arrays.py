"""What PostgreSQL reads of the columns that are made for it is what was given."""

import psycopg
import pytest

from calliope.stores.postgres_arrays import Column, bigints, byte_strings, integers

TEXTS = [b"", b"\0", b"a" * 70_000, b"\xff\xfe"]


@pytest.mark.parametrize(
    ("column", "name", "expected"),
    [
        (bigints([0, 1, -1, 2**63 - 1, -(2**63)]), "bigint", [0, 1, -1, 2**63 - 1, -(2**63)]),
        (bigints([]), "bigint", []),
        (integers([7, None, -(2**31), 2**31 - 1]), "integer", [7, None, -(2**31), 2**31 - 1]),
        (integers([None]), "integer", [None]),
        (byte_strings([*TEXTS, None]), "bytea", [*TEXTS, None]),
        (byte_strings([None, None]), "bytea", [None, None]),
    ],
)
def test_a_column_is_read_as_it_was_given(postgres_url: str, column: Column, name: str, expected: list[object]) -> None:
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(f"SELECT * FROM unnest(%b::{name}[])".encode(), (column,)).fetchall()
    assert [value for (value,) in rows] == expected
