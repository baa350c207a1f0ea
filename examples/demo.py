"""`make demo`: an event log is imported into a journal, folded, and followed live while new events are persisted.

    python -m examples.demo
    python -m examples.demo --input log.csv --stream-column order --type-column activity --time-column at

It ends by itself after a few seconds, leaves nothing behind, and exits with 0 only if what it checks holds.
"""

import argparse
import csv
import io
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, BinaryIO, NamedTuple

import anyio
from rich.console import Console
from rich.table import Table

from calliope import CalliopeError, Journal, RecordedEvent, Sink, UntypedEvent, event
from calliope.event_log import Columns, LogReader, columns_of, form_of, import_rows, reader_of
from calliope.verification import verify_journal

ORDERS = 300
REVIEWS = 40
REVIEW_PAUSE_SECONDS = 0.03

console = Console(highlight=False, markup=False, emoji=False)


class Log(NamedTuple):
    """An event log to import: where it is and how it is read."""

    name: str
    file: BinaryIO
    read: LogReader
    columns: Columns


@dataclass
class Summary:
    """What the fold over all events knows: how many of each type, and the state of each stream."""

    types: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=Counter)
    latest: dict[str, str] = field(default_factory=dict)

    def evolve(self, record: RecordedEvent[UntypedEvent]) -> "Summary":
        self.types[record.type] += 1
        self.lengths[record.stream_id] += 1
        self.latest[record.stream_id] = record.type
        return self


@event("stream-reviewed")
@dataclass
class StreamReviewed:
    stream: str
    events: int
    latest: str


class CheckFailedError(Exception):
    """Something that must hold does not."""


def check(claim: str, *, holds: bool) -> None:
    if not holds:
        raise CheckFailedError(f"this does not hold: {claim}")
    console.print(f"  checked: {claim}", style="green")


async def demonstrate(log: Log, path: Path) -> None:
    async with Journal.open(path) as journal:
        rows = await import_log(journal, log)
        summary = await fold(journal, rows)
        await follow(journal, summary)
    verification = verify_journal(path)
    console.print(f"\nThe journal has {verification.event_count:,} events in {verification.page_count:,} pages.")
    check("every page and every record of the journal is whole", holds=verification.is_whole)


async def import_log(journal: Journal, log: Log) -> int:
    console.print(f"Importing {log.name}", style="bold")
    start = perf_counter()
    first = await import_rows(journal, log.read(log.file, log.columns))
    seconds = perf_counter() - start
    console.print(
        f"  {first.added:,} events in {first.streams:,} streams, {first.added / seconds:,.0f} events a second"
    )
    log.file.seek(0)
    second = await import_rows(journal, log.read(log.file, log.columns))
    check("importing it again adds nothing", holds=second.added == 0 and second.known == first.rows)
    return first.rows


async def fold(journal: Journal, rows: int) -> Summary:
    console.print("\nFolding all events: how many of each type, and the state of each stream", style="bold")
    start = perf_counter()
    summary = await journal.records(event_type=UntypedEvent).run_fold(Summary(), Summary.evolve)
    console.print(f"  {rows / (perf_counter() - start):,.0f} events a second")
    show("event type", "events", summary.types.most_common(8))
    check("every row of the log is an event", holds=summary.types.total() == rows)
    return summary


async def follow(journal: Journal, summary: Summary) -> None:
    console.print("\nFollowing a stream live while it is written to", style="bold")
    reviews = journal.event_stream("demo-reviews", StreamReviewed)
    written: list[StreamReviewed] = []
    sent_at: list[float] = []
    delays: list[float] = []

    def note_delay(review: StreamReviewed) -> None:
        delays.append(perf_counter() - sent_at[len(delays)])

    busiest = summary.lengths.most_common(REVIEWS)
    live = reviews.live_query().take(len(busiest)).on_each(note_delay)
    async with live.running(Sink.collect()) as run:
        for stream, length in busiest:
            review = StreamReviewed(stream, length, summary.latest[stream])
            sent_at.append(perf_counter())
            await reviews.persist(review, expected_version=len(written))
            written.append(review)
            await anyio.sleep(REVIEW_PAUSE_SECONDS)
        with anyio.fail_after(10):
            seen = await run.result()
    show("reviewed live", "events", [(f"{review.stream}: {review.latest}", review.events) for review in seen[:5]])
    milliseconds = 1000 * median(delays)
    console.print(f"  {len(seen)} reviews, each durable and seen {milliseconds:.1f} ms (median) after it was submitted")
    check("the live query saw exactly what was persisted, in order", holds=seen == written)


def show(name: str, number: str, rows: list[tuple[str, int]]) -> None:
    """Show a table on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        for text, count in rows:
            console.print(f"  {count:>8,}  {text}", soft_wrap=True)
        return
    table = Table(name, show_edge=False)
    table.add_column(number, justify="right")
    for text, count in rows:
        table.add_row(text, f"{count:,}")
    console.print(table)


def generated_log() -> Log:
    """Return a log of a shop's orders; the same each time."""
    chance = random.Random(17)
    rows = [row for number in range(1, ORDERS + 1) for row in order_rows(number, chance)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["order", "activity", "at", "sku", "amount", "note"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["at"]))
    file = io.BytesIO(text.getvalue().encode())
    return Log(f"a generated log of {ORDERS} orders", file, reader_of("csv"), Columns("order", "activity", "at"))


def order_rows(number: int, chance: random.Random) -> list[dict[str, Any]]:
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


def chosen_log() -> Log:
    """Return the log that the command line names, or a generated one."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="Imports, folds and follows events.")
    parser.add_argument("--input", metavar="FILE", help="an event log, CSV or JSON lines; generated if not given")
    for column in ("stream", "type", "time"):
        parser.add_argument(f"--{column}-column", metavar="C", help=f"the column of the {column}")
    arguments = parser.parse_args()
    if arguments.input is None:
        return generated_log()
    try:
        form = form_of(arguments.input)
        columns = columns_of(form, arguments.stream_column, arguments.type_column, arguments.time_column)
        return Log(arguments.input, open(arguments.input, "rb"), reader_of(form), columns)
    except (OSError, ValueError) as error:
        parser.error(str(error))


def main() -> int:
    log = chosen_log()
    try:
        with log.file, tempfile.TemporaryDirectory(prefix="calliope-demo-") as folder:
            anyio.run(partial(demonstrate, log, Path(folder) / "demo.db"))
    except (CheckFailedError, CalliopeError, OSError) as failure:
        console.print(str(failure), style="bold red")
        return 1
    except KeyboardInterrupt:
        return 130
    console.print("\nAll of it held.", style="bold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
