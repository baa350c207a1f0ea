import apsw
import pytest

from calliope.errors import (
    CorruptJournalError,
    CorruptRecordError,
    ExpectedVersionError,
    JournalBusyError,
    JournalFormatError,
    StorageError,
    StorageFullError,
)
from calliope.stores.sqlite_errors import translated


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (apsw.FullError("database or disk is full"), StorageFullError),
        (apsw.BusyError("database is locked"), JournalBusyError),
        (apsw.CorruptError("malformed"), CorruptJournalError),
        (apsw.NotADBError("file is not a database"), JournalFormatError),
        (apsw.CantOpenError("unable to open"), JournalFormatError),
        (apsw.IOError("disk I/O error"), StorageError),
        (apsw.SQLError("no such table"), StorageError),
        (OSError(5, "Input/output error"), StorageError),
    ],
)
def test_an_error_of_sqlite_says_which_file_and_what_it_was(error, expected):
    ours = translated(error, "orders.db")
    assert type(ours) is expected
    assert "orders.db" in str(ours)
    assert str(error) in str(ours)


@pytest.mark.parametrize(
    "error",
    [CorruptJournalError("page 3"), CorruptRecordError(7, "is missing"), ExpectedVersionError(1, 2, "s")],
)
def test_an_error_of_ours_is_handed_to_each_caller_as_a_copy_of_its_own(error):
    one, other = translated(error, "orders.db"), translated(error, "orders.db")
    assert one is not other
    assert one is not error
    assert str(one) == str(other) == str(error)
    assert vars(one) == vars(error)


def test_a_mistake_in_the_code_stays_what_it_is():
    error = RuntimeError("a mistake")
    assert translated(error, "orders.db") is error
