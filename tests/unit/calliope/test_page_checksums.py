import sqlite3
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from calliope.errors import CorruptJournalError
from calliope.stores.page_checksums import PAGE_BYTES, RESERVED_BYTES, VFS_NAME, check_page

ROWS = 400


def connected(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path), vfs=VFS_NAME)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed database of a few dozen pages."""
    path = tmp_path / "pages.db"
    with closing(connected(path)) as connection:
        connection.reserve_bytes("main", RESERVED_BYTES)
        connection.pragma("page_size", PAGE_BYTES)
        connection.execute("CREATE TABLE thing (number INTEGER PRIMARY KEY, text TEXT)")
        connection.pragma("journal_mode", "wal")
        rows = [(number, f"{number} " * 50) for number in range(ROWS)]
        with connection:
            connection.executemany("INSERT INTO thing VALUES (?, ?)", rows)
    return path


@pytest.fixture
def pages(path: Path) -> list[bytes]:
    content = path.read_bytes()
    assert len(content) % PAGE_BYTES == 0
    return [content[start : start + PAGE_BYTES] for start in range(0, len(content), PAGE_BYTES)]


def read_all(path: Path) -> list[tuple[int, str]]:
    with closing(connected(path)) as connection:
        return connection.execute("SELECT * FROM thing ORDER BY number").fetchall()  # type: ignore[return-value]


def flipped(content: bytes, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def is_whole(page: bytes, number: int) -> bool:
    try:
        check_page(page, number)
    except CorruptJournalError:
        return False
    return True


def test_every_page_of_a_database_is_sealed_and_reads_back(path: Path, pages: list[bytes]) -> None:
    assert len(pages) > 20
    for number, page in enumerate(pages, 1):
        check_page(page, number)
    assert read_all(path) == [(number, f"{number} " * 50) for number in range(ROWS)]


def test_every_flipped_bit_of_a_page_is_noticed(pages: list[bytes]) -> None:
    unnoticed = [bit for bit in range(PAGE_BYTES * 8) if is_whole(flipped(pages[2], bit), 3)]
    assert unnoticed == []


@pytest.mark.parametrize("number", [2, 3, 10])
def test_a_damaged_page_is_not_served(path: Path, pages: list[bytes], number: int) -> None:
    pages[number - 1] = flipped(pages[number - 1], 20_000)
    path.write_bytes(b"".join(pages))
    with pytest.raises(CorruptJournalError, match=f"page {number} does not match its checksum"):
        read_all(path)


def test_two_pages_in_each_others_place_are_noticed(path: Path, pages: list[bytes]) -> None:
    pages[4], pages[5] = pages[5], pages[4]
    path.write_bytes(b"".join(pages))
    with pytest.raises(CorruptJournalError, match=r"page [56] does not match"):
        read_all(path)


def test_a_page_of_zeros_is_noticed() -> None:
    assert not any(is_whole(bytes(PAGE_BYTES), number) for number in range(1, 1_000))


def test_a_page_that_is_cut_off_is_noticed(pages: list[bytes]) -> None:
    with pytest.raises(CorruptJournalError, match="page 7 is cut off after 4095 bytes"):
        check_page(pages[6][:-1], 7)


def test_a_database_cannot_be_read_in_pages_of_another_size(path: Path, pages: list[bytes]) -> None:
    """A header that says so would have pages read whose checksums stand elsewhere."""
    first = bytearray(pages[0])
    first[16:18] = (2 * PAGE_BYTES).to_bytes(2, "big")
    first[28:32] = (len(pages) // 2).to_bytes(4, "big")
    path.write_bytes(bytes(first) + b"".join(pages[1:]))
    with pytest.raises(CorruptJournalError, match="8192 bytes"):
        read_all(path)


def test_the_pages_of_a_large_value_are_checked_though_sqlite_reads_only_their_beginnings(path: Path) -> None:
    """It reads them past its cache, and a value's last page only as far as the value goes."""
    text = "large " * 3_000
    with closing(connected(path)) as connection, connection:
        connection.execute("INSERT INTO thing VALUES (?, ?)", (ROWS, text))
    whole = path.read_bytes()
    assert read_all(path)[-1] == (ROWS, text)

    for start in range(len(whole) - 3 * PAGE_BYTES, len(whole), PAGE_BYTES):
        path.write_bytes(flipped(whole, 8 * (start + PAGE_BYTES - RESERVED_BYTES) - 1))
        with pytest.raises(CorruptJournalError, match="does not match its checksum"):
            read_all(path)


def test_any_sqlite_can_read_what_was_written(path: Path) -> None:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT count(*) FROM thing").fetchone() == (ROWS,)


def test_what_another_sqlite_writes_is_reported_because_it_seals_nothing(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE thing SET text = 'changed' WHERE number = 7")
    with pytest.raises(CorruptJournalError, match="does not match its checksum"):
        read_all(path)


def test_the_layer_is_known_to_sqlite_by_its_name_and_is_not_the_default() -> None:
    default, *others = apsw.vfs_names()
    assert default != VFS_NAME
    assert VFS_NAME in others
