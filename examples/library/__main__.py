"""The library on the command line. Without a command, a book is registered, lent and returned a few times.

    python -m examples.library
    python -m examples.library --journal library.db register "Momo" "Michael Ende"
    python -m examples.library --journal library.db lend "Momo" "Michael Ende" Ada
    python -m examples.library --journal library.db return "Momo" "Michael Ende"
    python -m examples.library --journal library.db show "Momo" "Michael Ende"

It exits with 1 if a command is rejected, and says why.
"""

import argparse
import sys
from collections.abc import Sequence

import anyio

from calliope import CalliopeError, Journal
from calliope.domain import Rejection, Repository
from examples.library.book import BOOK, Book, BookCommand, BookEvent, BookId, LendBook, RegisterBook, ReturnBook

SNAPSHOT_EVERY = 5

STORY: Sequence[tuple[str, BookCommand]] = (
    ("register", RegisterBook("Momo", "Michael Ende")),
    ("lend to Ada", LendBook("Ada")),
    ("lend to Grace", LendBook("Grace")),
    ("return", ReturnBook()),
    ("return again", ReturnBook()),
    ("lend to Grace", LendBook("Grace")),
    ("return", ReturnBook()),
    ("lend to Edsger", LendBook("Edsger")),
)


class Library:
    """The books of one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._books = Repository(journal, BOOK, BookEvent, state_type=Book, snapshot_every=SNAPSHOT_EVERY)

    async def execute(self, book_id: BookId, command: BookCommand) -> str:
        """Carry a command out and say what happened; raise `Rejection` if it is refused."""
        executed = await self._books.execute(book_id, command)
        return ", ".join(map(repr, executed.events))

    async def described(self, book_id: BookId) -> str:
        """Say what is known of a book."""
        loaded = await self._books.load(book_id)
        if loaded.version == 0:
            raise Rejection("the book is not registered")
        book = loaded.state
        whereabouts = f"lent to {book.lent_to}" if book.lent_to else "in the library"
        snapshots = await self._journal.snapshots.list_snapshots(str(book_id))
        newest = f"snapshot at {snapshots[0].sequence_number}" if snapshots else "no snapshot"
        return (
            f"{book.title} by {book.author}: {whereabouts}, lent {book.times_lent} times;"
            f" {loaded.version} events, {newest}"
        )


async def tell(library: Library) -> None:
    """Let the story happen."""
    book_id = BookId.from_name("Momo by Michael Ende")
    for what, command in STORY:
        try:
            print(f"{what}: {await library.execute(book_id, command)}")
        except Rejection as rejection:
            print(f"{what}: rejected, {rejection}")
    print(await library.described(book_id))


async def main(options: argparse.Namespace) -> None:
    async with Journal.open(options.journal) as journal:
        library = Library(journal)
        if options.command is None:
            await tell(library)
            return
        book_id = BookId.from_name(f"{options.title} by {options.author}")
        if options.command == "show":
            print(await library.described(book_id))
        else:
            print(await library.execute(book_id, command_of(options)))


def command_of(options: argparse.Namespace) -> BookCommand:
    if options.command == "register":
        return RegisterBook(options.title, options.author)
    return LendBook(options.reader) if options.command == "lend" else ReturnBook()


def options_in(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.library", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--journal", default="memory://", help="where books are kept: a path, sqlite:///… or memory://")
    commands = parser.add_subparsers(dest="command")
    for name in ("register", "lend", "return", "show"):
        command = commands.add_parser(name)
        command.add_argument("title")
        command.add_argument("author")
        if name == "lend":
            command.add_argument("reader")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        anyio.run(main, options_in(None))
    except (Rejection, CalliopeError, ValueError) as error:
        sys.exit(f"rejected: {error}" if isinstance(error, Rejection) else str(error))
