"""Following keys: updates, and waiting until they are what one waits for."""

import anyio
import pytest

from calliope.errors import JournalClosedError
from crdts import GCounter, ORSet
from tests.unit.replication.replicators import exchange, running, two_replicas, value_of

pytestmark = pytest.mark.anyio


async def settle():
    await anyio.wait_all_tasks_blocked()


async def increment(replica, n=1):
    await replica.replicator.update("visits", GCounter, lambda visits: visits.increment(n))


async def test_updates_begin_with_the_current_value():
    async with running() as a:
        await increment(a, 5)
        update = await a.replicator.updates("visits").run_first()
        assert (update.key, update.value.value, update.origin) == ("visits", 5, None)


async def test_each_change_is_told_of_with_who_made_it():
    async with two_replicas() as (a, b):
        seen = []
        await increment(a)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                a.replicator.updates("visits").run_for_each,
                lambda update: seen.append((update.value.value, update.origin)),
            )
            await settle()
            await increment(a)
            await settle()
            await increment(b, 10)
            await exchange(b, a)
            await settle()
            tasks.cancel_scope.cancel()
        assert seen == [(1, None), (2, "a"), (12, "b")]


async def test_updates_of_an_unknown_key_begin_when_it_appears():
    async with running() as a:
        seen = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                a.replicator.updates("visits").run_for_each, lambda update: seen.append(update.value.value)
            )
            await settle()
            await a.replicator.get("visits", GCounter)
            await settle()
            assert seen == []
            await increment(a)
            await settle()
            tasks.cancel_scope.cancel()
        assert seen == [1]


async def test_a_slow_reader_is_told_the_newest_value_and_holds_up_nobody():
    async with running() as a:
        seen, slow = [], anyio.Event()

        async def read(update):
            seen.append(update.value.value)
            await slow.wait()

        await increment(a)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.replicator.updates("visits").run_for_each, read)
            await settle()
            for _ in range(50):
                await increment(a)
            slow.set()
            await settle()
            tasks.cancel_scope.cancel()
        assert seen == [1, 51]


async def test_the_value_of_an_update_is_independent():
    async with running() as a:
        await increment(a)
        update = await a.replicator.updates("visits").run_first()
        update.value.increment(10)
        assert await value_of(a, "visits", GCounter) == 1
        await a.replicator.update("visits", update.value)
        assert await value_of(a, "visits", GCounter) == 11


async def test_who_stops_following_is_forgotten():
    async with running() as a:
        await increment(a)
        await a.replicator.updates("visits").take(1).run_drain()
        await a.replicator.wait_until("visits", lambda visits: visits.value)
        assert a.replicator._keys.watches._watches == {}


async def test_waiting_ends_when_the_predicate_is_true_and_asks_it_only_after_changes():
    async with two_replicas() as (a, b):
        asked, got = [], []

        async def wait():
            def is_enough(visits):
                asked.append(visits.value)
                return visits.value >= 3

            got.append(await b.replicator.wait_until("visits", is_enough))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            for _ in range(3):
                await settle()
                await increment(a)
                await exchange(a, b)
        assert asked == [1, 2, 3]
        assert got[0].value == 3


async def test_waiting_for_what_is_so_already_returns_at_once():
    async with running() as a:
        await increment(a)
        value = await a.replicator.wait_until("visits", lambda visits: visits.value == 1, timeout=0)
        assert value.value == 1


async def test_waiting_ends_in_time():
    async with running() as a:
        with pytest.raises(TimeoutError, match="'visits'"):
            await a.replicator.wait_until("visits", lambda visits: True, timeout=0)


async def test_what_a_predicate_raises_ends_the_waiting():
    async with running() as a:
        await increment(a)
        with pytest.raises(ZeroDivisionError):
            await a.replicator.wait_until("visits", lambda visits: 1 / 0)


async def test_a_predicate_cannot_change_the_key():
    async with running() as a:
        await increment(a)
        await a.replicator.wait_until("visits", lambda visits: visits.increment(7))
        assert await value_of(a, "visits", GCounter) == 1


async def test_a_deletion_is_a_change():
    async with running() as a:
        await a.replicator.update("cart", ORSet, lambda cart: cart.add(1))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.replicator.wait_until, "cart", lambda cart: not cart.value)
            await settle()
            await a.replicator.delete("cart")


async def test_who_follows_when_the_replicator_ends_is_told():
    async with anyio.create_task_group() as tasks:
        told = []

        async def follow(replicator):
            try:
                await replicator.updates("visits").run_drain()
            except JournalClosedError:
                told.append(True)

        async with running() as a:
            tasks.start_soon(follow, a.replicator)
            await settle()
    assert told == [True]
