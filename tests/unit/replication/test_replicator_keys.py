"""Listing and deleting keys, and keys that replicas gave different types."""

import pytest

from calliope.stores.replica_store import StoredState
from crdts import EWFlag, GCounter, LWWRegister, ORSet, PNCounter
from replication.errors import KeyTypeError
from tests.unit.replication.replicators import exchange, names, running, two_replicas, value_of

pytestmark = pytest.mark.anyio


async def add(replica, key, element=1):
    await replica.replicator.update(key, ORSet, lambda value: value.add(element))


async def test_keys_are_listed_in_order_and_by_prefix():
    async with running() as a:
        for key in ["b/2", "a", "b/1", "c", "b"]:
            await add(a, key)
        assert await names(a) == ["a", "b", "b/1", "b/2", "c"]
        assert await names(a, "b/") == ["b/1", "b/2"]
        assert await names(a, "x") == []


async def test_keys_in_stored_states_and_behind_them_are_listed_once():
    async with running() as a:
        for key in ["b", "d", "f"]:
            await add(a, key)
        await a.replicator.checkpoint()
        for key in ["a", "b", "c", "f", "g"]:
            await add(a, key)
        await a.replicator.delete("d")
        assert await names(a) == ["a", "b", "c", "f", "g"]
        await a.replicator.checkpoint()
        assert await names(a) == ["a", "b", "c", "f", "g"]


async def test_more_keys_than_a_page_are_listed():
    expected = sorted(f"key-{number}" for number in range(2_500))
    async with running() as a:
        for key in expected[::50]:
            await add(a, key)
        body = (await a.replicator.export_states("", 1)).states[0].body
        await a.store.save_states([StoredState(key, "ORSet", body) for key in expected if key not in expected[::50]])
        assert await names(a) == expected
        assert await a.replicator.keys().take(3).run_collect() == expected[:3]


async def test_a_key_that_was_only_asked_for_is_not_listed():
    async with running() as a:
        await a.replicator.get("a", ORSet)
        assert await names(a) == []


async def test_a_deleted_key_is_empty_and_not_listed_until_it_is_written_again():
    async with running() as a:
        await add(a, "cart")
        await a.replicator.delete("cart")
        assert await names(a) == []
        assert await value_of(a, "cart", ORSet) == set()
        await add(a, "cart", 2)
        assert await names(a) == ["cart"]
        assert await value_of(a, "cart", ORSet) == {2}


async def test_to_delete_what_is_not_there_writes_nothing():
    async with running() as a:
        await a.replicator.delete("cart")
        await add(a, "cart")
        await a.replicator.delete("cart")
        await a.replicator.delete("cart")
        assert len(a.store.commits) == 2


async def test_a_deleted_key_keeps_its_type():
    async with running() as a:
        await add(a, "cart")
        await a.replicator.delete("cart")
        with pytest.raises(KeyTypeError):
            await a.replicator.get("cart", GCounter)


async def test_a_deletion_reaches_other_replicas():
    async with two_replicas() as (a, b):
        await add(a, "cart")
        await exchange(a, b)
        assert await names(b) == ["cart"]
        await b.replicator.delete("cart")
        await exchange(a, b)
        assert await names(a) == await names(b) == []


@pytest.mark.parametrize(
    ("crdt_type", "write", "expected"),
    [
        (ORSet, lambda value: value.add("late"), {"late"}),
        (GCounter, lambda value: value.increment(7), 7),
        (PNCounter, lambda value: value.decrement(2), -2),
        (EWFlag, lambda value: value.enable(), True),
        (LWWRegister, lambda value: value.assign("late", timestamp=99), "late"),
    ],
)
async def test_an_update_concurrent_to_a_deletion_survives_everywhere(crdt_type, write, expected):
    async with two_replicas() as (a, b):
        await a.replicator.update("k", crdt_type, write)
        await exchange(a, b)
        await a.replicator.delete("k")
        await b.replicator.update("k", crdt_type, write)
        await exchange(a, b)
        assert await value_of(a, "k", crdt_type) == await value_of(b, "k", crdt_type) == expected
        assert await names(a) == await names(b) == ["k"]


