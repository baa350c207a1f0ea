"""The `calliope` command. It lives at the top of the stack, so that every package can serve it."""

import sys

try:
    from replication.commands.application import application
except ModuleNotFoundError as error:
    if error.name not in ("click", "rich"):
        raise
    _missing: str | None = error.name
else:
    _missing = None


def main() -> None:
    """Run the command line; exit with 0, or with the code that its --help explains."""
    if _missing is not None:
        sys.exit(f"calliope: the command line needs {_missing}; pip install 'calliope-streams[cli]' brings it")
    application(prog_name="calliope")


if __name__ == "__main__":
    main()
