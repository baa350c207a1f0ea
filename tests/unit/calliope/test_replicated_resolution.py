"""Concurrent versions: found, resolved, and equal on every replica."""

from itertools import permutations
from pathlib import Path

import pytest

from calliope import ConcurrentVersions, ExpectedVersionError, Journal, ReplicatedEventStream
from tests.unit.calliope.orders import ItemAdded, OrderEvent, Paid
from tests.unit.calliope.replicas import exchange, opened_journals, send

pytestmark = pytest.mark.anyio


def price(journal: Journal, replica_id: str) -> ReplicatedEventStream[OrderEvent]:
    return journal.replicated_event_stream("price-17", OrderEvent, replica_id=replica_id)


async def latest_of(journal: Journal) -> ConcurrentVersions[OrderEvent]:
    """Fold all records, in the order of this journal, as somebody who only reads."""
    return await price(journal, "reader").records().run_fold(ConcurrentVersions(), ConcurrentVersions.adding)


async def test_an_event_that_was_observed_is_not_among_the_latest(memory_journal: Journal):
    events = price(memory_journal, "berlin")
    await events.persist([Paid(1), Paid(2)])
    await events.persist(Paid(3))
    latest = await latest_of(memory_journal)
    assert [record.data for record in latest] == [Paid(3)]
    assert (latest.is_concurrent, len(latest), latest.version) == (False, 1, {"berlin": 3})


async def test_a_reply_tells_what_is_to_be_resolved(memory_journal: Journal):
    await price(memory_journal, "paris").persist([Paid(1), Paid(2)])
    reply = await price(memory_journal, "berlin").persist([Paid(3), Paid(4)])
    latest = ConcurrentVersions.of_reply(reply)
    assert {record.data for record in latest} == {Paid(2), Paid(4)}
    assert latest == await latest_of(memory_journal) == ConcurrentVersions.of(latest)
    assert hash(latest) == hash(ConcurrentVersions(reversed(list(latest))))
    assert latest.is_concurrent
    assert latest.version == {"paris": 2, "berlin": 2}


async def test_the_order_of_records_does_not_matter(memory_journal: Journal):
    for replica_id in ("a", "b", "c"):
        await price(memory_journal, replica_id).persist(Paid(1))
    reader = price(memory_journal, "d")
    await reader.query(until=2).run_drain()
    await reader.persist(Paid(2))
    records = await price(memory_journal, "reader").records().run_collect()
    expected = await latest_of(memory_journal)
    assert len(expected) == 2
    for order in permutations(records):
        assert ConcurrentVersions(order) == expected
        assert ConcurrentVersions([*order, *order]) == expected
        assert ConcurrentVersions(order).last_written().data == expected.last_written().data


async def test_rules_choose_alike_everywhere(memory_journal: Journal):
    for replica_id, amount in (("berlin", 3), ("paris", 1), ("rome", 2)):
        await price(memory_journal, replica_id).persist(Paid(amount))
    latest = await latest_of(memory_journal)
    assert latest.last_written().data == Paid(2)
    assert latest.preferring("vienna", "paris", "berlin").data == Paid(1)
    assert latest.preferring("vienna").data == Paid(2), "of those who are not preferred, the last written"
    assert latest.preferring().data == Paid(2)
    assert latest.merged(lambda one, other: one if one.amount > other.amount else other) == Paid(3)


async def test_what_is_no_record_is_not_among_the_latest():
    with pytest.raises(TypeError, match="is a RecordedEvent, not 5"):
        ConcurrentVersions([5])  # type: ignore[list-item]


async def test_nothing_cannot_be_chosen_among():
    nothing: ConcurrentVersions[OrderEvent] = ConcurrentVersions()
    assert (len(nothing), nothing.is_concurrent, nothing.version) == (0, False, {})
    for choose in (nothing.last_written, nothing.preferring, lambda: nothing.merged(lambda one, other: one)):
        with pytest.raises(ValueError, match="no events"):
            choose()
    assert nothing != 7
    assert repr(nothing) == "<ConcurrentVersions []>"


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_resolution_is_the_latest_on_every_replica(kind: str, tmp_path: Path, anyio_backend: str):
    async with opened_journals(kind, tmp_path, "abc") as (a, b, c):
        await price(a, "berlin").persist(Paid(1))
        await price(b, "paris").persist(Paid(2))
        await exchange(a, b, c)
        latest = await latest_of(c)
        reply = await latest.resolve(price(c, "rome"), latest.last_written().data, tags="resolution")
        assert reply.version == {"berlin": 1, "paris": 1, "rome": 1}
        assert not reply.concurrent_update_detected
        await exchange(a, b, c)
        for journal in (a, b, c):
            assert [record.data for record in await latest_of(journal)] == [Paid(2)]


async def test_replicas_that_resolve_at_once_end_with_the_same(tmp_path: Path, anyio_backend: str):
    async with opened_journals("memory", tmp_path, "ab") as (a, b):
        await price(a, "berlin").persist(Paid(1))
        await price(b, "paris").persist(Paid(2))
        await exchange(a, b)
        await (await latest_of(a)).resolve(price(a, "berlin"), Paid(1))
        await (await latest_of(b)).resolve(price(b, "paris"), Paid(3))
        await exchange(a, b)
        here, there = await latest_of(a), await latest_of(b)
        assert here == there
        assert here.is_concurrent
        assert here.last_written().data == there.last_written().data == Paid(3)
        await here.resolve(price(a, "berlin"), here.last_written().data)
        await send(a, b)
        assert not (await latest_of(b)).is_concurrent


async def test_a_resolution_may_insist_that_nothing_came_meanwhile(memory_journal: Journal):
    await price(memory_journal, "berlin").persist(Paid(1))
    await price(memory_journal, "paris").persist(Paid(2))
    latest = await latest_of(memory_journal)
    await price(memory_journal, "vienna").persist(Paid(3))
    rome = price(memory_journal, "rome")
    with pytest.raises(ExpectedVersionError):
        await latest.resolve(rome, Paid(2), expected_version=2)
    reply = await latest.resolve(rome, Paid(2))
    assert [record.data for record in reply.concurrent_updates] == [Paid(3)]


async def test_events_of_another_stream_are_not_resolved_here(memory_journal: Journal):
    await price(memory_journal, "berlin").persist(Paid(1))
    other = memory_journal.replicated_event_stream("other", OrderEvent, replica_id="berlin")
    with pytest.raises(ValueError, match="is not of stream 'other'"):
        await (await latest_of(memory_journal)).resolve(other, ItemAdded("x"))
    assert await other.sequence_number() == 0
