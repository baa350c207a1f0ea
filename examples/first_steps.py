"""One journal: an event log is imported, folded, and followed live while new events are persisted.

    python -m examples.first_steps
    python -m examples.first_steps --input log.csv --stream-column order --type-column activity --time-column at

It ends by itself after a few seconds, leaves nothing behind, and exits with 0 only if what it checks holds.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import anyio
from rich.console import Console
from rich.table import Table

from calliope import CalliopeError, Journal, RecordedEvent, Sink, UntypedEvent, event
from calliope.event_log import import_rows
from calliope.verification import verify_journal
from examples.event_logs import Log, add_arguments, chosen_log

ORDERS = 300
REVIEWS = 40
REVIEW_PAUSE_SECONDS = 0.03

console = Console(highlight=False, markup=False, emoji=False)


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
    first = await import_rows(journal, log.rows())
    seconds = perf_counter() - start
    console.print(
        f"  {first.added:,} events in {first.streams:,} streams, {first.added / seconds:,.0f} events a second"
    )
    second = await import_rows(journal, log.rows())
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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.first_steps", description="Imports, folds and follows events."
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        with chosen_log(options, orders=ORDERS) as log, tempfile.TemporaryDirectory(prefix="calliope-") as folder:
            anyio.run(partial(demonstrate, log, Path(folder) / "first_steps.db"))
    except ValueError as error:
        parser.error(str(error))
    except (CheckFailedError, CalliopeError, OSError) as failure:
        console.print(str(failure), style="bold red")
        return 1
    except KeyboardInterrupt:
        return 130
    console.print("\nAll of it held.", style="bold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
