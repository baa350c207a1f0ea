"""Memory, checkpoints, restarts, and forgetting what all replicas hold."""

import gc

import anyio
import pytest
from anyio.lowlevel import checkpoint

from calliope.errors import StorageFullError
from calliope.stores.log_tail import LogTail
from calliope.stores.replica_store import StoredState
from crdts import RGA, GCounter, LWWMap, ORSet, VersionVector
from replication.checkpoints import CHECKPOINT_IDLE_SECONDS
from replication.errors import MalformedStateError
from tests.unit.replication.replicators import (
    EVERYTHING,
    NOTHING_SEEN,
    Peers,
    exchange,
    names,
    new_store,
    running,
    send,
    two_replicas,
    value_of,
    written,
)

pytestmark = pytest.mark.anyio


async def settle():
    await anyio.wait_all_tasks_blocked()


async def increment(replica, key="visits", n=1):
    await replica.replicator.update(key, GCounter, lambda visits: visits.increment(n))


async def turns_during(action):
    """Return how often another task has its turn while something is done."""
    turns = 0

    async def take_turns():
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_turns)
        await action()
        tasks.cancel_scope.cancel()
    return turns


def counters_in_memory():
    return sum(isinstance(each, GCounter) for each in gc.get_objects())


async def log_of(store):
    return (await store.read_log(have=NOTHING_SEEN, after=0, bytes_max=EVERYTHING)).entries


async def test_a_restart_goes_on_from_the_log():
    store = await new_store()
    async with running(store) as a:
        await increment(a)
    async with running(store) as again:
        await increment(again)
        assert await value_of(again, "visits", GCounter) == 2


async def test_a_restart_goes_on_from_states_and_the_log_behind_them():
    store = await new_store()
    async with running(store) as a:
        await increment(a)
        await a.replicator.checkpoint()
        await increment(a)
        await increment(a, "other")
    store._log.tail = LogTail(store.log_tail.position)  # what another process has written is not in the tail
    async with running(store) as again:
        assert store.checkpoint == 1
        await increment(again)
        assert await value_of(again, "visits", GCounter) == 3
        assert await value_of(again, "other", GCounter) == 1


async def test_states_are_stored_when_nothing_has_come_for_a_while():
    async with running() as a:
        await increment(a)
        await a.clock.advance(CHECKPOINT_IDLE_SECONDS / 2)
        await increment(a)
        await a.clock.advance(CHECKPOINT_IDLE_SECONDS * 0.9)
        assert a.store.checkpoint == 0
        await a.clock.advance(CHECKPOINT_IDLE_SECONDS * 2)
        await settle()
        assert a.store.checkpoint == 2
        assert len(a.replicator._keys.behind) == 0
        assert await value_of(a, "visits", GCounter) == 2


async def test_operations_behind_states_take_bounded_memory():
    async with running(behind_bytes_max=20_000) as a:
        highest = 0
        for number in range(300):
            await increment(a, f"key-{number % 150}")
            highest = max(highest, a.replicator._keys.behind.byte_count)
        assert 20_000 < highest < 42_000
        assert a.store.checkpoint > 0
        assert [await value_of(a, f"key-{number}", GCounter) for number in (0, 77, 149)] == [2, 2, 2]


async def test_more_entries_than_memory_holds_are_received():
    async with running(behind_bytes_max=20_000) as b:
        source = await new_store("a~01")
        async with running(source) as a:
            for number in range(300):
                await increment(a, f"key-{number % 150}")
        await send(source, b.store)
        assert await value_of(b, "key-149", GCounter) == 2
        assert b.replicator._keys.behind.byte_count < 42_000
        assert len(await names(b)) == 150


async def test_the_cache_is_bounded_by_number_and_by_bytes():
    async with running(cached_keys_max=5, cached_bytes_max=20_000) as a:
        for number in range(50):
            await increment(a, f"key-{number}")
            assert len(a.replicator._keys.cache) <= 5
        for number in range(5):
            await a.replicator.update(f"set-{number}", ORSet, lambda value: [value.add(n) for n in range(500)])
            await value_of(a, f"set-{number}", ORSet)
        assert len(a.replicator._keys.cache) < 5
        assert [await value_of(a, f"key-{number}", GCounter) for number in range(50)] == [1] * 50
        assert len(await value_of(a, "set-0", ORSet)) == 500


