"""The parts that the replicator keeps its keys in: what is stored where, what is forgotten, what is logged."""

import logging

import pytest

from calliope.stores.memory import MemoryStore
from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import Item, Versioned
from crdts import GCounter, ORSet, VersionVector
from replication.errors import MalformedStateError
from replication.key_state import KeyState
from replication.log_stretches import STRETCH_BYTES, LogStretches
from replication.operations_behind import Behind, OperationsBehind
from replication.quarantine import QUIET_SECONDS, Quarantine
from replication.stored_keys import BITS_A_KEY, FIRST_LAYER_BITS, StoredKeys
from replication.version_token import VersionToken


def behind(position, key="k", payload=b"x"):
    change = Versioned(key, "a~1", position, {}, 1, None, (), {}, (Item("GCounter", 1, payload),))
    return Behind(position, "a~1", position, change)


async def scanned(keys):
    store = MemoryStore()
    await store.save_states([StoredState(key, "GCounter", b"") for key in keys])
    stored_keys = StoredKeys()
    await stored_keys.scan(store)
    return stored_keys


def test_until_all_stored_keys_are_known_any_key_may_be_among_them():
    assert StoredKeys().may_hold("anything")


@pytest.mark.anyio
async def test_every_stored_key_may_be_held_and_few_others():
    stored_keys = await scanned([f"stored-{number}" for number in range(2_500)])
    stored_keys.add("later")
    assert all(stored_keys.may_hold(f"stored-{number}") for number in range(2_500))
    assert stored_keys.may_hold("later")
    assert sum(stored_keys.may_hold(f"other-{number}") for number in range(2_500)) < 50


@pytest.mark.anyio
async def test_more_keys_than_were_thought_of_are_told_apart():
    stored_keys = await scanned([])
    count = 2 * FIRST_LAYER_BITS // BITS_A_KEY
    for number in range(count):
        stored_keys.add(f"stored-{number}")
        stored_keys.add(f"stored-{number}")
    assert all(stored_keys.may_hold(f"stored-{number}") for number in range(0, count, 100))
    assert sum(stored_keys.may_hold(f"other-{number}") for number in range(2_500)) < 100


def test_operations_behind_are_counted_by_key_and_in_all():
    operations = OperationsBehind()
    for position, key in enumerate(["k", "l", "k", "k"], 1):
        operations.add(behind(position, key))
    whole = operations.byte_count
    assert (sorted(operations), operations.first_position("k")) == (["k", "l"], 1)
    assert operations.bytes_of("k") == 3 * operations.bytes_of("l") == whole * 3 // 4
    operations.drop("k", 2)
    assert [change.position for change in operations.of("k")] == [4]
    assert operations.byte_count == whole // 2
    operations.drop("k", 1)
    operations.drop("k", 0)
    operations.drop("l", 1)
    assert (len(operations), operations.byte_count, operations.of("k")) == (0, 0, [])


def test_a_stretch_of_the_log_is_forgotten_when_all_of_it_is_stable():
    stretches = LogStretches(10, VersionVector({"a~1": 5}))
    for number in range(6, 10):
        stretches.add("a~1", number, STRETCH_BYTES)
        stretches.extend(number + 5)
    everything = VersionVector({"a~1": 9})
    assert stretches.forgettable(VersionVector({"a~1": 4}), 100, 0) == 0
    assert stretches.forgettable(VersionVector({"a~1": 5}), 100, 0) == 10
    assert stretches.forgettable(VersionVector({"a~1": 7}), 100, 0) == 12
    assert stretches.forgettable(everything, 100, 0) == 14
    assert stretches.forgettable(everything, 13, 0) == 13
    assert stretches.forgettable(everything, 100, 2 * STRETCH_BYTES) == 12
    assert stretches.forgettable(everything, 100, 4 * STRETCH_BYTES) == 10
    stretches.forget(12)
    assert stretches.forgettable(everything, 100, 2 * STRETCH_BYTES) == 0
    assert stretches.forgettable(everything, 100, 0) == 14


def test_one_line_a_minute_is_logged_of_what_cannot_be_read(caplog):
    now = 0.0
    quarantine = Quarantine(lambda: now)
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            quarantine.add("a~1", 7, "key\n", ValueError("odd"))
        now = QUIET_SECONDS
        quarantine.add("a~1", 8, "key", ValueError("odd"))
    assert quarantine.count == 11
    assert [record.args[3] for record in caplog.records] == [1, 11]
    assert r"'key\n'" in caplog.records[0].getMessage()


def test_a_stored_key_reads_back():
    state = KeyState("k", "a~1")
    state.typed("ORSet").prepare(lambda value: value.add("x"))
    assert state.is_empty
    assert state.is_promised
    source = GCounter("b~1")
    change = Versioned("k", "b~1", 1, {}, 1, None, (), {}, (Item("GCounter", 1, source.increment().payload),))
    assert state.apply(change, "b~1", 3)
    assert not state.apply(change, "b~1", 3)
    again = KeyState.load("k", "c~1", state.store())
    assert (again.type_name, again.entries, again.types["GCounter"].shown.value) == ("GCounter", {"b~1": 3}, 1)
    assert "ORSet" not in again.types


def test_a_state_of_a_type_that_is_not_known_here_is_kept_as_it_is():
    state = KeyState("k", "a~1")
    source = ORSet("b~1")
    change = Versioned("k", "b~1", 1, {}, 1, None, (), {}, (Item("ORSet", 1, source.add(1).payload),))
    state.apply(change, "b~1", 1)
    stored = state.store()
    unknown = StoredState("k", "ORSot", stored.body.replace(b"\xa5ORSet", b"\xa5ORSot"))
    loaded = KeyState.load("k", "a~1", unknown)
    assert loaded.type_name == "ORSot"
    assert loaded.current is None
    assert loaded.store() == unknown
    fresh = KeyState("k", "a~1")
    fresh.merge(loaded)
    assert fresh.store() == unknown
    with pytest.raises(MalformedStateError, match="no CRDT type"):
        fresh.merge(loaded)


@pytest.mark.parametrize("number", [-1, 1.5, "1", None], ids=repr)
def test_a_token_has_a_number(number):
    with pytest.raises((TypeError, ValueError)):
        VersionToken("a~1", number)
