"""Every page of a journal file against its checksum, and the write-ahead log that lies over them."""

from collections.abc import Callable, Iterator
from itertools import islice

from calliope.errors import CorruptJournalError
from calliope.stores.page_checksums import PAGE_BYTES, check_page
from calliope.stores.sqlite_view import SqliteView
from calliope.verification.damage import DAMAGES_MAX, Damage, spans

LOCK_PAGE = 1 + 2**30 // PAGE_BYTES
"""SQLite locks bytes of this page and never writes it (https://sqlite.org/fileformat2.html#the_lock_byte_page)."""

TORN_READS_MAX = 5
"""How often a page is read anew that a writer may be writing at that moment."""


def damaged_pages(view: SqliteView) -> Iterator[Damage]:
    """Yield what is wrong with the pages of the file."""
    if view.file_rest_bytes:
        place = f"page {view.file_page_count + 1}"
        yield Damage(place, f"it is cut off after {view.file_rest_bytes} bytes")
    missing = (number for number in range(view.file_page_count + 1, view.page_count + 1) if number not in view.log)
    for span in spans("page", missing):
        yield Damage(span, f"missing: the database has {view.page_count} pages, the file {view.file_page_count}")
    yield from islice(_mismatches(view), DAMAGES_MAX)


def damaged_log(view: SqliteView) -> Iterator[Damage]:
    """Yield what is wrong with the write-ahead log."""
    if view.log.broken_at == 0:
        yield Damage("write-ahead log", "its header is damaged, so that all it holds is lost")
    elif view.log.broken_at is not None:
        yield Damage(
            "write-ahead log",
            f"frame {view.log.broken_at} is damaged, so that what was committed from there on is lost",
        )


def _mismatches(view: SqliteView) -> Iterator[Damage]:
    free = _Lazily(lambda: free_pages(view))
    for number in range(1, view.file_page_count + 1):
        error = None if number == LOCK_PAGE else _mismatch(view, number)
        if error is None or (not any(view.page(number)) and number in free.value):
            continue  # a page that was freed in the transaction that would have written it first is never written
        if number in view.log:
            error = f"{error}; a newer copy is in the write-ahead log, which opening the journal brings here"
        yield Damage(f"page {number}", error)


def _mismatch(view: SqliteView, number: int) -> str | None:
    """Return what is wrong with a page of the file; one that stays wrong is not just being written."""
    reason = None
    for _ in range(TORN_READS_MAX if number in view.log else 1):
        try:
            check_page(view.page_of_file(number), number)
        except CorruptJournalError as error:
            reason = error.detail.removeprefix(f"page {number} ")
        else:
            return None
    return reason


def free_pages(view: SqliteView) -> set[int]:
    """Return the numbers of the free pages (https://sqlite.org/fileformat2.html#the_freelist)."""
    found: set[int] = set()
    trunk = _number_at(view.page(1), 32)
    while trunk and trunk not in found and trunk <= view.page_count:
        page = view.page(trunk)
        leaf_count = min(_number_at(page, 4), PAGE_BYTES // 4 - 2)
        found.add(trunk)
        found.update(_number_at(page, 8 + 4 * place) for place in range(leaf_count))
        trunk = _number_at(page, 0)
    return found


def _number_at(page: bytes, offset: int) -> int:
    return int.from_bytes(page[offset : offset + 4], "big")


class _Lazily:
    """A set that is made when it is first asked for: few files have pages that need it."""

    def __init__(self, make: Callable[[], set[int]]) -> None:
        self._make = make
        self._made: set[int] | None = None

    @property
    def value(self) -> set[int]:
        if self._made is None:
            self._made = self._make()
        return self._made