async def test_keys_that_grow_by_what_others_do_are_counted_as_they_grow():
    async with running(cached_bytes_max=60_000) as a, running(log_id="b~01") as b:
        for number in range(5):
            await value_of(a, f"text-{number}", LWWMap)
            await b.replicator.update(f"text-{number}", LWWMap, lambda value: value.assign("text", "x" * 20_000))
        await send(b.store, a.store)
        await settle()
        assert a.replicator.cached_keys == 2
        assert [key.key for key in a.replicator._keys.cache] == ["text-3", "text-4"]
        assert await value_of(a, "text-0", LWWMap) == {"text": "x" * 20_000}


async def test_keys_that_are_dropped_leave_memory_at_once_and_do_not_wait_for_the_garbage_collector():
    async with running(cached_keys_max=5) as a:
        await increment(a, "key-0")
        gc.disable()
        try:
            before = counters_in_memory()
            for number in range(1, 51):
                await increment(a, f"key-{number}")
            assert counters_in_memory() - before == 2 * (5 - 1)  # of each: what is shown, and what is promised
        finally:
            gc.enable()


async def test_keys_in_use_stay_in_the_cache():
    async with running(cached_keys_max=2) as a:
        for key in ("a", "b", "a", "c", "a"):
            await value_of(a, key, GCounter)
        loads = a.store.state_loads
        await value_of(a, "a", GCounter)
        assert a.store.state_loads == loads == 3


async def test_a_key_with_updates_under_way_stays_in_the_cache():
    async with running(cached_keys_max=1) as a:
        a.store.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(increment, a)
            await settle()
            for key in "abc":
                await value_of(a, key, GCounter)
            tasks.start_soon(increment, a)
            await settle()
            a.store.gate.set()
        assert await value_of(a, "visits", GCounter) == 2


async def test_a_key_that_is_about_to_be_updated_stays_in_the_cache():
    async with running(cached_keys_max=1) as a:
        a.store.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for key in "abab":
                tasks.start_soon(increment, a, key)
                await settle()
            a.store.gate.set()
        assert [await value_of(a, key, GCounter) for key in "ab"] == [2, 2]
        assert a.replicator.cached_keys == 1


async def test_keys_that_were_never_stored_are_not_looked_up_one_by_one():
    source = await new_store("a~01")
    async with running(source) as a:
        for number in range(100):
            await increment(a, f"key-{number}")
    async with running(log_id="b~01") as b:
        await send(source, b.store)
        await b.replicator.checkpoint()
        assert b.store.state_loads < 10
        await b.replicator.checkpoint()
        assert len(await b.store.states(limit=1_000)) == 100


async def large(replica):
    await replica.replicator.update("large", ORSet, lambda value: [value.add(n) for n in range(20_000)])
    await replica.replicator.checkpoint()


async def test_a_large_state_is_not_written_anew_for_a_small_change():
    async with running() as a:
        await large(a)
        before = (await a.store.load_state("large")).body
        checkpoint = a.store.checkpoint
        await increment(a)
        await a.replicator.update("large", ORSet, lambda value: value.add("news"))
        await increment(a)
        await a.clock.advance(CHECKPOINT_IDLE_SECONDS * 2)
        await settle()
        assert (await a.store.load_state("large")).body == before
        assert (await a.store.load_state("visits")) is not None
        assert a.store.checkpoint == checkpoint + 1  # the next is the operation that the state lacks
        store = a.store
    async with running(store) as again:
        assert len(await value_of(again, "large", ORSet)) == 20_001
        assert await value_of(again, "visits", GCounter) == 2


async def test_a_large_state_is_written_anew_in_the_end():
    async with running() as a:
        await large(a)
        await a.replicator.update("large", ORSet, lambda value: value.add("news"))
        checkpoints = a.replicator._checkpoints
        for _ in range(8):
            await checkpoints.checkpoint()
            assert "large" in a.replicator._keys.behind
        await checkpoints.checkpoint()
        assert "large" not in a.replicator._keys.behind
        assert a.store.checkpoint == a.store.log_tail.position


async def test_a_checkpoint_that_finds_no_room_is_made_later(caplog):
    async with running() as a:
        await increment(a)
        save, a.store.save_states = a.store.save_states, _no_room
        await a.clock.advance(CHECKPOINT_IDLE_SECONDS * 2)
        await settle()
        assert "no room" in caplog.text
        assert a.store.checkpoint == 0
        a.store.save_states = save
        await increment(a)
        await a.clock.advance(CHECKPOINT_IDLE_SECONDS * 2)
        await settle()
        assert a.store.checkpoint == 2


async def _no_room(states, *, checkpoint=None):
    raise StorageFullError("no room")


async def test_operations_that_come_while_states_are_stored_stay_behind():
    async with running() as a:
        await increment(a)
        save = a.store.save_states

        async def save_slowly(states, *, checkpoint=None):
            await increment(a)
            await save(states, checkpoint=checkpoint)

        a.store.save_states = save_slowly
        await a.replicator.checkpoint()
        a.store.save_states = save
        assert (a.store.checkpoint, len(a.replicator._keys.behind)) == (1, 1)
        a.replicator._keys.cache.clear()
        assert await value_of(a, "visits", GCounter) == 2


