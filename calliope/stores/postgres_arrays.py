"""Columns of rows in the binary form of PostgreSQL's arrays, made at once: psycopg looks at each element several times.

The form is what `array_recv` reads (https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c),
in network byte order: the number of dimensions, whether there are nulls, the oid of the elements' type, the number of
elements and the index of the first; then of each element the number of its bytes, -1 for null, and the bytes.
"""

from collections.abc import Sequence
from struct import Struct, pack
from typing import TypeVar

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

Value = TypeVar("Value")

_HEAD = Struct(">iiIii")
_BIGINT, _INTEGER, _BYTEA = 20, 23, 17
_NULL = b"\xff\xff\xff\xff"
_EIGHT = pack(">iq", 8, 0)
"""An element of eight bytes, with room for them."""


class Column:
    """A parameter of a statement that says which array it is: `%b::bigint[]`."""

    __slots__ = ("data",)

    def __init__(self, element: int, length: int, elements: bytes, *, has_nulls: bool = False) -> None:
        self.data = _HEAD.pack(1, has_nulls, element, length, 1) + elements


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        return obj.data


psycopg.adapters.register_dumper(Column, _ColumnDumper)


def bigints(values: Sequence[int]) -> Column:
    """Return a `bigint[]`."""
    count = len(values)
    packed, elements = pack(f">{count}q", *values), bytearray(_EIGHT * count)
    for byte in range(8):
        elements[4 + byte :: 12] = packed[byte::8]
    return Column(_BIGINT, count, bytes(elements))


def integers(values: Sequence[int | None]) -> Column:
    """Return an `integer[]`."""
    several, times = _repeated(values)
    elements = times * b"".join([_NULL if value is None else pack(">ii", 4, value) for value in several])
    return Column(_INTEGER, len(values), elements, has_nulls=None in several)


def byte_strings(values: Sequence[bytes | None]) -> Column:
    """Return a `bytea[]`."""
    several, times = _repeated(values)
    elements = times * b"".join([_NULL if value is None else len(value).to_bytes(4) + value for value in several])
    return Column(_BYTEA, len(values), elements, has_nulls=None in several)


def _repeated(values: Sequence[Value]) -> tuple[Sequence[Value], int]:
    """Return values that make the same column when they are repeated so many times: some columns are all alike."""
    if values and values.count(values[0]) == len(values):
        return values[:1], len(values)
    return values, 1
