"""`calliope copy`: all of a journal into another one, on whatever store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import anyio
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from calliope.copying import CopyDiffersError, CopyProgress, CopySummary, copy_journal
from calliope.errors import CalliopeError
from calliope.journal import Journal
from calliope.shown_url import without_password
from replication.commands.journals import checked_arguments, existing

STAGES = {
    "looking": "looking for the place",
    "events": "copying events",
    "snapshots": "copying snapshots",
    "comparing": "comparing",
}


@click.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--plain-only", is_flag=True, help="Leave replicated streams and keys alone, in both journals.")
@click.option("--verify/--no-verify", default=True, help="Compare both journals in the end.  [default: verify]")
def copy(source: str, target: str, *, plain_only: bool, verify: bool) -> None:
    """Copy the journal FROM into the journal TO: paths, or URLs of any store.

    Every event is copied with all that it says of itself: stream, sequence number, id, type, schema version, time,
    tags, metadata and the bytes of its payload; events keep their order across streams. Snapshots are copied too.
    Classes are not needed. Positions are those of TO: the summary says whether they are the same. If not, snapshots
    that are of no stream are left out, because they may hold positions: projections begin anew.

    TO is made if it is not there. Otherwise it must hold a beginning of FROM and nothing else: so a copy that was cut
    off is simply made again, and goes on. What is persisted in FROM meanwhile is for the next run. Nobody may write to
    TO.

    In the end both journals are read and compared. Differences are listed, and the exit code is 1.

    The journal of a replica is refused: start a node with a replica id of its own on TO instead, and it receives the
    replicated streams and keys; then --plain-only copies the other streams.
    """
    with checked_arguments():
        opened = existing(source), Journal.open(target)
    try:
        summary = anyio.run(partial(_copy, *opened, plain_only=plain_only, verify=verify))
    except CopyDiffersError as error:
        for difference in error.differences:
            click.echo(difference)
        count = len(error.differences)
        raise CalliopeError(f"{_shown(target)} is no copy of {_shown(source)}: {count:,} differences") from error
    click.echo(_described(summary, _shown(target)))


async def _copy(source: Journal, target: Journal, *, plain_only: bool, verify: bool) -> CopySummary:
    async with source, target:
        with _progress() as show:
            return await copy_journal(source, target, plain_only=plain_only, verify=verify, on_progress=show)


def _described(summary: CopySummary, target: str) -> str:
    added = f"{summary.added:,} events and {summary.snapshots:,} snapshots copied"
    held = f", it held {summary.known:,} events already" if summary.known else ""
    lines = [f"{target}: {added}{held}"]
    if summary.snapshots_left_out:
        lines.append(f"{summary.snapshots_left_out:,} snapshots were left out: they are damaged, or may hold positions")
    if summary.events and not summary.same_positions:
        lines.append("its positions are others: what stores positions outside of the journal must begin anew")
    if summary.checksum is not None:
        lines.append(f"compared: {summary.events:,} events in both, checksum {summary.checksum}")
    return "\n".join(lines)


def _shown(url: str) -> str:
    return without_password(url) if "://" in url else url


@contextmanager
def _progress() -> Iterator[Callable[[CopyProgress], None]]:
    """Show on a terminal how far a copy is; give a function that is told."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda progress: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task, stage = bar.add_task("opening", total=None), ""

        def show(progress: CopyProgress) -> None:
            nonlocal stage
            if progress.stage != stage:
                stage = progress.stage
                bar.reset(task, total=progress.total or None, description=STAGES[stage])
            bar.update(task, total=progress.total or None, completed=progress.done)

        yield show
