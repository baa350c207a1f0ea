"""`calliope import`: an event log, CSV or JSON lines, into a journal."""

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import BinaryIO, cast

import anyio
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from calliope.errors import CalliopeError, ExpectedVersionError
from calliope.event_log import (
    FORMS,
    Columns,
    EventLogError,
    ImportSummary,
    LogReader,
    columns_of,
    form_of,
    import_rows,
    reader_of,
)
from calliope.event_log.reading import LINE_BYTES_MAX
from calliope.journal import Journal
from replication.commands.journals import VARIABLE, checked_arguments


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--into",
    "journal",
    required=True,
    envvar=VARIABLE,
    metavar="JOURNAL",
    help=f"The journal's file; it is made if it is not there. [or set {VARIABLE}]",
)
@click.option("--stream-column", metavar="C", help="The column of the stream id.")
@click.option("--type-column", metavar="C", help="The column of the event type.")
@click.option(
    "--time-column", metavar="C", help="The column of the time, in ISO 8601; it is kept as the metadata 'time'."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    help="What the file is, if its suffix does not say it.",
)
@click.option("--delimiter", metavar="CHARACTER", help="What separates the cells of a CSV file.  [default: ,]")
def import_log(
    file: str,
    journal: str,
    stream_column: str | None,
    type_column: str | None,
    time_column: str | None,
    form: str | None,
    delimiter: str | None,
) -> None:
    """Import an event log: FILE is CSV or JSON lines, in UTF-8, one row an event; - reads standard input.

    The columns that are not named make up the event's data: text in CSV, where an empty cell is left out, and anything
    in JSON. If no column is named, FILE must be what `calliope export` writes.

    A row is known by what it says, stream, type, time and data together: rows that the journal holds are passed over,
    and rows that say the same are counted. So an import that was cut off is simply run again; a file may be renamed,
    sorted anew or grow, and only what is new in it is added. A row that was edited is a new event: a journal never
    forgets.

    A row that cannot be imported ends the import with its line number; the rows before it stay.
    """
    with checked_arguments():
        form = form or form_of(file)
        columns = columns_of(form, stream_column, type_column, time_column)
        read = reader_of(form, delimiter)
    csv.field_size_limit(LINE_BYTES_MAX)
    with click.open_file(file, "rb") as source:
        summary = anyio.run(_import, journal, cast(BinaryIO, source), read, columns)
    click.echo(_described(summary, journal))


async def _import(url: str, file: BinaryIO, read: LogReader, columns: Columns) -> ImportSummary:
    summary = ImportSummary()

    def note(now: ImportSummary) -> None:
        nonlocal summary
        summary = now
        show(now)

    with checked_arguments():
        journal = Journal.open(url)
    rows = read(file, columns)
    try:
        first = list(islice(rows, 1))  # a file that is no event log makes no journal
    except EventLogError as error:
        raise CalliopeError(f"{file.name}: {error}; {_kept(summary)}") from error
    async with journal:
        with _progress(file) as show:
            try:
                return await import_rows(journal, chain(first, rows), on_progress=note)
            except EventLogError as error:
                raise CalliopeError(f"{file.name}: {error}; {_kept(summary)}") from error
            except ExpectedVersionError as error:
                reason = f"somebody else writes to stream {error.stream_id!r} meanwhile"
                raise CalliopeError(f"{file.name}: {reason}; import it again to go on") from error


def _kept(summary: ImportSummary) -> str:
    if not summary.rows:
        return "nothing was imported"
    return f"the {summary.rows:,} rows before it are in the journal, import again when it is mended"


def _described(summary: ImportSummary, journal: str) -> str:
    if not summary.added:
        return f"{journal}: nothing is new, it holds all {summary.known:,} rows already"
    added = f"{summary.added:,} events in {summary.streams:,} streams"
    return f"{journal}: {added}" + (f", and it held {summary.known:,} rows already" if summary.known else "")


@contextmanager
def _progress(file: BinaryIO) -> Iterator[Callable[[ImportSummary], None]]:
    """Show on a terminal how far an import is; give a function that is told."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda summary: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("importing", total=os.fstat(file.fileno()).st_size or None)

        def show(summary: ImportSummary) -> None:
            position = file.tell() if file.seekable() else None
            progress.update(task, completed=position, description=f"{summary.rows:,} rows")

        yield show
