"""Opening a journal file: beside what others left behind, by another name, after kills and lost logs."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from calliope import CorruptJournalError, Journal, UntypedEvent
from calliope.stores.page_checksums import VFS_NAME
from calliope.stores.sqlite import Durability
from calliope.stores.sqlite_connection import close_quietly, connected
from calliope.verification import verify_journal

pytestmark = pytest.mark.anyio

EVENT = UntypedEvent("t", {"note": "x" * 100})


async def persist(path: Path, count: int, durability: Durability = "full") -> None:
    async with Journal.open(path, durability=durability) as journal:
        for _ in range(count):
            await journal.event_stream("s", UntypedEvent).persist(EVENT)


async def count_of(path: Path) -> int:
    async with Journal.open(path) as journal:
        return len(await journal.event_stream("s", UntypedEvent).query().run_collect())


async def killed(path: Path, count: int, durability: Durability = "full") -> None:
    """Make a journal go on as if its process had been killed after so many further events."""
    folder = path.parent / "of the killed"
    folder.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copy(file, folder / file.name)
    async with Journal.open(folder / path.name, durability=durability) as journal:
        for _ in range(count):
            await journal.event_stream("s", UntypedEvent).persist(EVENT)
        for file in folder.iterdir():
            shutil.copy(file, path.parent / file.name)
    shutil.rmtree(folder)


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")


def contents(folder: Path) -> dict[str, bytes]:
    """Return what is in a folder, but for empty files and the index of a log, which is made anew at any time."""
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.endswith("-shm")]
    return {file.name: file.read_bytes() for file in files if file.stat().st_size}


async def refused(opening: Callable[[], Awaitable[object]], path: Path, complaint: str) -> None:
    before = contents(path.parent)
    with pytest.raises(CorruptJournalError, match=complaint) as raised:
        await opening()
    assert str(path) in str(raised.value)
    assert contents(path.parent) == before, "what is left is evidence"


class TestWhatAnotherFileLeft:
    @pytest.mark.parametrize("main", ["missing", "empty"])
    @pytest.mark.parametrize("suffix", ["-wal", "-mark"])
    async def test_a_log_or_a_mark_without_its_journal_is_refused(self, tmp_path: Path, suffix: str, main: str):
        """The journal was lost or deleted: a new one would throw away what its log holds, or hide that it is gone."""
        path = tmp_path / "j.db"
        await killed(path, 3)
        left = beside(path, suffix).read_bytes()
        for part in ("", "-wal", "-shm", "-mark"):
            beside(path, part).unlink()
        beside(path, suffix).write_bytes(left)
        if main == "empty":
            path.touch()
        await refused(lambda: count_of(path), path, f"{suffix} was left by a journal that is")
        beside(path, suffix).unlink()
        assert await count_of(path) == 0

    async def test_the_index_of_a_log_alone_says_nothing(self, tmp_path: Path):
        path = tmp_path / "j.db"
        await killed(path, 3)
        for suffix in ("", "-wal", "-mark"):
            beside(path, suffix).unlink()
        await persist(path, 2)
        assert await count_of(path) == 2

    async def test_a_log_with_the_mark_of_another_journal_is_refused(self, tmp_path: Path):
        """SQLite would lay the pages of the one journal over those of the other."""
        (tmp_path / "other").mkdir()
        path, other = tmp_path / "j.db", tmp_path / "other" / "j.db"
        await persist(path, 5)
        await killed(other, 3)
        for suffix in ("-wal", "-shm", "-mark"):
            shutil.copy(beside(other, suffix), beside(path, suffix))
        await refused(lambda: count_of(path), path, "-wal seems to be of another journal, as j.db-mark is")
        for suffix in ("-wal", "-shm"):
            beside(path, suffix).unlink()
        assert await count_of(path) == 5, "a mark alone is only out of date"


class TestAnotherName:
    async def test_a_link_and_its_target_are_one_journal(self, tmp_path: Path):
        (tmp_path / "real").mkdir()
        target, link = tmp_path / "real" / "j.db", tmp_path / "link.db"
        await persist(target, 1)
        link.symlink_to(target)
        async with Journal.open(target) as one, Journal.open(link) as other:
            for number in range(2, 8):
                writer, reader = (one, other) if number % 2 else (other, one)
                reply = await writer.event_stream("s", UntypedEvent).persist(EVENT, expected_version=number - 1)
                assert reply.sequence_number == number
                assert await reader.event_stream("s", UntypedEvent).version() == number
            assert verify_journal(link).event_count == 7
        assert list(contents(tmp_path)) == ["link.db"], "what belongs to it stands beside the file"
        assert verify_journal(link) == verify_journal(target)

    async def test_what_was_acknowledged_under_one_name_is_missed_under_the_other(self, tmp_path: Path):
        (tmp_path / "real").mkdir()
        target, link = tmp_path / "real" / "j.db", tmp_path / "link.db"
        await persist(target, 1)
        link.symlink_to(target)
        await persist(link, 3)
        await killed(target, 3)
        beside(target, "-wal").unlink()
        for path in (link, target):
            await refused(lambda path=path: count_of(path), target, "ends at position 4, but 7 was acknowledged")
            assert not verify_journal(path).is_whole


class TestAfterAKill:
    @pytest.mark.parametrize("first", ["full", "relaxed"])
    @pytest.mark.parametrize("second", ["full", "relaxed"])
    async def test_everything_is_there_whatever_the_durability_was(
        self, tmp_path: Path, first: Durability, second: Durability
    ):
        path = tmp_path / "j.db"
        for number, durability in enumerate((first, second, first), start=1):
            await killed(path, 3, durability)
            assert verify_journal(path).damages == []
            async with Journal.open(path, durability=second) as journal:
                assert await journal.event_stream("s", UntypedEvent).version() == 3 * number

    async def test_what_was_relaxed_may_be_lost_and_is_not_missed(self, tmp_path: Path):
        path = tmp_path / "j.db"
        await persist(path, 2)
        await killed(path, 3, "relaxed")
        beside(path, "-wal").unlink()
        assert verify_journal(path).damages == []
        assert await count_of(path) == 2

    async def test_what_was_acknowledged_before_is_missed_also_by_who_is_relaxed(self, tmp_path: Path):
        path = tmp_path / "j.db"
        await killed(path, 3)
        beside(path, "-wal").unlink()
        await refused(lambda: persist(path, 1, "relaxed"), path, "ends at position 0, but 3 was acknowledged")


@pytest.mark.parametrize("durable", [True, False])
def test_syncs_reach_the_disk_where_the_system_has_a_name_for_that(tmp_path: Path, durable: bool):
    """On macOS an ordinary sync ends in the disk's cache."""
    connection = connected(tmp_path / "j.db", VFS_NAME, durable=durable, create=True)
    assert connection.pragma("fullfsync") == durable
    assert connection.pragma("checkpoint_fullfsync") == durable
    close_quietly(connection)
