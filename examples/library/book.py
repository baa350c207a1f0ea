"""A book of the library: what can be asked of it, and what can happen to it. Pure; knows no journal."""

from dataclasses import dataclass, replace

from calliope import event
from calliope.domain import Decider, Identifier, Rejection, Specification, specification


class BookId(Identifier):
    prefix = "book"


@event("book-registered")
@dataclass(frozen=True)
class BookRegistered:
    title: str
    author: str


@event("book-lent")
@dataclass(frozen=True)
class BookLent:
    reader: str


@event("book-returned")
@dataclass(frozen=True)
class BookReturned:
    reader: str


BookEvent = BookRegistered | BookLent | BookReturned


@dataclass(frozen=True)
class RegisterBook:
    title: str
    author: str


@dataclass(frozen=True)
class LendBook:
    reader: str


@dataclass(frozen=True)
class ReturnBook:
    pass


BookCommand = RegisterBook | LendBook | ReturnBook


@event("book")  # the name under which snapshots are stored
@dataclass(frozen=True)
class Book:
    title: str = ""
    author: str = ""
    lent_to: str = ""
    times_lent: int = 0


registered: Specification[Book] = specification(
    lambda book: bool(book.title), "the book is not registered", opposite="the book is registered already"
)
lent: Specification[Book] = specification(
    lambda book: bool(book.lent_to), "the book is not lent", opposite=lambda book: f"the book is lent to {book.lent_to}"
)


def decide(command: BookCommand, book: Book) -> BookEvent:
    match command:
        case RegisterBook(title, author):
            (~registered).check(book)
            if not title or not author:
                raise Rejection("a book has a title and an author")
            return BookRegistered(title, author)
        case LendBook(reader):
            (registered & ~lent).check(book)
            if not reader:
                raise Rejection("a book is lent to somebody")
            return BookLent(reader)
        case ReturnBook():
            (registered & lent).check(book)
            return BookReturned(book.lent_to)


def evolve(book: Book, happened: BookEvent) -> Book:
    match happened:
        case BookRegistered(title, author):
            return Book(title, author)
        case BookLent(reader):
            return replace(book, lent_to=reader, times_lent=book.times_lent + 1)
        case BookReturned():
            return replace(book, lent_to="")


BOOK = Decider[Book, BookCommand, BookEvent](Book(), decide, evolve)
