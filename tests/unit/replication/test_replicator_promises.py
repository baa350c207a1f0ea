"""What the replicator promises at its edges: at a start, at its end, and about keys that cannot be read here."""

import anyio
import pytest

from calliope.errors import CorruptJournalError, JournalClosedError, StorageFullError
from calliope.flow.clock import ManualClock
from calliope.stores.versioned import Item, Versioned, log_entry
from crdts import GCounter, MalformedOperationError
from replication.replicator import Replicator
from replication.single_replica import SingleReplica
from replication.version_token import VersionToken
from tests.unit.replication.replicators import FaultyStore, Running, names, new_store, running, written

pytestmark = pytest.mark.anyio


async def store_with_counter(value: int) -> FaultyStore:
    """A store whose log has so many increments that no stored state contains."""
    store = await new_store()
    counter = GCounter("b~01")
    for number in range(1, value + 1):
        await store.receive([written("visits", counter.increment(), number=number)])
    return store


async def test_updates_begin_with_all_that_is_durable_also_before_the_log_was_followed():
    store = await store_with_counter(3)
    replicator = Replicator(store, SingleReplica(store), clock=ManualClock())  # nobody runs it yet
    with anyio.fail_after(5):
        update = await replicator.updates("visits").run_first()
    assert update.value.value == 3


class FullStore(FaultyStore):
    """A store that has room for entries, and none for states while it is full; its states may be damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.is_damaged = False

    async def save_states(self, states, *, checkpoint=None):
        if self.is_full:
            raise StorageFullError("no room")
        await super().save_states(states, checkpoint=checkpoint)

    async def states(self, **options):
        if self.is_damaged:
            raise CorruptJournalError("a page is damaged")
        return await super().states(**options)


async def increment(replica: Running, key: str) -> None:
    await replica.replicator.update(key, GCounter, lambda counter: counter.increment())


async def increment_for_ever(replica: Running, counted: list[str]) -> None:
    while True:
        await increment(replica, f"key {len(counted)}")
        counted.append(f"key {len(counted)}")


async def test_a_full_disk_stops_updates_before_memory_is_full_and_they_go_on_when_there_is_room(caplog):
    store = FullStore()
    await store.use_log("a~01")
    store.is_full = True
    async with running(store, behind_bytes_max=500) as a:
        counted: list[str] = []
        with pytest.raises(StorageFullError, match="no room"):
            await increment_for_ever(a, counted)
        assert 0 < len(counted) < 50
        store.is_full = False
        await increment(a, "more")
        assert (await a.replicator.get("more", GCounter)).value == 1
        assert (await a.replicator.get(counted[0], GCounter)).value == 1
        assert len(await names(a)) == len(counted) + 1
    assert any("no room" in record.getMessage() for record in caplog.records)


async def test_names_of_keys_that_cannot_be_read_are_reported_and_the_keys_still_served(caplog):
    store = FullStore()
    await store.use_log("a~01")
    store.is_damaged = True
    async with running(store) as a:
        await anyio.wait_all_tasks_blocked()
        await increment(a, "visits")
        assert (await a.replicator.get("visits", GCounter)).value == 1
        with pytest.raises(CorruptJournalError):
            await names(a)
    assert any("a page is damaged" in record.getMessage() for record in caplog.records)


class SlowStore(FaultyStore):
    """A store whose states take until they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = anyio.Event()
        self.answers = anyio.Event()

    async def load_state(self, key):
        self.asked.set()
        await self.answers.wait()
        return await super().load_state(key)


async def test_a_value_that_changed_while_it_was_read_is_told_of_once():
    store = SlowStore()
    await store.use_log("a~01")
    async with running(store) as a, anyio.create_task_group() as tasks:
        seen = []
        tasks.start_soon(a.replicator.updates("visits").run_for_each, lambda update: seen.append(update.value.value))
        await store.asked.wait()
        await store.receive([written("visits", GCounter("b~01").increment(7))])
        await anyio.wait_all_tasks_blocked()
        store.answers.set()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert seen == [7]


async def test_an_error_of_a_predicate_is_not_taken_for_the_time_that_has_passed():
    def predicate(counter: GCounter) -> bool:
        raise TimeoutError("the predicate's own")

    async with running() as a:
        await a.replicator.update("visits", GCounter, lambda counter: counter.increment())
        with pytest.raises(TimeoutError, match="the predicate's own"):
            await a.replicator.wait_until("visits", predicate)


async def test_who_waits_for_a_version_is_told_when_there_will_be_none():
    store = await new_store()
    replicator = Replicator(store, SingleReplica(store), clock=ManualClock())
    raised = []

    async def wait() -> None:
        with pytest.raises(JournalClosedError) as closed:
            await replicator.wait_until_version(VersionToken("b~01", 1))
        raised.append(closed.value)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as waiting, anyio.create_task_group() as tasks:
            tasks.start_soon(replicator.run)
            waiting.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert len(raised) == 1


async def test_a_key_that_cannot_be_read_here_is_not_deleted_and_that_is_said():
    store = await new_store()
    change = Versioned("cart", "b~01", 1, {}, 1, None, (), {}, (Item("NoSuchType", 1, b"x"),))
    await store.receive([log_entry("b~01", 1, "operations", [change])])
    async with running(store) as a:
        with anyio.fail_after(5), pytest.raises(MalformedOperationError, match="cart"):
            await a.replicator.delete("cart")
        assert await names(a) == ["cart"]


async def test_a_value_to_which_nothing_was_done_shows_nothing_that_may_still_fail():
    async with running() as a, anyio.create_task_group() as tasks:
        value = await a.replicator.get("visits", GCounter)
        a.store.gate = anyio.Event()
        tasks.start_soon(increment, a, "visits")
        await anyio.wait_all_tasks_blocked()
        await a.replicator.update("visits", value)
        shown = value.value
        a.store.gate.set()
    assert shown == 0


async def test_a_replica_that_moves_to_another_log_finishes_what_it_is_writing_in_the_first():
    async with running() as a:
        async with anyio.create_task_group() as tasks:
            a.store.gate = anyio.Event()
            tasks.start_soon(increment, a, "visits")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(a.replicator.use_log, "a~02")
            await anyio.wait_all_tasks_blocked()
            a.store.gate.set()
        await increment(a, "visits")
        assert a.replicator.quarantined == 0
        assert a.store.vector.to_dict() == {"a~01": 1, "a~02": 1}
        assert (await a.replicator.get("visits", GCounter)).value == 2
