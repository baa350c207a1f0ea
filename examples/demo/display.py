"""`Display`: what a person sees: lines, and on a terminal the three replicas live below them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import anyio
from rich.console import Console
from rich.live import Live
from rich.table import Table

from examples.demo.cluster import Cluster

READING_SECONDS = 1.0
"""How long an act stays before the next begins, if a person watches."""

STATE_STYLES = {"up": "green", "severed": "yellow", "killed": "bold red", "down": "dim"}


class CheckFailedError(Exception):
    """Something that must hold does not."""


class Display:
    """Shows what happens, and keeps count of what was checked."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)

    @contextmanager
    def following(self, cluster: Cluster) -> Iterator[None]:
        """Show how the replicas stand, live, if this is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(
            get_renderable=lambda: _standing(cluster), console=self._console, refresh_per_second=8, transient=True
        ):
            yield

    async def pause(self) -> None:
        """Let the person read, if there is one."""
        if self._console.is_terminal:
            await anyio.sleep(READING_SECONDS)

    def act(self, title: str) -> None:
        """Begin an act."""
        self._console.print(f"\n{title}", style="bold", soft_wrap=True)

    def say(self, text: str) -> None:
        """Say what happened."""
        self._console.print(f"  {text}", soft_wrap=True)

    def failed(self, text: str) -> None:
        """Say what does not hold."""
        self._console.print(text, style="bold red", soft_wrap=True)

    def check(self, claim: str, *, holds: bool) -> None:
        """Say that something holds.

        Raises:
            CheckFailedError: it does not.
        """
        if not holds:
            raise CheckFailedError(f"this does not hold: {claim}")
        self._console.print(f"  checked: {claim}", style="green", soft_wrap=True)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table on a terminal, plain lines elsewhere."""
        if not self._console.is_terminal:
            widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
            for row in (heads, *rows):
                cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
                self._console.print("  " + "  ".join(cells).rstrip(), soft_wrap=True)
            return
        table = Table(*heads, show_edge=False)
        for row in rows:
            table.add_row(*row)
        self._console.print(table)


def _standing(cluster: Cluster) -> Table:
    table = Table("replica", "state", "listens at", "connected with", show_edge=False, title_justify="left")
    table.add_column("entries", justify="right")
    table.add_column("values")
    for replica in cluster:
        connected = ", ".join(replica.status["connected"]) or "nobody"
        entries = f"{replica.status['entries']:,}"
        values = "  ".join(f"{key.removeprefix('demo:')} {value}" for key, value in replica.status["values"].items())
        table.add_row(replica.replica_id, replica.state, replica.address, connected, entries, values)
        table.rows[-1].style = STATE_STYLES[replica.state]
    return table
