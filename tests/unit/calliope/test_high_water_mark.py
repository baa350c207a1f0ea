from pathlib import Path

import pytest

from calliope.errors import CorruptJournalError
from calliope.stores.high_water_mark import MARK_BYTES, HighWaterMark, Marked

JOURNAL_ID = b"journal8"


@pytest.fixture
def mark(tmp_path: Path):
    mark = HighWaterMark(tmp_path / "journal.db-mark")
    yield mark
    mark.close()


def test_a_mark_says_what_was_written_last(mark: HighWaterMark) -> None:
    assert mark.read() is None
    mark.write(JOURNAL_ID, 17)
    mark.write(JOURNAL_ID, 2**40, 3, 4_000, b"saltsalt")
    assert mark.read() == Marked(JOURNAL_ID, 2**40, 3, 4_000, b"saltsalt")
    assert mark.path.stat().st_size == MARK_BYTES


@pytest.mark.parametrize("content", [b"", bytes(MARK_BYTES)])
def test_a_mark_that_a_power_cut_emptied_says_nothing(mark: HighWaterMark, content: bytes) -> None:
    mark.path.write_bytes(content)
    assert mark.read() is None


def test_every_flipped_bit_and_every_cut_of_a_mark_is_noticed(mark: HighWaterMark) -> None:
    mark.write(JOURNAL_ID, 17)
    whole = mark.path.read_bytes()
    damaged = [
        bytes(byte ^ (1 << bit) if place == index else byte for place, byte in enumerate(whole))
        for index in range(len(whole))
        for bit in range(8)
    ]
    damaged += [whole[:size] for size in range(1, len(whole))] + [whole + b"x"]
    for content in damaged:
        mark.path.write_bytes(content)
        with pytest.raises(CorruptJournalError, match="does not match its checksum"):
            mark.read()


def test_a_mark_goes_on_after_it_was_closed(mark: HighWaterMark) -> None:
    mark.write(JOURNAL_ID, 1)
    mark.close()
    mark.close()
    mark.write(JOURNAL_ID, 2)
    assert mark.read() == Marked(JOURNAL_ID, 2)
