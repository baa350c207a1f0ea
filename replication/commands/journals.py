"""How commands are told which journal, and how they open it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio
import click

from calliope.errors import JournalFormatError
from calliope.journal import Journal, is_on_server, is_there
from calliope.shown_url import without_password

F = TypeVar("F", bound=Callable[..., Any])

VARIABLE = "CALLIOPE_JOURNAL"


def journal_option(command: F) -> F:
    """Add the option that says which journal."""
    return click.option("--journal", "-j", envvar=VARIABLE, metavar="JOURNAL", help=f"The journal. [or {VARIABLE}]")(
        command
    )


def chosen(argument: str | None, option: str | None) -> str:
    """Return the journal that was named: as an argument, an option or in the environment."""
    journal = argument or option
    if not journal:
        raise click.UsageError(f"Which journal? Name it as an argument, with --journal or in {VARIABLE}.")
    return journal


def existing(url: str) -> Journal:
    """Return a journal to look at, which must be there already.

    Raises:
        JournalFormatError: it is not there.
        StorageError: its server cannot be asked.
    """
    with checked_arguments():
        journal = Journal.open(url)
        found = anyio.run(is_there, url)
    if not found:
        raise JournalFormatError(f"there is no journal {without_password(url) if is_on_server(url) else url}")
    return journal


@contextmanager
def checked_arguments() -> Iterator[None]:
    """Report a value that the library refuses as a misuse of the command."""
    try:
        yield
    except (TypeError, ValueError, ModuleNotFoundError) as error:  # the last: an extra is not installed
        raise click.UsageError(f"{error}.") from error
