"""The `calliope` command. It lives at the top of the stack, so that every package can serve it."""

import sys

try:
    from replication.commands.application import application
except ModuleNotFoundError as error:
    if error.name not in ("click", "rich"):
        raise
    sys.exit(f"calliope: the command line needs {error.name}; pip install 'calliope-streams[cli]' brings it")


def main() -> None:
    """Run the command line; exit with 0, or with the code that its --help explains."""
    application(prog_name="calliope")


if __name__ == "__main__":
    main()
