"""The group of all commands: errors become one line and an exit code, closed pipes and Ctrl-C end quietly."""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from calliope.errors import CalliopeError, JournalFormatError
from replication.commands.copy import copy
from replication.commands.export_log import export_log
from replication.commands.import_log import import_log
from replication.commands.node import run_node
from replication.commands.show import show_events, show_streams
from replication.commands.status import show_status
from replication.commands.verify import verify

FAILED, MISUSED, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141


class Application(click.Group):
    """Runs a command and turns what it raises into what a shell understands."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except JournalFormatError as error:
            _fail(error, MISUSED)
        except CalliopeError as error:
            _fail(error, FAILED)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
            )  # what is buffered still goes nowhere, at exit
            sys.exit(PIPE_CLOSED)
        except OSError as error:
            _fail(error, FAILED)
        return result


def _fail(error: Exception, code: int) -> None:
    click.echo(f"calliope: {error}", err=True)
    sys.exit(code)


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:  # noqa: FBT001 - click's form
    if asked:
        try:
            click.echo(f"calliope {version('calliope-streams')}")
        except PackageNotFoundError:
            click.echo("calliope, not installed: it runs from its sources")
        ctx.exit()


@click.group(
    cls=Application,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 all is well; 1 it failed: a bad row, damage, a full disk; 2 it was misused: a bad argument,"
    " or what was given as a journal is none; 130 it was interrupted; 141 nobody reads the output any more.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def application() -> None:
    """Event streams in journals: bring them in, look at them, make sure that they are whole; and replicas of them."""


for command in (import_log, export_log, copy, show_events, show_streams, verify, run_node, show_status):
    application.add_command(command)