async def test_a_key_that_is_loaded_while_its_state_is_stored_lacks_nothing():
    async with running() as a:
        await increment(a)
        await a.replicator.checkpoint()
        await increment(a)
        a.replicator._keys.cache.clear()
        load = a.store.load_state

        async def load_slowly(key):
            stored = await load(key)
            a.store.load_state = load
            await a.replicator.checkpoint()
            return stored

        a.store.load_state = load_slowly
        assert await value_of(a, "visits", GCounter) == 2


async def test_operations_that_all_replicas_hold_are_forgotten_once_states_contain_them():
    stores = [await new_store(f"{name}~01") for name in "ab"]
    async with running(stores[0], agreement=Peers(*stores), log_kept_bytes=0) as a:
        for _ in range(3):
            await increment(a)
        await a.replicator.checkpoint()
        assert len(await log_of(a.store)) == 3
        await send(stores[0], stores[1])
        await increment(a)
        await a.replicator.compact()
        assert len(await log_of(a.store)) == 4  # the last stretch holds what is not stable yet
        await send(stores[0], stores[1])
        await a.replicator.checkpoint()
        assert await log_of(a.store) == []
        assert a.store.floor == VersionVector({"a~01": 4})
        assert await value_of(a, "visits", GCounter) == 4


async def test_the_newest_operations_stay_for_peers_that_are_a_little_behind():
    async with running(log_kept_bytes=10_000_000) as a:
        await increment(a)
        await a.replicator.checkpoint()
        assert len(await log_of(a.store)) == 1


async def test_what_was_there_before_a_restart_is_forgotten_too():
    store = await new_store()
    async with running(store) as a:
        await increment(a)
        await a.replicator.checkpoint()
    async with running(store, log_kept_bytes=100) as again:
        assert len(await log_of(store)) == 1
        await again.replicator.update("cart", ORSet, lambda cart: cart.add("x" * 200))
        await again.replicator.checkpoint()
        assert [entry.number for entry in await log_of(store)] == [2]
        assert await value_of(again, "visits", GCounter) == 1


async def test_states_are_folded_where_everything_to_come_has_seen_them():
    stores = {}

    def stable():
        return stores["a"].vector if "a" in stores else NOTHING_SEEN

    async with running(foldable=stable) as a:
        stores["a"] = a.store
        await a.replicator.update("text", RGA, lambda text: [text.append("x") for _ in range(50)])
        await a.replicator.update("text", RGA, lambda text: [text.delete(0) for _ in range(50)])
        held = await a.replicator.get("text", RGA)
        held.append("y")
        await a.replicator.checkpoint()
        folded = len((await a.store.load_state("text")).body)
        await a.replicator.update("text", held)
        assert await value_of(a, "text", RGA) == ["y"]
    async with running(log_id="b~01") as b:
        await b.replicator.update("text", RGA, lambda text: [text.append("x") for _ in range(50)])
        await b.replicator.update("text", RGA, lambda text: [text.delete(0) for _ in range(50)])
        await b.replicator.checkpoint()
        assert folded < len((await b.store.load_state("text")).body)


async def test_a_key_is_not_folded_while_one_of_its_operations_is_not_stable():
    async with two_replicas(foldable=lambda: VersionVector({"a~01": 1})) as (a, b):
        await a.replicator.update("last", LWWMap, lambda value: value.assign("k", 1))
        await b.replicator.update("last", LWWMap, lambda value: value.remove("k"))
        await exchange(a, b)
        await a.replicator.checkpoint()
        state = await a.replicator._keys.look("last")
        assert state.types["LWWMap"].shown.stable_version == NOTHING_SEEN


async def test_a_replica_that_is_new_takes_states_over():
    async with two_replicas() as (a, b):
        for number in range(30):
            await increment(a, f"key-{number:02}", n=number)
        await a.replicator.delete("key-07")
        await a.replicator.checkpoint()
        await increment(a, "key-03")
        await increment(a, "later")
        await increment(b, "key-04", n=100)
        cut = a.store.vector
        after, complete, pages = "", False, 0
        while not complete:
            states, after, complete = await a.replicator.export_states(after, 500)
            await b.replicator.merge_states(states)
            pages += 1
        await b.replicator.install(cut)
        assert pages > 3
        assert await names(b) == await names(a)
        assert (await value_of(b, "key-03", GCounter), await value_of(b, "key-04", GCounter)) == (4, 104)
        await exchange(a, b)
        assert await value_of(a, "key-04", GCounter) == 104
        assert "key-07" not in await names(b)
        store = b.store
    async with running(store) as again:
        assert await value_of(again, "key-29", GCounter) == 29


