"""Every page of a journal file against its checksum, and the write-ahead log that lies over them."""

from collections.abc import Iterator
from time import sleep

from calliope.errors import CorruptJournalError
from calliope.stores.high_water_mark import Marked
from calliope.stores.page_checksums import PAGE_BYTES, check_page
from calliope.stores.sqlite_view import SqliteView
from calliope.verification.damage import Damage, span

LOCK_PAGE = 1 + 2**30 // PAGE_BYTES
"""SQLite locks bytes of this page and never writes it (https://sqlite.org/fileformat2.html#the_lock_byte_page)."""

TORN_READS_MAX = 5
"""How often a page is read that a writer may be writing at that moment."""

TORN_READ_PAUSE_SECONDS = 0.005
"""How much longer each time to wait for that."""


def damaged_pages(view: SqliteView) -> Iterator[Damage]:
    """Yield what is wrong with the pages of the file."""
    if view.file_rest_bytes:
        place = f"page {view.file_page_count + 1}"
        yield Damage(place, f"it is cut off after {view.file_rest_bytes} bytes")
    for pages in _missing(view):
        yield Damage(pages, f"missing: the database has {view.page_count} pages, the file {view.file_page_count}")
    yield from _mismatches(view)


def damaged_log(view: SqliteView, marked: Marked | None) -> Iterator[Damage]:
    """Yield what is wrong with the write-ahead log.

    A commit that a killed process, a power cut or this moment left in the middle looks like a damaged one. If the mark
    knows this log and did not come so far, nobody was told of that commit.
    """
    broken_at = view.log.broken_at
    if broken_at is None:
        return
    if broken_at == 0:
        yield Damage("write-ahead log", "its header is damaged, so that all it holds is lost")
    elif marked is None or marked.log_salts != view.log.salts or broken_at <= marked.log_frames:
        yield Damage(
            "write-ahead log", f"frame {broken_at} is damaged, so that what was committed from there on is lost"
        )


def _missing(view: SqliteView) -> Iterator[str]:
    """Yield the spans of pages that are neither in the file nor in the log; a damaged header may claim billions."""
    last = view.file_page_count
    for number in [*view.log.page_numbers, view.page_count + 1]:
        if number > last + 1:
            yield span("page", last + 1, number - 1)
        last = max(last, number)


def _mismatches(view: SqliteView) -> Iterator[Damage]:
    free: set[int] | None = None
    for number in range(1, view.file_page_count + 1):
        reason = None if number == LOCK_PAGE else _mismatch(view, number)
        if reason is None:
            continue
        if not any(view.page_of_file(number)):
            free = free_pages(view) if free is None else free
            if number in free or number in view.log:
                continue  # it was never written: freed by the transaction that took it, or still to come from the log
        if number in view.log:
            reason = f"{reason}; a newer copy is in the write-ahead log, which opening the journal brings here"
        yield Damage(f"page {number}", reason)


def _mismatch(view: SqliteView, number: int) -> str | None:
    """Return what is wrong with a page of the file; one that stays wrong is not just being written."""
    reason = None
    for attempt in range(TORN_READS_MAX if number in view.log else 1):
        sleep(attempt * TORN_READ_PAUSE_SECONDS)
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
