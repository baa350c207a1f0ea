"""A checksum in every page of a journal file, checked whenever the page is read from disk.

One flipped bit in a database file gives silently wrong data in most cases, and SQLite's own `integrity_check` finds few
of them. So each page ends in eight reserved bytes (https://sqlite.org/fileformat.html#the_database_header, "reserved
space") that hold a CRC-32 of the rest, seeded with the page number so that a page in another's place is noticed too.
SQLite's own extension does the same (https://sqlite.org/cksumvfs.html); this one needs no extension to be built.

It is a shim over the system's file layer. Only the main database file is touched: pages enter it at checkpoints, and
the write-ahead log has checksums of its own, which SQLite verifies when it recovers.

A page: 4,088 bytes of SQLite's, then the CRC-32, little-endian, in eight bytes (the upper four are zero).
"""

from zlib import crc32

import apsw

from calliope.errors import CorruptJournalError

PAGE_BYTES = 4096
RESERVED_BYTES = 8
_CONTENT_BYTES = PAGE_BYTES - RESERVED_BYTES
_HEADER_BYTES = 100

VFS_NAME = "calliope-page-checksums"


class ChecksummedFile(apsw.VFSFile):
    """A database file whose pages carry checksums."""

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        """Read, and check the page that what is read belongs to.

        SQLite reads whole pages, parts of the header before it knows their size, and the beginnings of overflow pages
        past its cache (`SQLITE_DIRECT_OVERFLOW_READ`), which are checked as a whole, too.

        Raises:
            CorruptJournalError: a page does not match its checksum, is cut off, or is of another size.
        """
        if offset + amount <= _HEADER_BYTES:
            return super().xRead(amount, offset)
        if amount > PAGE_BYTES or offset % PAGE_BYTES:
            raise CorruptJournalError(f"{amount} bytes are read at {offset}: its header lies, a page has {PAGE_BYTES}")
        page = super().xRead(PAGE_BYTES, offset)
        check_page(page, 1 + offset // PAGE_BYTES)
        return page if amount == PAGE_BYTES else page[:amount]

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        """Write, and seal whole pages."""
        if len(data) == PAGE_BYTES:
            data = _sealed(data, 1 + offset // PAGE_BYTES)
        super().xWrite(data, offset)


class PageChecksums(apsw.VFS):
    """The file layer that opens checksummed files.

    Args:
        name: what SQLite knows it by.
        parent: the layer below, the system's by default.
    """

    def __init__(self, name: str = VFS_NAME, parent: str = "") -> None:
        self._parent = parent
        super().__init__(name, parent)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open a file of any kind; only the database itself is checked, the write-ahead log checks itself."""
        is_database = flags[0] & apsw.SQLITE_OPEN_MAIN_DB
        return (ChecksummedFile if is_database else apsw.VFSFile)(self._parent, name, flags)


def _checksum(content: memoryview | bytes, page_number: int) -> bytes:
    return crc32(content, page_number).to_bytes(RESERVED_BYTES, "little")


def _sealed(data: bytes, page_number: int) -> bytes:
    content = data[:_CONTENT_BYTES]
    return content + _checksum(content, page_number)


def check_page(data: bytes, page_number: int) -> None:
    """Check a page as it is in the file.

    Raises:
        CorruptJournalError: it does not match its checksum, or is cut off.
    """
    if len(data) < PAGE_BYTES:
        raise CorruptJournalError(f"page {page_number} is cut off after {len(data)} bytes")
    if data[_CONTENT_BYTES:] != _checksum(memoryview(data)[:_CONTENT_BYTES], page_number):
        raise CorruptJournalError(f"page {page_number} does not match its checksum")


page_checksums = PageChecksums()
"""The registered layer; SQLite refers to it by name for as long as the process lives."""