async def test_deletions_survive_checkpoints_and_restarts():
    async with running() as a:
        await add(a, "cart")
        await add(a, "kept")
        await a.replicator.checkpoint()
        await a.replicator.delete("cart")
        await a.replicator.checkpoint()
    async with running(a.store) as again:
        assert await names(again) == ["kept"]
        await add(again, "cart", 2)
        assert await names(again) == ["cart", "kept"]


async def test_what_a_copy_was_cleared_of_does_not_hide_what_it_had_not_seen():
    async with running() as a:
        await add(a, "cart", "milk")
        cart = await a.replicator.get("cart", ORSet)
        await add(a, "cart", "bread")
        cart.clear()
        await a.replicator.update("cart", cart)
        assert await value_of(a, "cart", ORSet) == {"bread"}
        assert await names(a) == ["cart"]


async def in_conflict(a, b):
    await a.replicator.update("k", GCounter, GCounter.increment)
    await a.replicator.update("k", GCounter, GCounter.increment)
    await b.replicator.update("k", EWFlag, EWFlag.enable)
    await exchange(a, b)


async def test_of_two_types_the_first_in_the_alphabet_stays_on_all_replicas():
    async with two_replicas() as (a, b):
        await in_conflict(a, b)
        for replica in (a, b):
            assert await value_of(replica, "k", EWFlag) is True
            with pytest.raises(KeyTypeError) as caught:
                await replica.replicator.get("k", GCounter)
            assert caught.value.actual == "EWFlag"
        await b.replicator.update("k", EWFlag, EWFlag.disable)
        await exchange(a, b)
        assert await value_of(a, "k", EWFlag) is False


async def test_who_holds_a_value_of_the_other_type_is_told():
    async with two_replicas() as (a, b):
        await a.replicator.update("k", GCounter, GCounter.increment)
        held = await a.replicator.get("k", GCounter)
        held.increment()
        await b.replicator.update("k", EWFlag, EWFlag.enable)
        await exchange(a, b)
        with pytest.raises(KeyTypeError):
            await a.replicator.update("k", held)


async def test_the_other_type_is_kept_through_checkpoints_and_goes_with_a_deletion():
    async with two_replicas() as (a, b):
        await in_conflict(a, b)
        await a.replicator.checkpoint()
        state = await a.replicator._keys.look("k")
        assert state.types["GCounter"].shown.value == 2
        await b.replicator.delete("k")
        await exchange(a, b)
        assert await names(a) == await names(b) == []
        assert (await a.replicator._keys.look("k")).types["GCounter"].shown.value == 0


async def test_a_replica_that_learns_of_both_types_at_once_agrees():
    async with two_replicas() as (a, b), running(log_id="c~01") as c:
        await in_conflict(a, b)
        await exchange(a, c)
        assert await value_of(c, "k", EWFlag) is True
        with pytest.raises(KeyTypeError):
            await c.replicator.update("k", GCounter, GCounter.increment)


async def test_keys_are_listed_from_after_a_key_on_that_need_not_exist():
    async with running() as a:
        for key in ["a", "c", "e"]:
            await add(a, key)
        await a.replicator.checkpoint()
        for key in ["b", "f"]:
            await add(a, key)
        assert await a.replicator.keys(after="b").run_collect() == ["c", "e", "f"]
        assert await a.replicator.keys(after="d").run_collect() == ["e", "f"]
        assert await a.replicator.keys("e", after="e").run_collect() == []
        with pytest.raises(ValueError, match="after"):
            a.replicator.keys(after="\0")


async def test_the_keys_in_memory_are_counted():
    async with running(cached_keys_max=2) as a:
        assert a.replicator.cached_keys == 0
        for key in ["a", "b", "c"]:
            await add(a, key)
        assert a.replicator.cached_keys == 2
