import random
from itertools import count
from pathlib import Path

import anyio
import anyio.to_thread
import apsw
import pytest
from anyio.lowlevel import checkpoint

from calliope import Journal, JournalFormatError, UntypedEvent
from calliope.stores.page_checksums import PAGE_BYTES, VFS_NAME
from calliope.stores.sqlite_view import SqliteView
from calliope.verification import Verification, verify_journal
from calliope.verification.pages import free_pages
from tests.unit.calliope.damaged_journals import (
    SECTOR_BYTES,
    change,
    contents,
    damages_of,
    execute,
    fill,
    flip,
)


class TestAWholeJournal:
    def test_is_counted(self, closed: Path) -> None:
        pages = closed.stat().st_size // PAGE_BYTES
        assert verify_journal(closed) == Verification(
            closed, [], pages, event_count=36, stream_count=4, snapshot_count=2
        )

    def test_is_whole_after_its_process_was_killed(self, crashed: Path) -> None:
        assert crashed.with_name("journal.db-wal").stat().st_size > 0
        assert verify_journal(crashed).event_count == 36
        assert damages_of(crashed) == []

    def test_is_whole_without_events(self, tmp_path: Path) -> None:
        async def make() -> None:
            async with Journal.open(tmp_path / "journal.db"):
                pass

        anyio.run(make)
        assert verify_journal(tmp_path / "journal.db").is_whole

    @pytest.mark.parametrize("missing", ["", "-shm"])
    @pytest.mark.parametrize("kind", ["closed", "crashed"])
    def test_is_not_changed_by_looking(self, kind: str, missing: str, request: pytest.FixtureRequest) -> None:
        path: Path = request.getfixturevalue(kind)
        if missing:
            path.with_name(f"{path.name}{missing}").unlink(missing_ok=True)
        before = contents(path)
        verify_journal(path)
        assert contents(path) == before

    def test_is_looked_at_in_a_folder_that_cannot_be_written(self, crashed: Path) -> None:
        crashed.parent.chmod(0o500)
        try:
            assert damages_of(crashed) == []
        finally:
            crashed.parent.chmod(0o700)

    def test_is_whole_beside_a_writer_at_every_moment(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        written: list[int] = []
        counts: list[int] = []

        async def write(journal: Journal) -> None:
            for number in count():
                if len(counts) == 3:
                    return
                stream = journal.event_stream(f"s-{number % 30}", UntypedEvent)
                events = [UntypedEvent("t", {"note": "x" * 500})] * 4
                written.append((await stream.persist(events, tags=["tag"], event_id=f"{number}")).position)

        async def verify() -> None:
            before = written[-1]
            found = await anyio.to_thread.run_sync(verify_journal, path)
            assert found.damages == []
            assert before <= found.event_count <= written[-1] + 4
            counts.append(found.event_count)

        async def write_and_verify() -> None:
            async with Journal.open(path) as journal, anyio.create_task_group() as tasks:
                tasks.start_soon(write, journal)
                for _ in range(3):
                    while not written or (counts and written[-1] <= counts[-1]):
                        await checkpoint()
                    await verify()

        anyio.run(write_and_verify)
        assert counts[0] < counts[1] < counts[2]

    def test_opens_and_works_after_it_was_looked_at_while_open(self, tmp_path: Path) -> None:
        """Closing a file that the process has open drops its locks, unless SQLite does it."""

        async def look_and_go_on() -> None:
            async with Journal.open(tmp_path / "journal.db") as journal:
                await fill(journal)
                verify_journal(tmp_path / "journal.db")
                await fill(journal)

        anyio.run(look_and_go_on)
        assert damages_of(tmp_path / "journal.db") == []


class TestPages:
    def test_a_flipped_bit_is_found_wherever_it_is(self, closed: Path) -> None:
        chance = random.Random(5)
        whole = closed.read_bytes()
        for number in range(1, 1 + len(whole) // PAGE_BYTES):
            closed.write_bytes(whole)
            flip(closed, (number - 1) * PAGE_BYTES + chance.randrange(PAGE_BYTES), chance.randrange(8))
            assert f"page {number}: does not match its checksum" in damages_of(closed)

    def test_every_flipped_bit_of_the_header_is_found(self, closed: Path) -> None:
        whole = closed.read_bytes()
        for byte in range(100):
            closed.write_bytes(whole)
            flip(closed, byte, byte % 8)
            assert "page 1: does not match its checksum" in damages_of(closed)

    def test_a_zeroed_sector_is_found(self, closed: Path) -> None:
        whole = closed.read_bytes()
        for start in range(0, len(whole), 7 * SECTOR_BYTES):
            change(
                closed,
                lambda data, start=start: data.__setitem__(slice(start, start + SECTOR_BYTES), bytes(SECTOR_BYTES)),
            )
            if closed.read_bytes() != whole:
                assert f"page {1 + start // PAGE_BYTES}: does not match its checksum" in damages_of(closed)
            closed.write_bytes(whole)

    @pytest.mark.parametrize("kept_bytes", [0, 1, 99, PAGE_BYTES, 3 * PAGE_BYTES, 3 * PAGE_BYTES + 17, -1, -PAGE_BYTES])
    def test_a_cut_is_found(self, closed: Path, kept_bytes: int) -> None:
        page_count = closed.stat().st_size // PAGE_BYTES
        change(closed, lambda data: data.__delitem__(slice(kept_bytes, None)))
        damages = damages_of(closed)
        assert damages
        if kept_bytes == 3 * PAGE_BYTES:
            assert f"pages 4 to {page_count}: missing: the database has {page_count} pages, the file 3" in damages
        if kept_bytes % PAGE_BYTES == 17:
            assert "page 4: it is cut off after 17 bytes" in damages

    def test_a_page_in_the_place_of_another_is_found(self, closed: Path) -> None:
        def copy_page(data: bytearray) -> None:
            data[4 * PAGE_BYTES : 5 * PAGE_BYTES] = data[5 * PAGE_BYTES : 6 * PAGE_BYTES]

        change(closed, copy_page)
        assert "page 5: does not match its checksum" in damages_of(closed)

    def test_a_free_page_is_checked_too(self, closed: Path) -> None:
        view = SqliteView(closed)
        number = max(free_pages(view))
        view.close()
        flip(closed, (number - 1) * PAGE_BYTES + 2_000)
        assert damages_of(closed) == [f"page {number}: does not match its checksum"]

    def test_a_free_page_that_was_never_written_is_not_damaged(self, closed: Path) -> None:
        """SQLite leaves it out when a page is taken and freed in one transaction."""
        view = SqliteView(closed)
        number = max(free_pages(view))
        view.close()
        change(
            closed,
            lambda data: data.__setitem__(slice((number - 1) * PAGE_BYTES, number * PAGE_BYTES), bytes(PAGE_BYTES)),
        )
        assert damages_of(closed) == []

    def test_a_page_that_the_log_has_anew_is_reported_as_what_it_is(self, crashed: Path) -> None:
        view = SqliteView(crashed)
        number = next(number for number in range(1, view.file_page_count + 1) if number in view.log)
        view.close()
        flip(crashed, (number - 1) * PAGE_BYTES + 200)
        (damage,) = damages_of(crashed)
        assert damage.startswith(f"page {number}: does not match its checksum; a newer copy is in the write-ahead log")


ROWS = {
    "a missing event": ("DELETE FROM event WHERE position = 6", "position 6: missing"),
    "missing events": ("DELETE FROM event WHERE position BETWEEN 7 AND 9", "positions 7 to 9: missing"),
    "a row that claims more events than it has": (
        "UPDATE event SET event_count = 3 WHERE position = 8",
        "position 8: its row claims 3 events, of which others hold some",
    ),
    "a row that claims fewer events than it has": (
        "UPDATE event SET event_count = 1 WHERE position = 8",
        "position 7: missing",
    ),
    "a changed payload of several events": (
        "UPDATE event SET payload = x'8080' WHERE position = 8",
        "positions 7 to 8: does not match its checksum, nor do the 1 before it",
    ),
    "a missing last event": (
        "DELETE FROM event WHERE position = 36",
        "mark: the journal ends at position 35, but 36 was acknowledged",
    ),
    "a changed payload": (
        "UPDATE event SET payload = x'80' WHERE position = 3",
        "position 3: does not match its checksum",
    ),
    "changed attributes": ("UPDATE event SET attributes = x'93' WHERE position = 3", "position 3: does not match"),
    "a changed time": ("UPDATE event SET timestamp = 0 WHERE position = 3", "position 3: does not match its checksum"),
    "a changed stream": ("UPDATE event SET stream = 1 WHERE position = 3", "position 3: does not match its checksum"),
    "a renamed stream": (
        "UPDATE stream SET stream_id = 's-9' WHERE id = 1",
        "before it (stream 's-9')",
    ),
    "a missing stream": ("DELETE FROM stream WHERE id = 2", "position 3: its stream, number 2, is not in the journal"),
    "a renamed type": ("UPDATE event_type SET name = 'x'", "position 3: does not match its checksum"),
    "a missing type": ("DELETE FROM event_type", "positions 1 to 2: its type number 1 is not in the journal"),
    "an index entry too few": (
        "DELETE FROM recent_event_by_stream WHERE position = 5",
        "index of streams: it has 23 entries for 24 rows of events",
    ),
    "an index entry too many": (
        "INSERT INTO recent_event_by_stream VALUES (1, 99, 5)",
        "position 5: it is not number 99 of stream",
    ),
    "an index entry that leads elsewhere": (
        "UPDATE recent_event_by_stream SET position = 6 WHERE position = 5",
        "position 6: it is not number",
    ),
    "an index entry of a stream that is not there": (
        "UPDATE recent_event_by_stream SET stream = 77 WHERE position = 5",
        "of stream 'number 77', as an index says",
    ),
    "an index entry in both levels": (
        "INSERT INTO event_by_stream SELECT * FROM recent_event_by_stream WHERE position = 5",
        "is indexed as recent, and is not",
    ),
    "a stream without events": (
        "INSERT INTO stream VALUES (9, 's-9', 'plain')",
        "stream 's-9': all of its events are missing",
    ),
    "a missing event id": (
        "DELETE FROM event_key WHERE event_id = 'e-1'",
        "position 1: its event id 'e-1' leads elsewhere, so that it could be written twice",
    ),
    "an event id that leads elsewhere": (
        "UPDATE event_key SET position = 9 WHERE event_id = 'e-1'",
        "position 1: its event id 'e-1' leads elsewhere",
    ),
    "an event id too many": ("INSERT INTO event_key VALUES (1, 'x', 1, 1)", "table event_key: it has 17 rows"),
    "a request of too many events": (
        "UPDATE event_key SET event_count = 9 WHERE event_id = 'e-1'",
        "position 1: the 9 events of request 'e-1' are not all in its stream",
    ),
    "a missing tag": ("DELETE FROM event_tag WHERE position = 3", "position 3: it is not found by its tag 'even'"),
    "a tag too many": ("INSERT INTO event_tag VALUES ('x', 3)", "table event_tag: it has 13 rows"),
    "a changed snapshot": ("UPDATE snapshot SET payload = x'80'", "snapshot 's-1' at 3: does not match its checksum"),
    "a snapshot of events that are not there": (
        "UPDATE snapshot SET sequence_number = 99 WHERE sequence_number = 4",
        "snapshot 's-1' at 99: its stream ends before it",
    ),
    "a missing journal id": ("DELETE FROM meta", "table meta: the journal's id is not there"),
}


class TestRows:
    @pytest.mark.parametrize("name", ROWS)
    def test_what_is_wrong_is_found(self, closed: Path, name: str) -> None:
        statement, expected = ROWS[name]
        execute(closed, statement)
        damages = damages_of(closed)
        assert any(expected in damage for damage in damages), damages

    def test_a_table_that_is_gone_is_found_and_the_others_are_checked(self, closed: Path) -> None:
        execute(closed, "UPDATE event SET payload = x'80' WHERE position = 3")
        connection = apsw.Connection(str(closed), vfs=VFS_NAME)
        connection.execute("DROP TABLE snapshot")
        connection.close()
        damages = damages_of(closed)
        assert "snapshots: cannot be read: SQLError: no such table: snapshot" in damages
        assert "position 3: does not match its checksum (stream 's-2')" in damages

    def test_an_index_of_sqlite_that_disagrees_with_its_table_is_found(self, closed: Path) -> None:
        connection = apsw.Connection(str(closed), vfs=VFS_NAME)
        connection.pragma("writable_schema", True)
        connection.execute(
            "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'meta')"
            " WHERE name = 'sqlite_autoindex_stream_1'"
        )
        connection.close()
        assert any(damage.startswith("database: ") for damage in damages_of(closed))


class TestWhatIsNoJournal:
    def test_a_text_file(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("notes" * 2_000)
        with pytest.raises(JournalFormatError, match=r"notes\.txt is not a journal"):
            verify_journal(tmp_path / "notes.txt")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(JournalFormatError, match="is no file"):
            verify_journal(tmp_path)

    def test_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(JournalFormatError, match="is not there"):
            verify_journal(tmp_path / "journal.db")
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "journal.db").touch()
        with pytest.raises(JournalFormatError, match="is empty"):
            verify_journal(tmp_path / "journal.db")

    def test_another_database(self, tmp_path: Path) -> None:
        connection = apsw.Connection(str(tmp_path / "other.db"))
        connection.execute("CREATE TABLE t (x)")
        connection.close()
        with pytest.raises(JournalFormatError, match="not a Calliope journal"):
            verify_journal(tmp_path / "other.db")

    def test_a_journal_of_a_newer_format(self, closed: Path) -> None:
        connection = apsw.Connection(str(closed), vfs=VFS_NAME)
        connection.pragma("user_version", 1_000)
        connection.close()
        with pytest.raises(JournalFormatError, match="is a journal of format 1000"):
            verify_journal(closed)

    def test_a_journal_that_is_half_made(self, closed: Path) -> None:
        closed.with_name("journal.db-journal").touch()
        with pytest.raises(JournalFormatError, match="half made"):
            verify_journal(closed)
