"""Getting and updating keys of one replica."""

import anyio
import pytest

from calliope.errors import JournalClosedError, StorageError, StorageFullError
from calliope.stores.versioned import LogEntry, checksum_of
from crdts import BoundedCounter, GCounter, InsufficientRightsError, LWWRegister, ORMap, ORSet, PNCounter, VersionVector
from replication.errors import KeyTypeError, QuorumTimeoutError, ReplicationError, StaleValueError
from replication.version_token import VersionToken
from tests.unit.replication.replicators import Peers, exchange, new_store, running, two_replicas, value_of, written

pytestmark = pytest.mark.anyio


async def settle():
    await anyio.wait_all_tasks_blocked()


async def test_an_unknown_key_has_the_empty_value():
    async with running() as a:
        assert await value_of(a, "visits", GCounter) == 0
        assert await a.replicator.find("visits") is None
        assert a.store.commits == []


async def test_what_was_done_to_a_value_is_submitted_by_update():
    async with running() as a:
        visits = await a.replicator.get("visits", GCounter)
        visits.increment(5)
        assert await value_of(a, "visits", GCounter) == 0
        token = await a.replicator.update("visits", visits)
        assert token == VersionToken("a~01", 1)
        assert visits.value == await value_of(a, "visits", GCounter) == 5


async def test_a_value_is_updated_again_and_again():
    async with running() as a:
        cart = await a.replicator.get("cart", ORSet)
        for number in range(3):
            cart.add(number)
            await a.replicator.update("cart", cart)
        assert cart.value == await value_of(a, "cart", ORSet) == {0, 1, 2}


async def test_a_function_changes_the_current_value():
    async with running() as a:
        await a.replicator.update("cart", ORSet, lambda cart: cart.add("milk"))
        await a.replicator.update("cart", ORSet[str], lambda cart: [cart.remove("milk"), cart.add("bread")])
        assert await value_of(a, "cart", ORSet) == {"bread"}


async def test_nothing_done_writes_nothing():
    async with running() as a:
        assert await a.replicator.update("visits", await a.replicator.get("visits", GCounter)) == VersionToken(
            "a~01", 0
        )
        await a.replicator.update("visits", GCounter, lambda visits: None)
        assert a.store.commits == []


async def test_two_tasks_with_values_of_their_own_lose_nothing():
    async with running() as a:
        one, other = [await a.replicator.get("cart", ORSet) for _ in range(2)]
        one.add("milk")
        other.add("milk")
        other.add("bread")
        one.remove("milk")
        await a.replicator.update("cart", other)
        await a.replicator.update("cart", one)
        assert one.value == await value_of(a, "cart", ORSet) == {"milk", "bread"}


async def test_many_tasks_share_commits_and_lose_nothing():
    async with running() as a:

        async def count():
            for _ in range(20):
                await a.replicator.update("visits", GCounter, lambda visits: visits.increment())

        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(count)
        assert await value_of(a, "visits", GCounter) == 64 * 20
        assert len(a.store.commits) < 64


async def test_many_tasks_that_share_one_value_lose_nothing():
    async with running() as a:
        visits = await a.replicator.get("visits", GCounter)

        async def count():
            visits.increment()
            await a.replicator.update("visits", visits)

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(count)
        assert visits.value == await value_of(a, "visits", GCounter) == 20


async def test_one_update_of_many_operations_is_one_change():
    async with running() as a:
        await a.replicator.update("cart", ORSet, lambda cart: [cart.add(n) for n in range(20_000)])
        ((change,),) = a.store.commits
        assert (change.stream_id, change.writer, change.counter, len(change.items)) == ("cart", "a~01", 1, 20_000)


async def test_what_is_not_durable_is_not_shown():
    async with running() as a:
        a.store.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.replicator.update, "visits", GCounter, GCounter.increment)
            await settle()
            assert await value_of(a, "visits", GCounter) == 0
            a.store.gate.set()
        assert await value_of(a, "visits", GCounter) == 1


async def test_updates_are_prepared_on_what_is_promised():
    async with running() as a:
        a.store.gate = anyio.Event()
        seen = []

        def assign(register):
            seen.append(register.value)
            register.assign(len(seen))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(a.replicator.update, "last", LWWRegister, assign)
                await settle()
            a.store.gate.set()
        assert seen == [None, 1, 2]
        assert await value_of(a, "last", LWWRegister) == 3


