"""Reading event logs: CSV (RFC 4180) and JSON lines (https://jsonlines.org), in UTF-8, row by row.

Line numbers are those of the file, also behind a CSV cell that contains newlines; memory is bounded by one row.
"""

import csv
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, BinaryIO, Protocol

import msgspec

from calliope.event_log.columns import Columns, EventLogError, LogRow, row_from

LINE_BYTES_MAX = 4 * 1024 * 1024
"""The longest line; a record of a journal is below one MiB, and JSON may escape every character of it."""

NAMES_SHOWN_MAX = 30
"""How many column names an error lists."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LogReader(Protocol):
    """Reads the rows of an event log from a binary file."""

    def __call__(self, file: BinaryIO, columns: Columns, /) -> Iterator[LogRow]:
        """Yield the rows in order.

        Raises:
            EventLogError: a row cannot be imported; those before it were yielded.
        """
        ...


def read_csv(file: BinaryIO, columns: Columns, *, delimiter: str = ",") -> Iterator[LogRow]:
    """Yield the rows of a CSV file, whose first line names the columns.

    Every cell is text. An empty cell says nothing: its field is left out. Empty lines are passed over.

    Raises:
        EventLogError: as `LogReader`.
    """
    cells = _numbered_cells(file, delimiter)
    line, header = next(cells, (1, []))
    _check_header(line, header, columns)
    for line, values in cells:
        if len(values) != len(header):
            raise EventLogError(line, f"has {len(values)} cells, the first line has {len(header)}")
        yield row_from(line, {name: value for name, value in zip(header, values, strict=True) if value}, columns)


def read_json_lines(file: BinaryIO, columns: Columns) -> Iterator[LogRow]:
    """Yield the rows of a file with one JSON object a line. Empty lines are passed over.

    Raises:
        EventLogError: as `LogReader`.
    """
    decode: Callable[[str], Any] = msgspec.json.Decoder().decode
    for line, text in enumerate(_lines(file), 1):
        if text.isspace():
            continue
        try:
            fields = decode(text)
        except (ValueError, RecursionError) as error:
            raise EventLogError(line, f"is no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise EventLogError(line, f"is no JSON object: {text[:40].strip()!r}")
        yield row_from(line, fields, columns)


def _numbered_cells(file: BinaryIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(_without_nul(_lines(file)), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise EventLogError(line, f"is no CSV: {error}") from error
        if values:
            yield line, values


def _check_header(line: int, header: list[str], columns: Columns) -> None:
    for name in columns.required:
        if name not in header:
            known = ", ".join(map(repr, header[:NAMES_SHOWN_MAX])) or "none at all"
            raise EventLogError(line, f"names no column {name!r}; there are {known}")
    doubled = {name for name in header if header.count(name) > 1}
    if doubled:
        raise EventLogError(line, f"names the column {min(doubled)!r} twice")


def _without_nul(lines: Iterator[str]) -> Iterator[str]:
    """Refuse NUL: text files have none, so the file is damaged or is something else."""
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise EventLogError(number, "contains NUL")
        yield line


def _lines(file: BinaryIO) -> Iterator[str]:
    for number in count(1):
        data = file.readline(LINE_BYTES_MAX)
        if not data:
            return
        if len(data) == LINE_BYTES_MAX and not data.endswith(b"\n"):
            raise EventLogError(number, f"is longer than {LINE_BYTES_MAX} bytes")
        if number == 1:
            data = data.removeprefix(_BYTE_ORDER_MARK)
        try:
            yield data.decode()
        except UnicodeDecodeError as error:
            raise EventLogError(number, f"is not in UTF-8: {error.reason} at its byte {error.start + 1}") from error