async def test_states_contain_what_came_after_the_last_checkpoint():
    async with running() as a:
        await increment(a)
        await a.replicator.checkpoint()
        await increment(a)
        states, after, complete = await a.replicator.export_states("", 10**6)
        assert ([state.key for state in states], after, complete) == (["visits"], "visits", True)
    async with running(log_id="b~01") as b:
        await b.replicator.merge_states(states)
        assert await value_of(b, "visits", GCounter) == 2


async def test_nothing_to_export_is_one_empty_page():
    async with running() as a:
        assert tuple(await a.replicator.export_states("", 100)) == ([], "", True)


async def test_merged_states_are_told_to_those_who_follow_and_join_what_is_under_way():
    async with two_replicas() as (a, b):
        await increment(a, n=5)
        states = (await a.replicator.export_states("", 10**6)).states
        b.store.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(increment, b)
            tasks.start_soon(b.replicator.wait_until, "visits", lambda visits: visits.value == 6)
            await settle()
            await b.replicator.merge_states(states)
            assert await value_of(b, "visits", GCounter) == 5
            b.store.gate.set()


async def test_operations_that_states_contain_already_are_passed_over():
    async with two_replicas() as (a, b):
        await increment(a, n=5)
        await b.replicator.merge_states((await a.replicator.export_states("", 10**6)).states)
        await send(a.store, b.store)
        assert await value_of(b, "visits", GCounter) == 5
        assert b.replicator.quarantined == 0


@pytest.mark.parametrize(
    "bad",
    [
        StoredState("k", "GCounter", b""),
        StoredState("k", "GCounter", b"\xc1"),
        StoredState("k", "GCounter", b"\x94\x01\x80\x91\x94\xa8GCounter\xc4\x01\x00\xc0\xc0\x90"),
        StoredState("", "GCounter", b""),
        StoredState("a\0b", "GCounter", b""),
    ],
    ids=["empty", "garbage", "garbage inside", "no key", "bad key"],
)
async def test_a_malformed_state_refuses_the_whole_chunk(bad):
    async with two_replicas() as (a, b):
        await increment(a)
        good = (await a.replicator.export_states("", 10**6)).states
        with pytest.raises(MalformedStateError):
            await b.replicator.merge_states([*good, bad])
        assert await names(b) == []
        await increment(b)


async def test_what_could_not_be_read_is_kept_through_checkpoints_and_handed_on():
    async with two_replicas() as (a, b):
        source = ORSet("x~01")
        first, odd = source.add("milk"), source.add("bread")
        original, odd.type_name = odd.type_name, "NoSuchType"
        await a.store.receive([written("cart", first), written("cart", odd, number=2)])
        await a.replicator.checkpoint()
        a.replicator._keys.cache.clear()
        assert await value_of(a, "cart", ORSet) == {"milk"}
        await b.replicator.merge_states((await a.replicator.export_states("", 10**6)).states)
        assert await names(b) == ["cart"]
        (unread,) = (await b.replicator._keys.look("cart")).unread
        assert (unread.writer, unread.counter, unread.items[0].type_name) == ("x~01", 2, "NoSuchType")
        assert original == "ORSet"


async def test_operations_that_come_before_the_states_they_build_on_wait_for_them():
    async with two_replicas() as (a, b):
        await increment(a)
        states = (await a.replicator.export_states("", 10**6)).states
        await increment(a)
        await b.store.install_snapshot(VersionVector({"a~01": 1}))
        await send(a.store, b.store)
        assert await value_of(b, "visits", GCounter) == 0
        await b.replicator.merge_states(states)
        assert await value_of(b, "visits", GCounter) == 2


async def test_states_of_others_are_taken_over_while_others_have_their_turn():
    async with running() as a, running(log_id="b~01") as b:
        for number in range(500):
            await increment(a, f"key-{number:03}")
        exported = await a.replicator.export_states("", EVERYTHING)
        assert len(exported.states) == 500
        assert await turns_during(lambda: b.replicator.merge_states(exported.states)) > 10
        await increment(b, "key-000")
        assert await value_of(b, "key-000", GCounter) == 2
        assert await names(b) == await names(a)


async def test_states_are_stored_while_others_have_their_turn():
    async with running() as a:
        for number in range(500):
            await increment(a, f"key-{number:03}")
        assert await turns_during(a.replicator.checkpoint) > 5
        assert len(a.replicator._keys.behind) == 0
