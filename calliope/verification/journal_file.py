"""A walk over everything in a journal file that changes nothing, beside a running writer too.

What is checked, and what it finds:

1. The mark: acknowledged commits that are gone, such as those behind a damage in the write-ahead log, and frames of
   the log that are gone.
2. The write-ahead log: commits that follow a break in it.
3. Every page against its checksum, free ones too: flipped bits, zeroed sectors, pages cut off or misplaced.
4. SQLite's own `integrity_check`: the structure of tables and indexes.
5. Every record against its checksum; positions and sequence numbers without gaps; every index entry, event id, tag and
   snapshot against the events.
6. What makes the journal a replica: every log entry and state against its checksum; each log without gaps; how far the
   writers of each stream have come against their events.

The mark is read first: the journal may grow meanwhile, and must hold at least what the mark said.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import apsw

from calliope.errors import CorruptJournalError, JournalFormatError
from calliope.stores.high_water_mark import HighWaterMark, Marked, shortfall
from calliope.stores.page_checksums import check_page
from calliope.stores.sqlite_schema import APPLICATION_ID, identify
from calliope.stores.sqlite_view import SqliteView
from calliope.verification.damage import DAMAGES_MAX, Damage, guarded
from calliope.verification.pages import damaged_log, damaged_pages
from calliope.verification.records import RecordWalk, damaged_indexes, damaged_snapshots
from calliope.verification.replicas import damaged_log_entries, damaged_states, damaged_versions

ATTEMPTS_MAX = 3
"""How often a journal is walked anew when damage was found and it changed meanwhile."""


_HELD = "SELECT (SELECT coalesce(max(position), 0) FROM event), coalesce((SELECT other_writes FROM meta), 0)"


@dataclass
class Verification:
    """What a walk over a journal found.

    Attributes:
        path: the journal's file.
        damages: what is not whole; at most `DAMAGES_MAX` of each check.
        page_count: how many pages the database has.
        event_count: how many events it holds.
        stream_count: of how many streams.
        snapshot_count: how many snapshots it holds.
    """

    path: Path
    damages: list[Damage] = field(default_factory=list)
    page_count: int = 0
    event_count: int = 0
    stream_count: int = 0
    snapshot_count: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged or missing."""
        return not self.damages


def verify_journal(path: Path) -> Verification:
    """Return what is damaged or missing in a journal file; read everything and change nothing.

    Args:
        path: the journal's file; the files beside it are checked too. Others may write to it meanwhile.

    Raises:
        JournalFormatError: it is no journal, or of a newer format.
        OSError: a file cannot be read, or there is no room for a copy of the write-ahead log.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # what stands beside it stands beside its real name
    for _ in range(ATTEMPTS_MAX - 1):
        verification, changed = _walked(path)
        if verification.is_whole or not changed:
            return verification
    return _walked(path)[0]


def _walked(path: Path) -> tuple[Verification, bool]:
    """Walk over a journal once; tell, too, whether it changed meanwhile."""
    if not path.is_file():
        raise JournalFormatError(f"{path} is {'no file' if path.exists() else 'not there'}, so it is no journal")
    mark = HighWaterMark(Path(f"{path}-mark"))
    verification = Verification(path)
    marked = _marked(mark, verification)
    with closing(SqliteView(path)) as view:
        _check_is_journal(view, path, mark)
        verification.page_count = view.page_count
        verification.damages += guarded("write-ahead log", damaged_log(view, marked))
        verification.damages += guarded("pages", damaged_pages(view))
        verification.damages += guarded("database", _damaged_tables(view, verification, marked))
        return verification, view.has_changed


def _check_is_journal(view: SqliteView, path: Path, mark: HighWaterMark) -> None:
    """Refuse what was never a journal; a journal whose first page is damaged passes."""
    if Path(f"{path}-journal").exists():
        raise JournalFormatError(f"{path} was left half made; opening it begins anew, it holds nothing yet")
    first_page = view.page_of_file(1)
    try:
        check_page(first_page, 1)
    except CorruptJournalError:
        if mark.path.exists() or first_page[68:72] == APPLICATION_ID.to_bytes(4, "big"):
            return
    identify(path)
    if not first_page:
        raise JournalFormatError(f"{path} is empty, so it is no journal yet")


def _marked(mark: HighWaterMark, verification: Verification) -> Marked | None:
    try:
        return mark.read()
    except CorruptJournalError as error:
        verification.damages.append(Damage("mark", error.detail))
        return None


def _damaged_tables(view: SqliteView, verification: Verification, marked: Marked | None) -> Iterator[Damage]:
    with closing(view.connect()) as connection:
        yield from guarded("database", _integrity(connection))
        walk = RecordWalk(connection)
        yield from guarded("events", walk.damages())
        yield from guarded("mark", _lost(marked, connection, view))
        yield from guarded("index of streams", damaged_indexes(connection))
        yield from guarded("snapshots", damaged_snapshots(connection))
        yield from guarded("log", damaged_log_entries(connection))
        yield from guarded("states", damaged_states(connection))
        yield from guarded("versions", damaged_versions(connection))
        verification.event_count = walk.event_count
        verification.stream_count = _count(connection, "stream")
        verification.snapshot_count = _count(connection, "snapshot")


def _integrity(connection: apsw.Connection) -> Iterator[Damage]:
    """Yield what SQLite finds (https://sqlite.org/pragma.html#pragma_integrity_check), and whose journal it is."""
    for (finding,) in connection.execute(f"PRAGMA integrity_check({DAMAGES_MAX})"):
        if finding != "ok":
            yield Damage("database", str(finding))
    if connection.execute("SELECT count(*) FROM meta").get != 1:
        yield Damage("table meta", "the journal's id is not there")


def _lost(marked: Marked | None, connection: apsw.Connection, view: SqliteView) -> Iterator[Damage]:
    """Yield what was acknowledged and is gone; the mark of another journal says nothing about this one."""
    journal_id = connection.execute("SELECT journal_id FROM meta").get
    if marked is None or journal_id not in (None, marked.journal_id):
        return
    head, other_writes = cast(
        tuple[int, int],
        connection.execute(_HELD).get,
    )
    held = Marked(marked.journal_id, head, other_writes, view.log.frame_count, view.log.salts)
    lacking = shortfall(marked, held)
    if lacking is not None:
        yield Damage("mark", f"the journal {lacking}")


def _count(connection: apsw.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").get)
