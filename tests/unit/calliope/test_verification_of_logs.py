"""Damage in the write-ahead log of a journal, and in the mark beside it."""

import random
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from calliope.stores.high_water_mark import HighWaterMark
from calliope.stores.page_checksums import PAGE_BYTES, VFS_NAME
from calliope.stores.write_ahead_log import FRAME_BYTES, HEADER_BYTES, WriteAheadLog
from calliope.verification import verify_journal
from tests.unit.calliope.damaged_journals import (
    append,
    change,
    damages_of,
    flip,
    header_of_a_commit,
)


class TestTheWriteAheadLog:
    @pytest.fixture
    def log(self, crashed: Path) -> Path:
        return crashed.with_name("journal.db-wal")

    def test_a_flipped_bit_in_any_frame_is_found(self, crashed: Path, log: Path) -> None:
        chance = random.Random(3)
        whole = log.read_bytes()
        frame_count = (len(whole) - HEADER_BYTES) // FRAME_BYTES
        for frame in [*range(0, frame_count, 9), frame_count - 1]:
            log.write_bytes(whole)
            flip(log, HEADER_BYTES + frame * FRAME_BYTES + chance.randrange(FRAME_BYTES), chance.randrange(8))
            assert damages_of(crashed)

    def test_a_flipped_bit_in_its_header_is_found(self, crashed: Path, log: Path) -> None:
        whole = log.read_bytes()
        for byte in range(HEADER_BYTES):
            log.write_bytes(whole)
            flip(log, byte)
            with closing(WriteAheadLog.read(log)) as read:
                assert (read.broken_at, read.page_count) == (0, None)
        for byte in (0, 9, 20, 31):
            log.write_bytes(whole)
            flip(log, byte)
            assert "write-ahead log: its header is damaged, so that all it holds is lost" in damages_of(crashed)

    def test_acknowledged_commits_that_were_cut_off_are_found(self, crashed: Path, log: Path) -> None:
        change(log, lambda data: data.__delitem__(slice(len(data) // 2, None)))
        (damage,) = damages_of(crashed)
        assert damage.startswith("mark: the journal ends at position ")

    def test_acknowledged_commits_are_missed_when_all_of_it_is_gone(self, crashed: Path, log: Path) -> None:
        log.unlink()
        assert any(damage.endswith(", but 36 was acknowledged") for damage in damages_of(crashed))

    def test_frames_that_were_never_committed_are_no_damage(self, crashed: Path, log: Path) -> None:
        """A transaction that was cut off, or undone and partly written over, leaves frames with this log's salts."""

        def append_uncommitted(data: bytearray) -> None:
            frame = bytearray(data[-FRAME_BYTES:])
            frame[4:8] = bytes(4)  # it commits nothing
            data += frame * 3 + frame[:100]

        change(log, append_uncommitted)
        assert damages_of(crashed) == []

    def test_a_commit_that_was_cut_off_in_its_last_frame_is_no_damage(self, crashed: Path, log: Path) -> None:
        """A log that began anew lies over an older one: behind the header of a frame its page may be the old one's."""
        append(log, header_of_a_commit(log) + bytes(PAGE_BYTES))
        assert damages_of(crashed) == []
        assert verify_journal(crashed).event_count == 36

    def test_a_commit_of_which_the_power_took_the_first_frame_is_no_damage(self, crashed: Path, log: Path) -> None:
        uncommitted = header_of_a_commit(log)[:4] + bytes(4) + header_of_a_commit(log)[8:]
        append(log, uncommitted + bytes(PAGE_BYTES) + log.read_bytes()[-FRAME_BYTES:])
        assert damages_of(crashed) == []

    def test_without_a_mark_a_commit_that_does_not_match_its_checksum_is_damage(self, crashed: Path, log: Path) -> None:
        append(log, header_of_a_commit(log) + bytes(PAGE_BYTES))
        crashed.with_name("journal.db-mark").unlink()
        (damage,) = damages_of(crashed)
        assert damage.endswith("is damaged, so that what was committed from there on is lost")

    def test_other_changes_that_were_cut_off_are_found(self, crashed: Path, log: Path) -> None:
        """The last commit of the journal is a snapshot: no event is missing."""
        change(log, lambda data: data.__delitem__(slice(len(data) - FRAME_BYTES, None)))
        (damage,) = damages_of(crashed)
        assert damage == "mark: the journal holds 7 changes other than events, but 8 were acknowledged"

    def test_a_log_that_was_cut_off_behind_what_the_database_has_is_found(self, closed: Path) -> None:
        mark = HighWaterMark(closed.with_name("journal.db-mark"))
        marked = mark.read()
        assert marked is not None
        log = closed.with_name("journal.db-wal")
        with closing(apsw.Connection(str(closed), vfs=VFS_NAME)) as connection:
            connection.execute("CREATE TABLE scratch (x); DROP TABLE scratch")
            salts, frames = log.read_bytes()[16:24], (log.stat().st_size - HEADER_BYTES) // FRAME_BYTES
            mark.write(*marked[:3], 1_000, salts)
            mark.close()
            (damage,) = damages_of(closed)
        assert damage == f"mark: the journal has a log of {frames} frames, but 1000 were acknowledged"

    def test_the_pages_of_the_last_commit_are_given(self, crashed: Path, log: Path) -> None:
        read = WriteAheadLog.read(log)
        connection = apsw.Connection(str(crashed))
        assert read.page_count == connection.pragma("page_count")
        assert 1 in read
        assert read.page(1) is not None
        assert read.page(10_000) is None
        connection.close()
        read.close()


class TestTheMark:
    @pytest.fixture
    def mark(self, closed: Path) -> Path:
        return closed.with_name("journal.db-mark")

    def test_a_damaged_mark_is_found(self, closed: Path, mark: Path) -> None:
        for byte in range(mark.stat().st_size):
            flip(mark, byte, byte % 8)
            (damage,) = damages_of(closed)
            assert damage.startswith("mark: the mark ")
            flip(mark, byte, byte % 8)

    def test_a_mark_ahead_of_the_journal_is_found(self, closed: Path, mark: Path) -> None:
        high_water_mark = HighWaterMark(mark)
        marked = high_water_mark.read()
        assert marked is not None
        high_water_mark.write(marked.journal_id, 37)
        high_water_mark.close()
        assert damages_of(closed) == ["mark: the journal ends at position 36, but 37 was acknowledged"]

    def test_the_mark_of_another_journal_says_nothing(self, closed: Path, mark: Path) -> None:
        high_water_mark = HighWaterMark(mark)
        high_water_mark.write(b"another.", 1_000)
        high_water_mark.close()
        assert damages_of(closed) == []

    def test_a_journal_needs_no_mark(self, closed: Path, mark: Path) -> None:
        mark.unlink()
        assert damages_of(closed) == []
