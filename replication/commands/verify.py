"""`calliope verify`: is a journal whole?"""

import sys
from pathlib import Path

import click

from calliope.journal import is_on_server
from calliope.shown_url import without_password
from calliope.verification import Verification, verify_journal
from replication.commands.journals import VARIABLE

SHOWN_MAX = 100
"""How many damages are listed."""


@click.command("verify")
@click.argument("file", required=True, envvar=VARIABLE)
def verify(file: str) -> None:
    """Walk over the journal in FILE and say whether it is whole.

    Everything is read: every page, free ones too, the write-ahead log, every record, every index. Nothing is changed,
    and others may write meanwhile. The exit code is 0 if the journal is whole, 1 if it is damaged (what and where is
    listed), and 2 if FILE is no journal.
    """
    if is_on_server(file):
        raise click.UsageError(
            f"{without_password(file)} is kept by a server: what is read of it is checked as it is read, and"
            " `calliope copy` reads and compares all of it. FILE is the path of a journal in SQLite."
        )
    verification = verify_journal(Path(file))
    for damage in verification.damages[:SHOWN_MAX]:
        click.echo(damage)
    if len(verification.damages) > SHOWN_MAX:
        click.echo(f"… and {len(verification.damages) - SHOWN_MAX:,} more")
    click.echo(f"{file} is {_described(verification)}")
    sys.exit(0 if verification.is_whole else 1)


def _described(found: Verification) -> str:
    if not found.is_whole:
        return f"damaged in {len(found.damages):,} places"
    events = f"{found.event_count:,} events in {found.stream_count:,} streams"
    return f"whole: {events}, {found.snapshot_count:,} snapshots, {found.page_count:,} pages"
