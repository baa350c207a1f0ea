"""Event logs that the examples read: a file that the command line names, or a generated one."""

import argparse
import csv
import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import msgspec

from calliope.event_log import Columns, LogReader, LogRow, columns_of, form_of, reader_of

STREAM_NAMES = ("stream", "stream_id", "case:concept:name", "case", "case_id", "caseid", "order", "order_id", "entity")
TYPE_NAMES = ("type", "event_type", "concept:name", "activity", "event", "event_name", "action")
TIME_NAMES = ("time", "time:timestamp", "timestamp", "at", "datetime")
"""What logs call these columns; the names of process mining (XES, IEEE 1849) are among them."""

HEAD_BYTES_MAX = 64 * 1024
"""How much of a file is looked at to learn what its columns are called."""


@dataclass(frozen=True)
class Log:
    """An event log: where it is and how it is read."""

    name: str
    file: BinaryIO
    read: LogReader
    columns: Columns

    def rows(self) -> Iterator[LogRow]:
        """Yield its rows from the first; an error about a row names its line."""
        self.file.seek(0)
        return self.read(self.file, self.columns)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", metavar="FILE", help="an event log, CSV or JSON lines; generated if not given")
    for column in ("stream", "type", "time"):
        parser.add_argument(f"--{column}-column", metavar="C", help=f"the column of the {column}; guessed by its name")


@contextmanager
def chosen_log(arguments: argparse.Namespace, *, orders: int) -> Iterator[Log]:
    """The log that the command line names, or a generated one.

    Raises:
        ValueError: it cannot be opened, is in no known form, or its columns cannot be guessed.
    """
    named = arguments.stream_column, arguments.type_column, arguments.time_column
    if arguments.input is None:
        if any(named):
            raise ValueError(f"columns are named ({', '.join(filter(None, named))}), but no --input that has them")
        yield generated_log(orders)
        return
    form = form_of(arguments.input)
    with _opened(arguments.input) as file:
        columns = columns_of(form, *named) if any(named) else guessed_columns(form, column_names(form, file))
        yield Log(arguments.input, file, reader_of(form), columns)


def _opened(name: str) -> BinaryIO:
    try:
        return open(name, "rb")
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None


def column_names(form: str, file: BinaryIO) -> list[str]:
    """Return what the first row of a log calls its columns; nothing if it says nothing."""
    head = file.readline(HEAD_BYTES_MAX).decode("utf-8-sig", errors="replace")
    if form != "jsonl":
        return next(csv.reader([head], delimiter="\t" if form == "tsv" else ","), [])
    try:
        fields = msgspec.json.decode(head)
    except ValueError:
        return []
    return list(fields) if isinstance(fields, dict) else []


def guessed_columns(form: str, names: list[str]) -> Columns:
    """Return the columns whose names say what they are; all of an exported log, if it is one.

    Raises:
        ValueError: no name says which is the stream, or which is the type.
    """
    stream, event_type, time = (_first_of(known, names) for known in (STREAM_NAMES, TYPE_NAMES, TIME_NAMES))
    if stream is None or event_type is None:
        raise ValueError(
            f"which columns are the stream and the type? Say --stream-column and --type-column; there are"
            f" {', '.join(map(repr, names[:30])) or 'none'}"
        )
    if (stream, event_type, time) == ("stream", "type", "time"):
        return columns_of(form, None, None, None)
    return Columns(stream, event_type, time)


def _first_of(known: tuple[str, ...], names: list[str]) -> str | None:
    spelled = {name.strip().lower().replace(" ", "_"): name for name in reversed(names)}
    return next((spelled[name] for name in known if name in spelled), None)


def generated_log(orders: int) -> Log:
    """Return a log of a shop's orders; the same each time."""
    chance = random.Random(17)
    rows = [row for number in range(1, orders + 1) for row in _order_rows(number, chance)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["order", "activity", "at", "sku", "amount", "note"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["at"]))
    file = io.BytesIO(text.getvalue().encode())
    return Log(f"a generated log of {orders} orders", file, reader_of("csv"), Columns("order", "activity", "at"))


def _order_rows(number: int, chance: random.Random) -> list[dict[str, Any]]:
    at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(100_000))
    steps: list[tuple[str, dict[str, Any]]] = [
        ("order-placed", {"note": 'please,\n"ring" twice'} if number % 50 == 0 else {})
    ]
    items = [
        {"sku": f"sku-{chance.randint(1, 40)}", "amount": chance.randint(1, 3)} for _ in range(chance.randint(1, 5))
    ]
    steps += [("item-added", item) for item in items]
    steps.append((chance.choice(["order-paid", "order-paid", "order-cancelled"]), {}))
    times = [(at + timedelta(seconds=90 * step)).isoformat() for step in range(len(steps))]
    return [
        {"order": f"order-{number}", "activity": activity, "at": time, **fields}
        for time, (activity, fields) in zip(times, steps, strict=True)
    ]
