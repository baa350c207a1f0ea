"""What is special about a replica that lives in an SQLite file: damage, failed commits, and other processes."""

from pathlib import Path

import anyio
import apsw
import pytest

from calliope.errors import CorruptJournalError, CorruptRecordError, StorageFullError
from calliope.stores import sqlite_writer
from calliope.stores.page_checksums import VFS_NAME
from calliope.stores.replica_store import StoredState
from calliope.stores.sqlite import SqliteStore
from calliope.stores.versioned import log_entry
from calliope.testing.everything import everything
from calliope.testing.replica_contract import NOTHING, entries_of, events, operations, whole_log
from calliope.testing.requests import append_of, writing_of
from crdts import VersionVector
from tests.integration.faulty_file_layer import NO_FAULT, Fault, FaultyFileLayer, fill_disk

pytestmark = pytest.mark.anyio

FOR_EVER = 10**9
PATIENCE_SECONDS = 20.0


def _change(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path), vfs=VFS_NAME)
    connection.execute(sql)
    connection.close()


async def test_a_damaged_entry_is_not_handed_out(tmp_path: Path, anyio_backend: str):
    path = tmp_path / "journal.db"
    store = await SqliteStore.open(path)
    await store.receive(entries_of("paris~1", 1, 2, 3))
    await store.aclose()
    _change(path, "UPDATE log_entry SET checksum = checksum + 1 WHERE number = 2")
    store = await SqliteStore.open(path)
    try:
        page = await store.read_log(have=NOTHING, after=0, bytes_max=1_000_000)
        assert ([entry.number for entry in page.entries], page.through, page.complete) == ([1], 1, False)
        with pytest.raises(CorruptRecordError, match="entry 2 of log 'paris~1', at log position 2, is damaged"):
            await store.read_log(have=NOTHING, after=page.through, bytes_max=1_000_000)
        page = await store.read_log(have=VersionVector({"paris~1": 2}), after=0, bytes_max=1_000_000)
        assert [entry.number for entry in page.entries] == [3], "who has it may go on"
    finally:
        await store.aclose()


async def test_a_damaged_state_is_not_handed_out(tmp_path: Path, anyio_backend: str):
    path = tmp_path / "journal.db"
    store = await SqliteStore.open(path)
    await store.save_states([StoredState("a", "GCounter", b"1"), StoredState("b", "GCounter", b"2")])
    await store.aclose()
    _change(path, "UPDATE crdt_state SET type_name = 'ORSet' WHERE key = 'b'")
    store = await SqliteStore.open(path)
    try:
        assert await store.load_state("a") == StoredState("a", "GCounter", b"1")
        with pytest.raises(CorruptJournalError, match="the state of key 'b' does not match its checksum"):
            await store.load_state("b")
        with pytest.raises(CorruptJournalError):
            await store.states(limit=10)
        assert len(await store.states(limit=10, bodies=False)) == 2
    finally:
        await store.aclose()


async def test_a_failed_commit_changes_nothing(tmp_path: Path, anyio_backend: str):
    layer = FaultyFileLayer()
    store = await SqliteStore.open(tmp_path / "journal.db", vfs=layer.vfs)
    try:
        await store.use_log("berlin~1")
        await store.append_operations([operations(1)])
        await store.append_replicated(append_of("s", b"1", kind="replicated"), writing_of())
        before = (
            store.log_id,
            store.vector,
            store.floor,
            store.checkpoint,
            store.log_tail.position,
            store.tail.position,
        )
        layer.fault = Fault(1, fill_disk, FOR_EVER, lambda call: call.kind == "write")
        writes = [
            lambda: store.append_operations([operations(2)]),
            lambda: store.append_replicated(append_of("s", b"2", kind="replicated"), writing_of()),
            lambda: store.receive([*entries_of("paris~1", 1), log_entry("rome~1", 1, "events", [events()])]),
            lambda: store.save_states([StoredState("k", "GCounter", b"1")], checkpoint=1),
            lambda: store.install_snapshot(VersionVector({"vienna~1": 7})),
            lambda: store.use_log("berlin~2"),
        ]
        for write in writes:
            with pytest.raises(StorageFullError):
                await write()
        after = (
            store.log_id,
            store.vector,
            store.floor,
            store.checkpoint,
            store.log_tail.position,
            store.tail.position,
        )
        assert after == before
        layer.fault = NO_FAULT
        for write in writes:
            await write()
        assert store.vector == {"berlin~1": 4, "paris~1": 1, "rome~1": 1, "vienna~1": 7}
        assert [entry.number for entry in await whole_log(store) if entry.log_id == "berlin~1"] == [1, 2, 3, 4]
        assert [record.payload for record in await everything(store)] == [b"1", b"2", b"\xa7paris 1"]
        assert (await store.stream_version("s")).to_dict() == {"berlin": 2, "paris": 1}
    finally:
        layer.fault = NO_FAULT
        await store.aclose()


async def test_what_is_too_much_for_the_tail_is_read_in_pages(
    tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite_writer, "FOREIGN_LOG_BYTES_MAX", 1_000)
    first, second = [await SqliteStore.open(tmp_path / "journal.db") for _ in range(2)]
    try:
        await first.use_log("berlin~1")
        for counter in range(1, 6):
            await first.append_operations([operations(counter, size=500)])
        with anyio.fail_after(PATIENCE_SECONDS):
            await second.log_tail.wait(0)
        assert (second.log_tail.position, second.vector) == (5, {"berlin~1": 5})
        assert not second.log_tail.covers(4)
        await second.append_operations([operations(6)])
        assert [position for position, _ in second.log_tail.after(5)] == [6]
        assert [entry.number for entry in await whole_log(second)] == [1, 2, 3, 4, 5, 6]
    finally:
        await first.aclose()
        await second.aclose()


async def test_two_processes_number_one_writer(tmp_path: Path, anyio_backend: str):
    first, second = [await SqliteStore.open(tmp_path / "journal.db") for _ in range(2)]
    try:
        for number in range(3):
            here = await first.append_replicated(append_of("s", kind="replicated"), writing_of("berlin"))
            there = await second.append_replicated(append_of("s", kind="replicated"), writing_of("paris"))
            assert here.records[0].version == {"berlin": number + 1}
            assert there.records[0].version == {"paris": number + 1}
            assert (len(here.concurrent), len(there.concurrent)) == (number, number + 1)
        assert first.log_id == second.log_id
        assert [entry.number for entry in await whole_log(first)] == [1, 2, 3, 4, 5, 6]
    finally:
        await first.aclose()
        await second.aclose()
