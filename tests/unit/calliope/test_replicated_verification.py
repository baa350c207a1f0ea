"""What makes a journal a replica is verified with it."""

from pathlib import Path

import apsw
import msgspec
import pytest

from calliope import Journal
from calliope.stores.page_checksums import VFS_NAME
from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import log_entry
from calliope.testing.replica_contract import entries_of, events, operations
from calliope.verification import verify_journal
from tests.unit.calliope.orders import ItemAdded, OrderEvent
from tests.unit.calliope.replicas import store_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A journal with entries of three logs, some forgotten, an event id that was used twice, and two states."""
    path = tmp_path / "journal.db"
    async with Journal.open(path) as journal:
        store = store_of(journal)
        await store.use_log("berlin~1")
        await store.append_operations([operations(1)])
        await journal.event_stream("s", OrderEvent).persist(ItemAdded("plain"))
        await store.receive([*entries_of("paris~1", 1, 2, 3, 4), log_entry("rome~1", 1, "events", [events()])])
        for replica_id in ("berlin", "vienna"):
            stream = journal.replicated_event_stream(f"of {replica_id}", OrderEvent, replica_id=replica_id)
            await stream.persist(ItemAdded("a"), event_id="id", tags="red")
        change = events("of berlin", writer="rome")
        named = msgspec.structs.replace(change, event_id="id")
        await store.receive([log_entry("rome~1", 2, "events", [named])])
        await store.save_states([StoredState("a", "GCounter", b"1"), StoredState("b", "GCounter", b"2")], checkpoint=3)
        await store.forget_operations(through=3)
    return path


def _change(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path), vfs=VFS_NAME)
    connection.execute(sql)
    connection.close()


async def test_a_whole_replica_is_whole(path: Path):
    assert verify_journal(path).damages == []


@pytest.mark.parametrize(
    ("sql", "where", "what"),
    [
        ("UPDATE log_entry SET body = x'90' WHERE position = 4", "log position 4", "entry 3 of log 'paris~1' does not"),
        ("DELETE FROM log_entry WHERE position = 4", "log 'paris~1'", "number 3 missing"),
        ("DELETE FROM log_entry WHERE log = 2", "log 'paris~1'", "numbers 3 to 4 missing"),
        ("UPDATE replica_log SET number = 2 WHERE log_id = 'paris~1'", "log 'paris~1'", "it ends at 2, but it holds 4"),
        ("DELETE FROM replica_log WHERE log_id = 'rome~1'", "log position 6", "is not in the journal"),
        ("UPDATE replica SET log_position = 3", "table replica", "ends at position 3"),
        ("UPDATE crdt_state SET body = x'00' WHERE key = 'b'", "state of key 'b'", "does not match its checksum"),
        ("UPDATE crdt_state SET key = 'c' WHERE key = 'b'", "state of key 'c'", "does not match its checksum"),
        (
            "UPDATE log_entry SET kind = 'events' WHERE position = 4",
            "log position 4",
            "entry 3 of log 'paris~1' does not",
        ),
        ("UPDATE log_entry SET number = 9 WHERE position = 5", "log 'paris~1'", "it ends at 4, but it holds 9"),
        ("UPDATE log_entry SET number = 9 WHERE position = 5", "log 'paris~1'", "numbers 4 to 8 missing"),
        ("UPDATE replica SET checkpoint = 99", "table replica", "contain the log up to 99, but it ends at"),
        ("DELETE FROM replica", "table replica", "it has 0 rows instead of one"),
        (
            "DELETE FROM stream_version WHERE writer LIKE 'vienna%'",
            "position 4",
            "its stream knows 0 events of",
        ),
        ("UPDATE stream_version SET counter = counter + 1", "table stream_version", "events account for 0"),
        ("UPDATE stream_version SET observed = x'c1'", "stream 'of berlin'", "had observed cannot be read"),
        ("DELETE FROM event_key WHERE stream = 4", "position 4", "leads elsewhere"),
    ],
)
async def test_what_is_damaged_is_named(path: Path, sql: str, where: str, what: str):
    _change(path, sql)
    damages = verify_journal(path).damages
    assert any(damage.place == where and what in damage.reason for damage in damages), damages