async def test_a_failed_commit_leaves_state_and_value_as_before():
    async with running() as a:
        await a.replicator.update("cart", ORSet, lambda cart: cart.add("bread"))
        cart = await a.replicator.get("cart", ORSet)
        cart.add("milk")
        a.store.error = StorageFullError("no room")
        with pytest.raises(StorageFullError):
            await a.replicator.update("cart", cart)
        with pytest.raises(StorageFullError):
            await a.replicator.update("cart", ORSet, lambda cart: cart.add("beer"))
        assert cart.value == {"bread", "milk"}
        assert await value_of(a, "cart", ORSet) == {"bread"}
        a.store.error = None
        await a.replicator.update("cart", cart)
        assert await value_of(a, "cart", ORSet) == {"bread", "milk"}


async def test_what_was_prepared_on_a_commit_that_failed_fails_with_it():
    async with running() as a:
        a.store.gate, errors = anyio.Event(), []

        async def add(element):
            try:
                await a.replicator.update("cart", ORSet, lambda cart: cart.add(element))
            except StorageFullError as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(add, "milk")
            await settle()
            tasks.start_soon(add, "bread")
            await settle()
            a.store.error = StorageFullError("no room")
            a.store.gate.set()
        assert len(errors) == 2
        a.store.error = None
        await a.replicator.update("cart", ORSet, lambda cart: cart.add("beer"))
        assert await value_of(a, "cart", ORSet) == {"beer"}


async def test_a_commit_that_failed_without_a_known_outcome_is_read_back():
    async with running() as a:
        a.store.loses_replies = True
        with pytest.raises(StorageError):
            await a.replicator.update("visits", GCounter, lambda visits: visits.increment(5))
        a.store.loses_replies = False
        await a.replicator.update("visits", GCounter, lambda visits: visits.increment(2))
        assert await value_of(a, "visits", GCounter) == 7
        assert [changes[0].counter for changes in a.store.commits] == [1, 2]


async def test_a_cancelled_update_that_was_submitted_is_written_as_a_whole():
    async with running() as a:
        a.store.gate = anyio.Event()
        cart = await a.replicator.get("cart", ORSet)
        cart.add("milk")
        cart.add("bread")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.replicator.update, "cart", cart)
            await settle()
            tasks.cancel_scope.cancel()
        a.store.gate.set()
        cart.add("beer")
        await a.replicator.update("cart", cart)
        assert await value_of(a, "cart", ORSet) == cart.value == {"milk", "bread", "beer"}


async def test_a_function_that_raises_has_changed_nothing():
    async with running() as a:

        def fail(cart):
            cart.add("milk")
            raise RuntimeError("no milk")

        with pytest.raises(RuntimeError, match="no milk"):
            await a.replicator.update("cart", ORSet, fail)
        await a.replicator.update("cart", ORSet, lambda cart: cart.add("bread"))
        assert await value_of(a, "cart", ORSet) == {"bread"}


async def test_rights_are_not_spent_twice_by_updates_that_are_under_way():
    async with running() as a:
        await a.replicator.update("stock", BoundedCounter, lambda stock: stock.increment(3))
        a.store.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.replicator.update, "stock", BoundedCounter, lambda stock: stock.decrement(2))
            await settle()
            with pytest.raises(InsufficientRightsError):
                await a.replicator.update("stock", BoundedCounter, lambda stock: stock.decrement(2))
            a.store.gate.set()
        assert await value_of(a, "stock", BoundedCounter) == 1


async def test_a_function_must_be_a_plain_one():
    async with running() as a:

        async def add(cart):
            cart.add("milk")

        with pytest.raises(TypeError, match="plain function"):
            await a.replicator.update("cart", ORSet, add)
        with pytest.raises(TypeError, match="a function"):
            await a.replicator.update("cart", ORSet)
        assert await value_of(a, "cart", ORSet) == set()


async def test_a_function_must_not_take_operations_of_others_over():
    async with running() as a:
        other = GCounter("elsewhere")
        other.increment()
        with pytest.raises(ValueError, match="neither apply nor merge"):
            await a.replicator.update("visits", GCounter, lambda visits: visits.merge(other))
        assert await value_of(a, "visits", GCounter) == 0


