"""`calliope export`: a journal's events as JSON lines or CSV."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

import anyio
import click

from calliope.codec import UntypedEvent
from calliope.event_log import Columns, export_csv, export_json_lines
from calliope.flow.source import Source
from calliope.journal import Journal
from calliope.recorded_event import RecordedEvent
from replication.commands.journals import checked_arguments, chosen, existing, journal_option

Records = Source[RecordedEvent[UntypedEvent]]


@click.command("export")
@click.argument("named", metavar="[JOURNAL]", required=False)
@journal_option
@click.option("--stream", metavar="STREAM", help="Only the events of this stream.")
@click.option("--prefix", default="", metavar="PREFIX", help="Only of streams whose ids begin so.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only of this type, or of one of several.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only with this tag, or with all of several.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option(
    "--output", "-o", metavar="FILE", help="Where to; it appears when it is complete. [default: standard output]"
)
@click.option("--stream-column", default="stream", show_default=True, metavar="C", help="The column of the stream id.")
@click.option("--type-column", default="type", show_default=True, metavar="C", help="The column of the event type.")
@click.option("--time-column", default="time", show_default=True, metavar="C", help="The column of the time.")
def export_log(
    named: str | None,
    journal: str | None,
    stream: str | None,
    prefix: str,
    types: tuple[str, ...],
    tags: tuple[str, ...],
    form: str,
    output: str | None,
    stream_column: str,
    type_column: str,
    time_column: str,
) -> None:
    """Export the events of JOURNAL, in its order, as an event log that `calliope import` reads.

    JSON lines have the columns stream, type and time, the event's fields, and tags, metadata and schema_version where
    there are any: import reads them back if no column is named. CSV has the stream, the type, the time and the fields;
    what is no text is written as JSON. The time is the one that the event was imported with, or else when it was
    persisted.
    """
    with checked_arguments():
        columns = Columns(stream_column, type_column, time_column)
        if form == "jsonl":
            columns = Columns(stream_column, type_column, time_column, "tags", "metadata", "schema_version")
    opened = existing(chosen(named, journal))
    with _output(output) as file:
        anyio.run(
            _export, opened, partial(_selected, stream=stream, prefix=prefix, types=types, tags=tags), file, columns
        )


async def _export(opened: Journal, selected: Callable[[Journal], Records], file: TextIO, columns: Columns) -> None:
    async with opened as journal:
        with checked_arguments():
            records = selected(journal)
        export = export_csv if columns.tags is None else export_json_lines
        await export(records, file, columns)


def _selected(
    journal: Journal, *, stream: str | None, prefix: str, types: Sequence[str], tags: Sequence[str]
) -> Records:
    """Return the records of a journal that fulfil every condition."""
    if stream is None:
        return journal.records(prefix=prefix, types=types, tags=tags, event_type=UntypedEvent)
    records = journal.event_stream(stream, UntypedEvent).records()
    if not stream.startswith(prefix):
        return Source.empty()
    if types:
        records = records.filter(lambda record: record.type in types)
    return records.filter(lambda record: record.tags.issuperset(tags)) if tags else records


@contextmanager
def _output(name: str | None) -> Iterator[TextIO]:
    """Give a text file in UTF-8 that keeps line ends as they are; one with a name appears when it is complete."""
    if name is None:
        file = TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
        yield file
        file.detach()
        return
    part = Path(f"{name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(part, name)
    finally:
        part.unlink(missing_ok=True)
