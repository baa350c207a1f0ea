"""`calliope events` and `calliope streams`: what is in a journal, as lines."""

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import click
import msgspec

from calliope.codec import UntypedEvent
from calliope.errors import CalliopeError
from calliope.journal import Journal
from calliope.recorded_event import RecordedEvent
from calliope.stores.protocol import StreamSummary
from replication.commands.journals import checked_arguments, chosen, existing, journal_option
from replication.printable import printable

_form_option = click.option("--format", "form", type=click.Choice(["text", "jsonl"]), default="text", show_default=True)
_encode_json = msgspec.json.Encoder().encode


@click.command("events")
@click.argument("names", metavar="[JOURNAL] STREAM", nargs=-1, required=True)
@journal_option
@click.option("--follow", "-f", is_flag=True, help="Go on with new events as they are persisted, until interrupted.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Begin after this sequence number.")
@_form_option
def show_events(names: tuple[str, ...], journal: str | None, *, follow: bool, after: int, form: str) -> None:
    """Show the events of STREAM: sequence number, time, type and data."""
    if len(names) > 2:
        raise click.UsageError(f"One stream at a time, please, not {len(names) - 1}.")
    opened = existing(chosen(names[0] if len(names) == 2 else None, journal))
    line_of = _event_as_text if form == "text" else _event_as_json
    anyio.run(partial(_show_events, opened, names[-1], line_of, follow=follow, after=after))


@click.command("streams")
@click.argument("named", metavar="[JOURNAL]", required=False)
@journal_option
@click.option("--prefix", default="", metavar="PREFIX", help="Only streams whose ids begin so.")
@_form_option
def show_streams(named: str | None, journal: str | None, prefix: str, form: str) -> None:
    """Show the streams of JOURNAL in the order of their ids: how many events, and the id."""
    opened = existing(chosen(named, journal))
    anyio.run(_show_streams, opened, prefix, _stream_as_text if form == "text" else _stream_as_json)


async def _show_events(
    opened: Journal, stream_id: str, line_of: Callable[[RecordedEvent[UntypedEvent]], str], *, follow: bool, after: int
) -> None:
    async with opened as journal:
        with checked_arguments():
            events = journal.event_stream(stream_id, UntypedEvent)
            records = events.live_records(after) if follow else events.records(after)
        if not follow and await events.version() == 0:
            raise CalliopeError(f"there is no stream {stream_id!r} in the journal")
        await records.run_for_each(lambda record: click.echo(line_of(record)))


async def _show_streams(opened: Journal, prefix: str, line_of: Callable[[StreamSummary], str]) -> None:
    async with opened as journal:
        with checked_arguments():
            streams = journal.streams(prefix)
        await streams.run_for_each(lambda summary: click.echo(line_of(summary)))


def _event_as_text(record: RecordedEvent[UntypedEvent]) -> str:
    own_time = record.metadata.get("time")
    time = own_time if isinstance(own_time, str) else record.timestamp.isoformat(timespec="milliseconds")
    return f"{record.sequence_number:>6}  {printable(time)}  {printable(record.type)}  {_json(record.data.data)}"


def _event_as_json(record: RecordedEvent[UntypedEvent]) -> str:
    shown = ("stream_id", "sequence_number", "position", "id", "type", "schema_version", "timestamp")
    return _json(
        {
            **{name: getattr(record, name) for name in shown},
            "tags": sorted(record.tags),
            "metadata": dict(record.metadata),
            "data": record.data.data,
        }
    )


def _stream_as_text(summary: StreamSummary) -> str:
    return f"{summary.sequence_number:>9,}  {printable(summary.stream_id)}"


def _stream_as_json(summary: StreamSummary) -> str:
    return _json({"stream_id": summary.stream_id, "kind": summary.kind, "events": summary.sequence_number})


def _json(value: Any) -> str:
    return _encode_json(value).decode()