async def test_a_value_that_a_function_let_escape_cannot_be_changed():
    async with running() as a:
        escaped = []
        await a.replicator.update("visits", GCounter, lambda visits: [visits.increment(), escaped.append(visits)])
        with pytest.raises(ReplicationError, match="had returned"):
            escaped[0].increment()
        await a.replicator.update("visits", GCounter, lambda visits: visits.increment())
        assert await value_of(a, "visits", GCounter) == 2


async def test_a_key_has_one_type():
    async with running() as a:
        await a.replicator.update("cart", ORSet, lambda cart: cart.add("milk"))
        for attempt in (
            a.replicator.get("cart", GCounter),
            a.replicator.update("cart", GCounter, GCounter.increment),
        ):
            with pytest.raises(KeyTypeError) as caught:
                await attempt
            assert (caught.value.key, caught.value.expected, caught.value.actual) == ("cart", "GCounter", "ORSet")


async def test_the_type_of_an_update_under_way_counts():
    async with running() as a:
        a.store.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.replicator.update, "k", ORSet, lambda value: value.add(1))
            await settle()
            with pytest.raises(KeyTypeError):
                await a.replicator.update("k", GCounter, GCounter.increment)
            a.store.gate.set()


@pytest.mark.parametrize("crdt_type", [int, "ORSet", None, ORSet("a")], ids=repr)
async def test_what_is_no_type_is_refused(crdt_type):
    async with running() as a:
        with pytest.raises(TypeError):
            await a.replicator.get("k", crdt_type)


@pytest.mark.parametrize("key", ["", "a\0b", "ü" * 257, "\ud800"], ids=ascii)
async def test_what_is_no_key_is_refused(key):
    async with running() as a:
        with pytest.raises(ValueError, match="key"):
            await a.replicator.get(key, ORSet)
        with pytest.raises(ValueError, match="key"):
            await a.replicator.update(key, ORSet, lambda cart: cart.add(1))
        with pytest.raises(ValueError, match="key"):
            a.replicator.updates(key)


async def test_only_values_that_were_handed_out_for_the_key_are_submitted():
    async with running() as a:
        with pytest.raises(ValueError, match="handed out"):
            await a.replicator.update("visits", GCounter("a~01"))
        visits = await a.replicator.get("visits", GCounter)
        visits.increment()
        with pytest.raises(ValueError, match="'visits'"):
            await a.replicator.update("other", visits)
        await a.replicator.update("visits", visits)


async def test_an_update_too_large_for_the_journal_is_refused_and_changes_nothing():
    async with running() as a:
        with pytest.raises(ValueError, match="at most"):
            await a.replicator.update("k", ORSet, lambda value: value.add("x" * 800_000))
        with pytest.raises(ValueError, match="at most"):
            await a.replicator.update("k", ORSet, lambda value: [value.add(n) for n in range(100_001)])
        await a.replicator.update("k", ORSet, lambda value: value.add(1))
        assert await value_of(a, "k", ORSet) == {1}


async def test_a_value_too_large_for_the_journal_is_refused_and_can_be_given_up():
    async with running() as a:
        value = await a.replicator.get("k", ORSet)
        value.add("x" * 800_000)
        with pytest.raises(ValueError, match="at most"):
            await a.replicator.update("k", value)
        assert await value_of(a, "k", ORSet) == set()
        await a.replicator.update("k", ORSet, lambda value: value.add(1))
        assert await value_of(a, "k", ORSet) == {1}


async def test_operations_of_others_are_shown():
    async with two_replicas() as (a, b):
        await a.replicator.update("cart", ORSet, lambda cart: cart.add("milk"))
        await exchange(a, b)
        await b.replicator.update("cart", ORSet, lambda cart: [cart.remove("milk"), cart.add("bread")])
        await a.replicator.update("cart", ORSet, lambda cart: cart.add("milk"))
        await exchange(a, b)
        assert await value_of(a, "cart", ORSet) == await value_of(b, "cart", ORSet) == {"milk", "bread"}


async def test_what_was_done_to_a_value_has_not_seen_what_came_since():
    async with two_replicas() as (a, b):
        await a.replicator.update("cart", ORSet, lambda cart: cart.add("milk"))
        cart = await a.replicator.get("cart", ORSet)
        await exchange(a, b)
        await b.replicator.update("cart", ORSet, lambda cart: cart.add("milk"))
        await exchange(a, b)
        cart.remove("milk")
        await a.replicator.update("cart", cart)
        await exchange(a, b)
        assert cart.value == await value_of(b, "cart", ORSet) == {"milk"}


