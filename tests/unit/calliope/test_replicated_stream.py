"""Persisting to a stream that several replicas write to, in one journal and in several."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from calliope import (
    ExpectedVersionError,
    Journal,
    PersistReply,
    RecordedEvent,
    ReplicaIdInUseError,
    ReplicatedEventStream,
    StreamKindError,
)
from calliope.stores.replica_store import CONCURRENT_RECORDS_MAX
from crdts import CausalOrder, VersionVector
from tests.unit.calliope.orders import ItemAdded, OrderEvent, Paid, added
from tests.unit.calliope.replicas import exchange, opened_journals, send, store_of

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 20.0


@pytest.fixture(params=["memory", "sqlite"])
async def two(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[list[Journal]]:
    """Two empty journals, each of which may be sent what the other has."""
    async with opened_journals(request.param, tmp_path, "ab") as journals:
        yield journals


def stream(journal: Journal, replica_id: str, stream_id: str = "order-17") -> ReplicatedEventStream[OrderEvent]:
    return journal.replicated_event_stream(stream_id, OrderEvent, replica_id=replica_id)


def skus(records: object) -> list[str]:
    assert isinstance(records, (list, tuple))
    return [record.data.sku for record in records]


async def test_what_is_persisted_is_queried_in_order(journal: Journal):
    events = stream(journal, "berlin")
    assert await events.query().run_collect() == []
    await events.persist(ItemAdded("a", 2))
    await events.persist([ItemAdded("b"), Paid(5)])
    assert await events.query().run_collect() == [ItemAdded("a", 2), ItemAdded("b"), Paid(5)]
    assert await events.query(after=1, until=2).run_collect() == [ItemAdded("b")]
    assert [record.sequence_number for record in await journal.records().run_collect()] == [1, 2, 3]


async def test_each_event_of_a_request_has_a_version_of_its_own(journal: Journal):
    events = stream(journal, "berlin")
    await events.persist(ItemAdded("a"))
    reply = await events.persist(added("b", "c"))
    assert [record.version for record in reply.records] == [{"berlin": 2}, {"berlin": 3}]
    assert (reply.version, reply.sequence_number, reply.position) == ({"berlin": 3}, 3, 3)
    assert not reply.concurrent_update_detected
    assert reply.concurrent_updates == ()
    assert {record.replica_id for record in reply.records} == {"berlin"}
    assert await events.version() == events.observed == {"berlin": 3}
    assert await events.sequence_number() == 3


async def test_an_event_stands_alike_on_every_replica(two: list[Journal]):
    a, b = two
    await stream(b, "paris", "elsewhere").persist(ItemAdded("first"))
    berlin = stream(a, "berlin")
    await berlin.persist(added("x", "y"), tags=("red",), metadata={"k": [1]}, event_id="named")
    await send(a, b)
    ours = await berlin.records().run_collect()
    theirs = await stream(b, "paris").records().run_collect()
    for record, copy in zip(ours, theirs, strict=True):
        for name in ("id", "type", "stream_id", "version", "replica_id", "timestamp", "tags", "metadata", "data"):
            assert getattr(record, name) == getattr(copy, name)
        assert copy.position == record.position + 1
    assert [record.id == "named" for record in theirs] == [True, False]
    assert len({record.id for record in theirs}) == 2


async def test_who_has_not_observed_is_told_once(two: list[Journal]):
    a, b = two
    berlin, paris = stream(a, "berlin"), stream(b, "paris")
    await berlin.persist(ItemAdded("from berlin"))
    await paris.persist(ItemAdded("from paris"))
    await send(b, a)
    reply = await berlin.persist(ItemAdded("again"))
    assert reply.concurrent_update_detected
    assert skus(reply.concurrent_updates) == ["from paris"]
    assert reply.version == {"berlin": 2}
    assert reply.version.compare(reply.concurrent_updates[0].version) is CausalOrder.CONCURRENT
    reply = await berlin.persist(ItemAdded("informed"))
    assert not reply.concurrent_update_detected
    assert reply.version == {"berlin": 3, "paris": 1}


async def test_who_has_queried_has_observed(two: list[Journal]):
    a, b = two
    berlin, paris = stream(a, "berlin"), stream(b, "paris")
    await berlin.persist(added("1", "2"))
    await send(a, b)
    assert await paris.query().run_collect() == added("1", "2")
    reply = await paris.persist(ItemAdded("3"))
    assert not reply.concurrent_update_detected
    assert reply.version == {"berlin": 2, "paris": 1}


async def test_handles_of_one_journal_are_concurrent_too(journal: Journal):
    berlin, paris = stream(journal, "berlin"), stream(journal, "paris")
    await berlin.persist(ItemAdded("1"))
    reply = await paris.persist(ItemAdded("2"))
    assert (skus(reply.concurrent_updates), reply.version) == (["1"], {"paris": 1})
    await paris.persist(ItemAdded("3"))
    reply = await berlin.persist(ItemAdded("4"))
    assert (skus(reply.concurrent_updates), reply.version) == (["2", "3"], {"berlin": 2})


async def test_each_of_those_who_persist_at_once_is_told_of_those_before(journal: Journal):
    replies: list[PersistReply[OrderEvent]] = []

    async def persist(replica_id: str) -> None:
        replies.append(await stream(journal, replica_id).persist(ItemAdded(replica_id)))

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(persist, f"replica-{number}")
    order = skus(await stream(journal, "reader").records().run_collect())
    for reply in replies:
        assert skus(reply.concurrent_updates) == order[: reply.sequence_number - 1]


async def test_only_what_was_taken_of_a_query_is_observed(journal: Journal):
    writer = stream(journal, "writer")
    await writer.persist(added(*map(str, range(20))))
    for taken in range(1, 20, 4):
        reader = stream(journal, f"reader-{taken}")
        count = 0
        async with aclosing(aiter(reader.query())) as events:
            async for _ in events:
                count += 1
                assert reader.observed == {"writer": count}
                if count == taken:
                    break
        assert reader.observed == {"writer": taken}
        mapped = stream(journal, f"mapped-{taken}")
        assert len(await mapped.query().map(str).take(taken).run_collect()) == taken
        assert mapped.observed == {"writer": taken}


async def test_a_live_query_observes_what_it_yields(two: list[Journal]):
    a, b = two
    berlin, paris = stream(a, "berlin"), stream(b, "paris")
    await berlin.persist(ItemAdded("1"))
    with anyio.fail_after(PATIENCE_SECONDS):
        async with aclosing(aiter(paris.live_records())) as records:
            await send(a, b)
            assert (await anext(records)).version == paris.observed == {"berlin": 1}
            await berlin.persist(ItemAdded("2"))
            await send(a, b)
            assert (await anext(records)).version == paris.observed == {"berlin": 2}
        assert not (await paris.persist(ItemAdded("3"))).concurrent_update_detected


async def test_observing_an_event_observes_what_its_writer_had_observed(two: list[Journal]):
    a, b = two
    await stream(a, "berlin").persist(added("1", "2"))
    paris = stream(a, "paris")
    await paris.query().run_drain()
    await paris.persist(ItemAdded("3"))
    await send(a, b)
    rome = stream(b, "rome")
    (last,) = await rome.records(after=2).run_collect()
    assert rome.observed == last.version == {"berlin": 2, "paris": 1}
    assert not (await rome.persist(ItemAdded("4"))).concurrent_update_detected


async def test_a_handle_made_anew_carries_on_its_numbering(journal: Journal):
    await stream(journal, "paris").persist(ItemAdded("0"))
    first = stream(journal, "berlin")
    await first.query().run_drain()
    await first.persist(added("1", "2"))
    second = stream(journal, "berlin")
    reply = await second.persist(ItemAdded("3"))
    assert reply.version == {"berlin": 3, "paris": 1}, "what the former handle had observed when it wrote"
    assert not reply.concurrent_update_detected


async def test_numbering_goes_on_in_a_journal_opened_again(tmp_path: Path, anyio_backend: str):
    async with Journal.open(tmp_path / "journal.db") as journal:
        await stream(journal, "berlin").persist(added("1", "2"))
        log_id = store_of(journal).log_id
    async with Journal.open(tmp_path / "journal.db") as journal:
        assert store_of(journal).log_id == log_id
        reply = await stream(journal, "berlin").persist(ItemAdded("3"))
        assert reply.version == {"berlin": 3}
        assert store_of(journal).vector == {log_id: 2}


async def test_two_live_handles_with_one_replica_id_are_an_error(journal: Journal):
    first, second = stream(journal, "berlin"), stream(journal, "berlin")
    await first.persist(ItemAdded("1"))
    await second.persist(ItemAdded("2"))
    with pytest.raises(ReplicaIdInUseError, match="another handle has written to stream 'order-17'") as raised:
        await first.persist(ItemAdded("3"))
    assert (raised.value.stream_id, raised.value.replica_id) == ("order-17", "berlin")
    assert len(await stream(journal, "reader").query().run_collect()) == 2
    assert (await second.persist(ItemAdded("3"))).version == {"berlin": 3}
    assert (await stream(journal, "berlin", "another").persist(ItemAdded("1"))).version == {"berlin": 1}


async def test_a_replica_id_that_is_used_elsewhere_too_is_an_error(two: list[Journal]):
    a, b = two
    here, there = stream(a, "berlin"), stream(b, "berlin")
    await here.persist(ItemAdded("1"))
    await send(a, b)
    await there.persist(ItemAdded("2"))
    await send(b, a)
    with pytest.raises(ReplicaIdInUseError):
        await here.persist(ItemAdded("3"))


async def test_many_tasks_persist_with_one_handle(journal: Journal):
    events = stream(journal, "berlin")
    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(events.persist, ItemAdded(str(number)))
    records = await events.records().run_collect()
    assert [record.version for record in records] == [{"berlin": number} for number in range(1, 51)]


async def test_the_expected_version_is_the_number_here(two: list[Journal]):
    a, b = two
    await stream(a, "berlin").persist(added("1", "2"), expected_version=0)
    paris = stream(b, "paris")
    await paris.persist(ItemAdded("3"), expected_version=0)
    await send(a, b)
    with pytest.raises(ExpectedVersionError) as raised:
        await paris.persist(ItemAdded("4"), expected_version=1)
    assert raised.value.actual == 3
    assert (await paris.persist(ItemAdded("4"), expected_version=3)).sequence_number == 4


async def test_a_request_is_written_once_and_gives_the_first_reply_again(journal: Journal):
    await stream(journal, "paris").persist(ItemAdded("0"))
    events = stream(journal, "berlin")
    first = await events.persist(added("1", "2"), event_id="id")
    await events.persist(ItemAdded("3"))
    for again in (events, stream(journal, "berlin"), stream(journal, "rome")):
        reply = await again.persist(ItemAdded("other"), event_id="id", expected_version=0)
        assert reply == first
        assert skus(reply.concurrent_updates) == skus(first.concurrent_updates) == ["0"]
    assert await events.sequence_number() == 4
    assert (await events.persist(ItemAdded("4"))).version == {"berlin": 4, "paris": 1}


async def test_an_event_id_that_two_replicas_used_keeps_both_events(two: list[Journal]):
    a, b = two
    berlin, paris = stream(a, "berlin"), stream(b, "paris")
    ours = await berlin.persist(ItemAdded("1"), event_id="id")
    theirs = await paris.persist(ItemAdded("2"), event_id="id")
    await exchange(a, b)
    assert await berlin.sequence_number() == await paris.sequence_number() == 2
    assert await berlin.persist(ItemAdded("3"), event_id="id") == ours
    assert await paris.persist(ItemAdded("3"), event_id="id") == theirs


async def test_a_request_that_arrived_is_not_written_again(two: list[Journal]):
    a, b = two
    await stream(a, "berlin").persist(ItemAdded("1"), event_id="id")
    await send(a, b)
    reply = await stream(b, "paris").persist(ItemAdded("1"), event_id="id")
    assert (reply.records[0].replica_id, reply.version) == ("berlin", {"berlin": 1})
    assert await stream(b, "paris").sequence_number() == 1


async def test_a_stream_is_plain_or_replicated_from_its_first_event_on(journal: Journal):
    await journal.event_stream("plain", OrderEvent).persist(ItemAdded("1"))
    with pytest.raises(StreamKindError, match="stream 'plain' is plain, not replicated"):
        await stream(journal, "berlin", "plain").persist(ItemAdded("2"))
    await stream(journal, "berlin", "replicated").persist(ItemAdded("1"))
    with pytest.raises(StreamKindError, match="stream 'replicated' is replicated, not plain"):
        await journal.event_stream("replicated", OrderEvent).persist(ItemAdded("2"))


async def test_a_replicated_stream_that_arrives_under_a_plain_ones_id_stands_beside_it(two: list[Journal]):
    a, b = two
    plain = a.event_stream("order-17", OrderEvent)
    await plain.persist(added("plain 1", "plain 2"))
    await stream(b, "paris").persist(ItemAdded("replicated 1"))
    await send(b, a)
    berlin = stream(a, "berlin")
    await plain.persist(ItemAdded("plain 3"), expected_version=2)
    reply = await berlin.persist(ItemAdded("replicated 2"), expected_version=1)
    assert skus(reply.concurrent_updates) == ["replicated 1"]
    assert await plain.query().run_collect() == added("plain 1", "plain 2", "plain 3")
    assert await berlin.query().run_collect() == added("replicated 1", "replicated 2")
    assert (await plain.version(), await berlin.sequence_number()) == (3, 2)
    summaries = [(s.stream_id, s.kind, s.sequence_number) for s in await a.streams().run_collect()]
    assert summaries == [("order-17", "plain", 3), ("order-17", "replicated", 2)]
    with anyio.fail_after(PATIENCE_SECONDS):
        async with aclosing(aiter(plain.live_query(after=2))) as live:
            assert await anext(live) == ItemAdded("plain 3")
            await berlin.persist(ItemAdded("replicated 3"))
            await plain.persist(ItemAdded("plain 4"))
            assert await anext(live) == ItemAdded("plain 4")
    await send(a, b)
    assert len(await stream(b, "rome").query().run_collect()) == 3


async def test_what_arrives_concurrently_is_a_conflict(two: list[Journal]):
    a, b = two
    berlin, paris = stream(a, "berlin"), stream(b, "paris")
    await berlin.persist(ItemAdded("1"))
    with anyio.fail_after(PATIENCE_SECONDS):
        async with aclosing(aiter(berlin.conflicts())) as conflicts:
            await send(a, b)
            await paris.query().run_drain()
            await paris.persist(ItemAdded("follows"))
            await send(b, a)
            await paris.persist(ItemAdded("concurrent"))
            await berlin.persist(ItemAdded("2"))
            await send(b, a)
            found: RecordedEvent[OrderEvent] = await anext(conflicts)
            assert skus([found]) == ["concurrent"], "what followed was reported by the reply and is observed"
            reply = await berlin.persist(ItemAdded("3"))
            assert skus(reply.concurrent_updates) == ["concurrent"], "a conflict that was yielded is not observed"


@pytest.mark.parametrize("reads_first", ["the query", "conflicts"])
async def test_a_conflict_is_told_also_if_a_live_query_of_the_handle_has_yielded_it(
    two: list[Journal], reads_first: str
):
    a, b = two
    berlin, paris = stream(a, "berlin"), stream(b, "paris")
    await berlin.persist(ItemAdded("1"))
    conflicts = berlin.conflicts()
    seen: list[str] = []

    async def follow() -> None:
        found: RecordedEvent[OrderEvent] = await conflicts.run_first()
        seen.append(found.data.sku)

    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as tasks, aclosing(aiter(berlin.live_query(after=1))) as query:
            if reads_first == "conflicts":
                tasks.start_soon(follow)
                await anyio.wait_all_tasks_blocked()
            await paris.persist(ItemAdded("concurrent"))
            await send(b, a)
            assert (await anext(query)).sku == "concurrent"
            berlin.observe(await paris.version())
            if reads_first == "the query":
                tasks.start_soon(follow)
    assert seen == ["concurrent"]


async def test_what_followed_what_the_handle_had_observed_is_no_conflict(two: list[Journal]):
    a, b = two
    berlin, paris = stream(a, "berlin"), stream(b, "paris")
    await berlin.persist(ItemAdded("1"))
    conflicts = berlin.conflicts()
    await send(a, b)
    await paris.query().run_drain()
    await paris.persist(ItemAdded("follows"))
    await send(b, a)
    await stream(b, "oslo").persist(ItemAdded("concurrent"))
    await berlin.query().run_drain()
    await send(b, a)
    with anyio.fail_after(PATIENCE_SECONDS):
        assert skus([await conflicts.run_first()]) == ["concurrent"]


async def test_an_observed_conflict_is_no_longer_one(two: list[Journal]):
    a, b = two
    berlin = stream(a, "berlin")
    await berlin.persist(ItemAdded("1"))
    await stream(b, "paris").persist(ItemAdded("2"))
    await send(b, a)
    conflict = await berlin.conflicts().run_first()
    berlin.observe(conflict)
    reply = await berlin.persist(ItemAdded("3"))
    assert (reply.concurrent_update_detected, reply.version) == (False, {"berlin": 2, "paris": 1})
    with pytest.raises(ValueError, match="is not of stream 'order-18'"):
        stream(a, "berlin", "order-18").observe(conflict)


async def test_a_version_that_another_has_read_can_be_observed(two: list[Journal]):
    a, b = two
    await stream(b, "paris").persist(added("1", "2"))
    await send(b, a)
    berlin = stream(a, "berlin")
    berlin.observe(VersionVector({"paris": 1}))
    reply = await berlin.persist(ItemAdded("3"))
    assert (skus(reply.concurrent_updates), reply.version) == (["2"], {"berlin": 1, "paris": 1})


@pytest.mark.parametrize("seen", [5, "berlin", None, {"berlin": 1}])
async def test_what_is_neither_a_record_nor_a_version_is_not_observed(memory_journal: Journal, seen):
    events = stream(memory_journal, "berlin")
    with pytest.raises(TypeError, match=re.escape(f"a RecordedEvent or a VersionVector, not {seen!r}")):
        events.observe(VersionVector({"lisbon": 1}), seen)
    assert not events.observed


async def test_tags_that_are_none_are_named(memory_journal: Journal):
    with pytest.raises(TypeError, match="tags must be a str or a collection of them, not 5"):
        await stream(memory_journal, "berlin").persist(ItemAdded("x"), tags=5)  # type: ignore[arg-type]


async def test_too_much_to_tell_counts_as_unobserved(journal: Journal):
    count = CONCURRENT_RECORDS_MAX + 10
    await stream(journal, "paris").persist(added(*map(str, range(count))))
    berlin = stream(journal, "berlin")
    for number in (1, 2):
        reply = await berlin.persist(ItemAdded("x"))
        assert skus(reply.concurrent_updates) == [str(n) for n in range(10, count)]
        assert (reply.version, berlin.observed) == ({"berlin": number}, {"berlin": number})
    await berlin.query().run_drain()
    assert not (await berlin.persist(ItemAdded("x"))).concurrent_update_detected


async def test_in_a_later_log_a_replica_numbers_its_events_anew(journal: Journal):
    store = store_of(journal)
    await store.use_log("berlin~1")
    events = stream(journal, "berlin")
    await events.persist(added("1", "2"))
    await store.use_log("berlin~2")
    reply = await events.persist(ItemAdded("3"))
    assert (reply.version, reply.records[0].replica_id) == ({"berlin": 2, "berlin~2": 1}, "berlin")
    assert not reply.concurrent_update_detected
    await store.use_log("berlin~1")
    assert (await events.persist(ItemAdded("4"))).version == {"berlin": 3, "berlin~2": 1}
    assert store.vector == {"berlin~1": 2, "berlin~2": 1}


async def test_a_handle_made_anew_in_a_later_log_has_observed_what_its_replica_wrote_in_the_earlier_one(
    journal: Journal,
):
    store = store_of(journal)
    await store.use_log("berlin~1")
    await stream(journal, "lisbon").persist(ItemAdded("1"))
    events = stream(journal, "berlin")
    await events.query().run_drain()
    await events.persist(ItemAdded("2"))
    await stream(journal, "oslo").persist(ItemAdded("3"))
    await store.use_log("berlin~2")
    reply = await stream(journal, "berlin").persist(ItemAdded("4"))
    assert reply.version == {"lisbon": 1, "berlin": 1, "berlin~2": 1}
    assert skus(reply.concurrent_updates) == ["3"]


async def test_a_handle_that_wrote_in_a_later_log_goes_on_in_the_earlier_one(journal: Journal):
    store = store_of(journal)
    await store.use_log("berlin~1")
    await stream(journal, "berlin").persist(ItemAdded("1"))  # by an earlier handle
    await store.use_log("berlin~2")
    events = stream(journal, "berlin")
    await events.persist(ItemAdded("2"))
    await store.use_log("berlin~1")
    assert (await events.persist(ItemAdded("3"))).version == {"berlin": 2, "berlin~2": 1}
    other = stream(journal, "berlin")
    await other.persist(ItemAdded("4"))
    with pytest.raises(ReplicaIdInUseError):
        await events.persist(ItemAdded("5"))


async def test_a_cancelled_persist_is_written_as_a_whole_or_not_at_all(journal: Journal):
    events = stream(journal, "berlin")
    for turns in range(10):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda turns=turns: events.persist(added("1", "2"), event_id=f"id-{turns}"))
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert len((await events.persist(added("1", "2"), event_id=f"id-{turns}")).records) == 2
    records = await events.records().run_collect()
    assert [record.version for record in records] == [{"berlin": number} for number in range(1, 21)]


@pytest.mark.parametrize(
    ("replica_id", "error", "complaint"),
    [
        ("", ValueError, "replica_id must not be empty"),
        ("a~b", ValueError, "replica_id 'a~b' must not contain '~'"),
        ("x" * 256, ValueError, "must have at most 255 bytes"),
        ("a\0", ValueError, "must not contain NUL"),
        (7, TypeError, "replica_id must be a str, not 7"),
    ],
)
async def test_an_illegal_replica_id_is_refused(memory_journal: Journal, replica_id, error, complaint):
    with pytest.raises(error, match=complaint):
        stream(memory_journal, replica_id)


async def test_a_handle_says_what_it_is(memory_journal: Journal):
    assert repr(stream(memory_journal, "berlin")) == "<ReplicatedEventStream 'order-17' replica_id='berlin'>"
    assert stream(memory_journal, "berlin").observed == VersionVector()
