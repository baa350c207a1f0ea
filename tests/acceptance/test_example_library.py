"""The library of `examples/library`, driven from outside, and its decider in scenarios."""

import subprocess
import sys
from pathlib import Path

import pytest

from calliope.domain.testing import Scenario
from examples.library.book import BOOK, BookLent, BookRegistered, BookReturned, LendBook, RegisterBook, ReturnBook

ROOT = Path(__file__).parents[2]
MOMO = ("Momo", "Michael Ende")


def library(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.library", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_story_is_told_with_one_command() -> None:
    told = library()
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines() == [
        "register: BookRegistered(title='Momo', author='Michael Ende')",
        "lend to Ada: BookLent(reader='Ada')",
        "lend to Grace: rejected, the book is lent to Ada",
        "return: BookReturned(reader='Ada')",
        "return again: rejected, the book is not lent",
        "lend to Grace: BookLent(reader='Grace')",
        "return: BookReturned(reader='Grace')",
        "lend to Edsger: BookLent(reader='Edsger')",
        "Momo by Michael Ende: lent to Edsger, lent 3 times; 6 events, snapshot at 5",
    ]


@pytest.mark.parametrize("scheme", ["", pytest.param("sqlite:///", marks=pytest.mark.soak)])
def test_books_are_kept_where_the_url_says(tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}{tmp_path / 'library.db'}"
    assert library("--journal", url, "register", *MOMO).returncode == 0
    assert library("--journal", url, "lend", *MOMO, "Ada").stdout == "BookLent(reader='Ada')\n"
    refused = library("--journal", url, "lend", *MOMO, "Grace")
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", "rejected: the book is lent to Ada\n")
    for reader in ("Grace", "Edsger"):
        assert library("--journal", url, "return", *MOMO).returncode == 0
        assert library("--journal", url, "lend", *MOMO, reader).returncode == 0
    shown = library("--journal", url, "show", *MOMO)
    assert shown.stdout == "Momo by Michael Ende: lent to Edsger, lent 3 times; 6 events, snapshot at 5\n"


def test_a_book_that_nobody_registered_is_unknown(tmp_path: Path) -> None:
    shown = library("--journal", tmp_path / "library.db", "show", *MOMO)
    assert (shown.returncode, shown.stderr) == (1, "rejected: the book is not registered\n")


def test_a_storage_that_is_none_is_named() -> None:
    refused = library("--journal", "redis://localhost")
    assert refused.returncode == 1
    assert "redis://localhost" in refused.stderr
    assert "Traceback" not in refused.stderr


book = Scenario(BOOK)
REGISTERED = BookRegistered(*MOMO)


def test_a_book_is_registered_once() -> None:
    book.when(RegisterBook(*MOMO)).then(REGISTERED)
    book.given(REGISTERED).when(RegisterBook(*MOMO)).rejected("the book is registered already")


def test_a_book_is_lent_to_one_reader_at_a_time() -> None:
    book.given(REGISTERED).when(LendBook("Ada")).then(BookLent("Ada"))
    book.given(REGISTERED, BookLent("Ada")).when(LendBook("Grace")).rejected("the book is lent to Ada")
    book.given(REGISTERED, BookLent("Ada"), BookReturned("Ada")).when(LendBook("Grace")).then(BookLent("Grace"))


def test_what_was_not_lent_is_not_returned() -> None:
    book.given(REGISTERED).when(ReturnBook()).rejected("the book is not lent")
    book.when(ReturnBook()).rejected("the book is not registered", "the book is not lent")


def test_a_book_has_a_title_and_an_author_and_a_reader_has_a_name() -> None:
    book.when(RegisterBook("", "Michael Ende")).rejected("a book has a title and an author")
    book.given(REGISTERED).when(LendBook("")).rejected("a book is lent to somebody")