async def test_updates_under_way_stay_so_when_operations_of_others_come():
    async with two_replicas() as (a, b):
        await b.replicator.update("n", PNCounter, lambda n: n.increment(10))
        a.store.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.replicator.update, "n", PNCounter, lambda n: n.decrement(1))
            await settle()
            await exchange(b, a)
            assert await value_of(a, "n", PNCounter) == 10
            tasks.start_soon(a.replicator.update, "n", PNCounter, lambda n: n.decrement(n.value))
            await settle()
            a.store.gate.set()
        assert await value_of(a, "n", PNCounter) == 0


async def test_a_quorum_read_shows_what_those_replicas_know():
    stores = [await new_store(f"{name}~01") for name in "abc"]
    async with running(stores[0], agreement=Peers(*stores)) as a, running(stores[1]) as b, running(stores[2]) as c:
        await b.replicator.update("visits", GCounter, GCounter.increment)
        await c.replicator.update("visits", GCounter, GCounter.increment)
        assert await value_of(a, "visits", GCounter) == 0
        assert (await a.replicator.get("visits", GCounter, replicas="majority")).value == 1
        assert (await a.replicator.get("visits", GCounter, replicas=3)).value == 2
        assert await value_of(a, "visits", GCounter) == 2


async def test_an_update_waits_for_as_many_replicas_as_were_asked_for():
    stores = [await new_store(f"{name}~01") for name in "abc"]
    async with running(stores[0], agreement=Peers(*stores)) as a:
        token = await a.replicator.update("visits", GCounter, GCounter.increment, replicas="all")
        assert [store.vector[token.log_id] for store in stores] == [1, 1, 1]


async def test_a_quorum_that_times_out_is_not_rolled_back():
    stores = [await new_store(f"{name}~01") for name in "abc"]
    peers = Peers(*stores)
    peers.silent = [stores[1], stores[2]]
    async with running(stores[0], agreement=peers) as a:
        visits = await a.replicator.get("visits", GCounter)
        visits.increment()
        with pytest.raises(QuorumTimeoutError) as caught:
            await a.replicator.update("visits", visits, replicas="majority")
        assert (caught.value.required, caught.value.acknowledged) == (2, ("a",))
        assert visits.value == await value_of(a, "visits", GCounter) == 1
        with pytest.raises(QuorumTimeoutError):
            await a.replicator.get("visits", GCounter, replicas=2)
        await a.replicator.update("visits", visits)
        assert await value_of(a, "visits", GCounter) == 1


async def test_a_single_replica_agrees_with_itself():
    async with running() as a:
        await a.replicator.update("visits", GCounter, GCounter.increment, replicas="all")
        await a.replicator.update("visits", GCounter, GCounter.increment, replicas="majority")
        with pytest.raises(QuorumTimeoutError) as caught:
            await a.replicator.update("visits", GCounter, GCounter.increment, replicas=2)
        assert (caught.value.required, caught.value.acknowledged) == (2, ("a",))
        assert await value_of(a, "visits", GCounter) == 3
        assert a.replicator.stable() == VersionVector({"a~01": 3})


@pytest.mark.parametrize("replicas", [0, -1, True, "some", 1.5, None], ids=repr)
async def test_what_is_no_number_of_replicas_is_refused(replicas):
    async with running() as a:
        with pytest.raises(ValueError, match="replicas"):
            await a.replicator.update("visits", GCounter, GCounter.increment, replicas=replicas)
        with pytest.raises(ValueError, match="replicas"):
            await a.replicator.get("visits", GCounter, replicas=replicas)
        assert a.store.commits == []


async def test_a_version_token_waits_for_the_update_on_another_replica():
    async with two_replicas() as (a, b):
        token = await a.replicator.update("visits", GCounter, GCounter.increment)
        seen = []

        async def wait():
            await b.replicator.wait_until_version(VersionToken.parse(str(token)))
            seen.append(await value_of(b, "visits", GCounter))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await settle()
            assert seen == []
            await exchange(a, b)
        assert seen == [1]
        await a.replicator.wait_until_version(token, timeout=0)


async def test_waiting_for_a_version_ends_in_time():
    async with running() as a:
        with pytest.raises(TimeoutError, match="7@b~01"):
            await a.replicator.wait_until_version(VersionToken("b~01", 7), timeout=0)


async def test_a_version_that_comes_with_a_snapshot_is_waited_for_too():
    async with running() as a, anyio.create_task_group() as tasks:
        tasks.start_soon(a.replicator.wait_until_version, VersionToken("b~01", 7))
        await settle()
        await a.replicator.install(VersionVector({"b~01": 9}))


@pytest.mark.parametrize("text", ["", "7", "@b~01", "x@b~01", "-1@b~01", "7@", "²@b", "9" * 20 + "@b"], ids=ascii)
def test_what_is_no_token_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        VersionToken.parse(text)


async def test_another_log_is_written_from_now_on():
    async with running() as a:
        visits = await a.replicator.get("visits", GCounter)
        visits.increment()
        await a.replicator.update("visits", visits)
        visits.increment()
        await a.replicator.use_log("a~02")
        with pytest.raises(StaleValueError):
            await a.replicator.update("visits", visits)
        assert visits.value == 2
        token = await a.replicator.update("visits", GCounter, lambda value: value.increment(10))
        assert token == VersionToken("a~02", 1)
        assert a.store.commits[-1][0].writer == "a~02"
        assert await value_of(a, "visits", GCounter) == 11


@pytest.mark.parametrize("by_another_process", [False, True])
async def test_an_update_that_waits_while_the_log_changes_is_prepared_anew(by_another_process):
    async with running() as a:
        use_log = a.store.use_log if by_another_process else a.replicator.use_log
        a.store.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.replicator.update, "visits", GCounter, GCounter.increment)
            await settle()
            for _ in range(3):
                tasks.start_soon(a.replicator.update, "visits", GCounter, GCounter.increment)
            await settle()
            tasks.start_soon(use_log, "a~02")
            await settle()
            a.store.gate.set()
        assert await value_of(a, "visits", GCounter) == 4
        assert {change.writer for changes in a.store.commits[1:] for change in changes} == {"a~02"}
        async with running(log_id="b~01") as b:
            await exchange(a, b)
            assert await value_of(b, "visits", GCounter) == 4


async def test_who_updates_when_the_replicator_ends_is_told():
    store = await new_store()
    async with running(store) as a:
        await a.replicator.update("visits", GCounter, GCounter.increment)
    with pytest.raises(JournalClosedError):
        await a.replicator.update("visits", GCounter, GCounter.increment)
    assert (await a.replicator.get("visits", GCounter)).value == 1


async def test_a_closed_journal_ends_the_replicator():
    store = await new_store()
    async with running(store) as a:
        await store.aclose()
        await settle()
        with pytest.raises(JournalClosedError):
            await a.replicator.wait_until("visits", lambda visits: True)


async def test_an_operation_that_cannot_be_read_is_set_aside_and_stops_nobody(caplog):
    async with running() as a:
        source = ORSet("b~01")
        good, odd, later = source.add("milk"), source.add("bread"), source.add("beer")
        odd.type_name = "NoSuchType"
        await a.store.receive([written("cart", good), written("cart", odd, number=2), written("cart", later, number=3)])
        assert await value_of(a, "cart", ORSet) == {"milk"}
        await a.replicator.update("cart", ORSet, lambda cart: cart.add("cheese"))
        assert await value_of(a, "cart", ORSet) == {"milk", "cheese"}
        assert a.replicator.quarantined == 2
        assert len(caplog.records) == 1
        assert a.store.vector == {"b~01": 3, "a~01": 1}


async def test_an_entry_that_says_nothing_a_replica_would_say_is_passed_over(caplog):
    async with running() as a:
        source = ORSet("b~01")
        foreign = written("cart", source.add("milk"), log_id="c~01")
        garbage = LogEntry("d~01", 1, "operations", checksum_of("d~01", 1, "operations", b"\xc1"), b"\xc1")
        await a.store.receive([foreign, garbage, written("a\0b", ORSet("e~01").add(1))])
        assert await value_of(a, "cart", ORSet) == set()
        assert await a.replicator.keys().run_collect() == []
        assert a.replicator.quarantined == 3


async def test_maps_are_updated_whole():
    async with two_replicas() as (a, b):
        await a.replicator.update("profile", ORMap, lambda m: m.update("visits", PNCounter, PNCounter.increment))
        await exchange(a, b)
        assert await value_of(b, "profile", ORMap) == {"visits": 1}
