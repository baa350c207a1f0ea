"""Persisting to a stream and querying it, stored and live."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from calliope import (
    EventStream,
    ExpectedVersionError,
    Journal,
    JournalClosedError,
    Sink,
    StreamKindError,
    UnknownEventTypeError,
    UntypedEvent,
)
from calliope.limits import POSITION_MAX
from calliope.reading import PAGE_RECORDS_MIN
from calliope.stores.memory import MemoryStore
from calliope.testing.requests import append_of, writing_of
from tests.unit.calliope.orders import ItemAdded, OrderEvent, Paid, added

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 20.0


async def test_what_is_persisted_is_queried_in_order(journal: Journal):
    events = journal.event_stream("order-17", OrderEvent)
    assert await events.query().run_collect() == []
    await events.persist(ItemAdded("a", 2))
    await events.persist([ItemAdded("b"), Paid(5)])
    assert await events.query().run_collect() == [ItemAdded("a", 2), ItemAdded("b"), Paid(5)]
    assert [record.data for record in await events.records().run_collect()] == await events.query().run_collect()


async def test_streams_know_nothing_of_one_another(journal: Journal):
    for name in ("a", "b", "aa"):
        await journal.event_stream(name, OrderEvent).persist(ItemAdded(name))
    for name in ("a", "b", "aa"):
        assert await journal.event_stream(name, OrderEvent).query().run_collect() == [ItemAdded(name)]


async def test_a_fold_gives_the_state(journal: Journal):
    events = journal.event_stream("a", OrderEvent)
    await events.persist([ItemAdded("x", n) for n in range(10)])
    assert await events.query().run_fold(0, lambda total, event: total + event.quantity) == 45


@pytest.mark.parametrize(
    ("after", "until", "numbers"),
    [
        (0, None, [1, 2, 3, 4, 5]),
        (2, None, [3, 4, 5]),
        (5, None, []),
        (9, None, []),
        (POSITION_MAX, None, []),
        (0, 0, []),
        (0, 1, [1]),
        (0, 5, [1, 2, 3, 4, 5]),
        (0, 9, [1, 2, 3, 4, 5]),
        (0, POSITION_MAX, [1, 2, 3, 4, 5]),
        (2, 4, [3, 4]),
        (2, 2, []),
        (4, 2, []),
        (9, 10, []),
    ],
)
async def test_a_query_begins_after_one_number_and_ends_with_another(journal: Journal, after, until, numbers):
    events = journal.event_stream("b", OrderEvent)
    await journal.event_stream("a", OrderEvent).persist(added(*"xyz"))
    await events.persist([Paid(n) for n in range(1, 6)])
    assert await events.query(after, until).run_collect() == [Paid(n) for n in numbers]
    assert [r.sequence_number for r in await events.records(after=after, until=until).run_collect()] == numbers


@pytest.mark.parametrize(
    ("value", "error"),
    [(-1, ValueError), (2**63, ValueError), (True, TypeError), ("1", TypeError), (1.0, TypeError)],
)
async def test_a_place_that_is_none_is_refused_when_the_query_is_made(journal: Journal, value, error):
    events = journal.event_stream("a", OrderEvent)
    for method in (events.query, events.live_query, events.records, events.live_records):
        with pytest.raises(error, match=f"after must be .* not {value!r}"):
            method(after=value)
    for method in (events.query, events.records):
        with pytest.raises(error, match=f"until must be .* not {value!r}"):
            method(until=value)


async def test_a_query_is_a_recipe_and_gives_what_is_stored_when_it_runs(journal: Journal):
    events = journal.event_stream("a", OrderEvent)
    query = events.query()
    assert await query.run_collect() == []
    await events.persist(Paid(1))
    assert await query.run_collect() == [Paid(1)]
    await events.persist(Paid(2))
    assert await query.run_collect() == [Paid(1), Paid(2)]
    assert [event async for event in query] == [Paid(1), Paid(2)]


async def test_a_query_ends_with_what_was_stored_when_it_began(journal: Journal):
    events = journal.event_stream("a", OrderEvent)
    await events.persist([Paid(n) for n in range(3_000)])
    seen = 0
    async for event in events.query():
        if event.amount % 500 == 0:
            await events.persist(added("x"))
        assert isinstance(event, Paid)
        seen += 1
    assert seen == 3_000


async def test_the_expected_version_decides_who_was_first(journal: Journal):
    events = journal.event_stream("a", OrderEvent)
    reply = await events.persist(Paid(1), expected_version=0)
    await events.persist(Paid(2), expected_version=reply.sequence_number)
    with pytest.raises(ExpectedVersionError) as raised:
        await events.persist([Paid(3), Paid(4)], expected_version=1)
    assert (raised.value.expected, raised.value.actual, raised.value.stream_id) == (1, 2, "a")
    assert await events.query().run_collect() == [Paid(1), Paid(2)]


async def test_of_many_who_decide_at_once_each_gets_a_turn(journal: Journal):
    events = journal.event_stream("a", OrderEvent)

    async def add_one() -> None:
        while True:
            version = await events.version()
            try:
                await events.persist(Paid(version), expected_version=version)
            except ExpectedVersionError:
                continue
            return

    async with anyio.create_task_group() as group:
        for _ in range(12):
            group.start_soon(add_one)
    assert await events.query().run_collect() == [Paid(n) for n in range(12)]


async def test_the_version_is_the_number_of_the_last_event(journal: Journal):
    events = journal.event_stream("a", OrderEvent)
    assert await events.version() == 0
    await events.persist(added("x", "y"))
    assert await events.version() == 2


async def test_persisting_an_event_id_again_returns_the_first_reply(journal: Journal):
    events = journal.event_stream("a", OrderEvent)
    first = await events.persist([Paid(1), Paid(2)], event_id="request-1")
    await events.persist(Paid(3))
    assert await events.persist([Paid(1), Paid(2)], event_id="request-1", expected_version=0) == first
    assert await events.persist(Paid(9), event_id=first.records[0].id) == first
    third = await events.persist(Paid(9), event_id=(await events.records(after=2).run_first()).id)
    assert third.records[0].data == Paid(3)
    assert await events.version() == 3


async def test_a_live_query_gives_stored_events_and_then_new_ones(journal: Journal):
    events = journal.event_stream("a", OrderEvent)
    await events.persist([Paid(1), Paid(2)])
    seen: list[int] = []
    with anyio.fail_after(PATIENCE_SECONDS):
        async for event in events.live_query():
            assert isinstance(event, Paid)
            seen.append(event.amount)
            if event.amount == 6:
                break
            await events.persist([Paid(event.amount + 2)])
            await journal.event_stream("b", OrderEvent).persist(added("not this"))
    assert seen == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("after", "first"), [(0, 1), (1, 2), (2, 3), (3, 4), (5, 6)])
async def test_a_live_query_begins_after_a_number_that_may_be_yet_to_come(journal: Journal, after, first):
    events = journal.event_stream("a", OrderEvent)
    await events.persist([Paid(1), Paid(2)])
    seen: list[object] = []
    with anyio.fail_after(PATIENCE_SECONDS):
        async with events.live_query(after).take(3).running(Sink.for_each(seen.append)) as run:
            for n in range(3, 10):
                await events.persist(Paid(n))
            await run.result()
    assert seen == [Paid(n) for n in range(first, first + 3)]


async def test_a_live_query_hands_over_what_is_there_without_waiting_for_more(journal: Journal):
    events = journal.event_stream("a", OrderEvent)
    seen: list[object] = []
    async with events.live_query().running(Sink.for_each(seen.append)):
        for n in range(5):
            await events.persist(Paid(n))
            with anyio.fail_after(PATIENCE_SECONDS):
                while len(seen) <= n:
                    await checkpoint()
    assert seen == [Paid(n) for n in range(5)]


async def test_at_the_seam_of_a_live_query_nothing_is_missing_or_doubled(journal: Journal):
    events = journal.event_stream("a", OrderEvent)
    readers = 6
    seen: list[list[int]] = [[] for _ in range(readers)]

    async def write(writer: int) -> None:
        for n in range(20):
            await events.persist([Paid(100 * writer + n)] * (1 + n % 3))
            await journal.event_stream(f"other-{writer}", OrderEvent).persist(added("x"))

    async def read(index: int) -> None:
        for _ in range(index * 5):
            await checkpoint()
        await events.live_records().map(lambda r: seen[index].append(r.sequence_number)).run_drain()

    async with anyio.create_task_group() as reading:
        for index in range(readers):
            reading.start_soon(read, index)
        async with anyio.create_task_group() as writing:
            for writer in range(4):
                writing.start_soon(write, writer)
        total = await events.version()
        with anyio.fail_after(PATIENCE_SECONDS):
            while any(len(numbers) < total for numbers in seen):
                await checkpoint()
        reading.cancel_scope.cancel()
    assert seen == [list(range(1, total + 1))] * readers


async def test_closing_the_journal_ends_live_queries_with_an_error(tmp_path, anyio_backend):
    for url in ("memory://", tmp_path / "journal.db"):
        ended: list[str] = []

        async def follow(source, name: str, ended: list[str] = ended) -> None:
            with pytest.raises(JournalClosedError):
                await source.run_drain()
            ended.append(name)

        async with anyio.create_task_group() as group, Journal.open(url) as journal:
            events = journal.event_stream("a", OrderEvent)
            await events.persist(Paid(1))
            group.start_soon(follow, events.live_query(), "query")
            group.start_soon(follow, events.live_records(), "records")
            group.start_soon(follow, journal.live_records(event_type=OrderEvent), "journal")
            await anyio.wait_all_tasks_blocked()
            assert ended == []
        assert sorted(ended) == ["journal", "query", "records"]


async def test_ending_a_live_query_leaves_nobody_waiting(memory_journal: Journal):
    events = memory_journal.event_stream("a", OrderEvent)
    tail = memory_journal._store.tail
    async with events.live_query().running(Sink.drain()):
        await anyio.wait_all_tasks_blocked()
        assert tail.awaited
    assert not tail.awaited


async def test_what_precedes_an_unknown_event_is_delivered_first(journal: Journal):
    untyped = journal.event_stream("a", UntypedEvent)
    known = [UntypedEvent("ItemAdded", {"sku": str(n)}) for n in range(300)]
    await untyped.persist([*known, UntypedEvent("gone", {}), *known])
    events = journal.event_stream("a", OrderEvent)
    for source in (events.query(), events.live_query(), events.records(), events.live_records()):
        seen: list[object] = []
        with pytest.raises(UnknownEventTypeError) as raised:
            await source.run_for_each(seen.append)
        assert len(seen) == 300
        assert (raised.value.stream_id, raised.value.position, raised.value.type) == ("a", 301, "gone")
    assert await events.query(until=300).run_fold(0, lambda count, _: count + 1) == 300
    assert len(await events.query(after=301).run_collect()) == 300


async def test_a_plain_handle_does_not_write_to_a_replicated_stream(journal: Journal):
    await journal._store.append_replicated(append_of("a", kind="replicated"), writing_of())
    with pytest.raises(StreamKindError, match="stream 'a' is replicated, not plain, from its first event on"):
        await journal.event_stream("a", OrderEvent).persist(Paid())


@pytest.mark.parametrize(
    ("stream_id", "error", "complaint"),
    [
        ("", ValueError, "stream_id must not be empty"),
        ("x" * 10_000, ValueError, "stream_id 'x+…' must have at most 512 bytes in UTF-8, not 10000"),
        ("a\0b", ValueError, "stream_id .* must not contain NUL"),
        ("\ud800", ValueError, "stream_id .* must not contain lone surrogates"),
        (None, TypeError, "stream_id must be a str, not None"),
        (b"a", TypeError, "stream_id must be a str, not b'a'"),
        (5, TypeError, "stream_id must be a str, not 5"),
    ],
)
async def test_an_illegal_stream_id_is_named(journal: Journal, stream_id, error, complaint):
    with pytest.raises(error, match=complaint):
        journal.event_stream(stream_id, OrderEvent)


async def test_handles_are_cheap_and_say_what_they_are(memory_journal: Journal):
    events = memory_journal.event_stream("a", OrderEvent)
    assert isinstance(events, EventStream)
    assert repr(events) == "<EventStream 'a'>"
    assert events.stream_id == "a"
    await memory_journal.event_stream("a", OrderEvent).persist(Paid(1))
    assert await events.query().run_collect() == [Paid(1)]


async def test_a_cancelled_persist_is_written_as_a_whole_or_not_at_all_and_can_be_repeated(journal: Journal):
    for turns in range(12):
        events = journal.event_stream(f"s-{turns}", OrderEvent)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda events=events: events.persist(added("a", "b"), event_id="once"))
            for _ in range(turns):
                await checkpoint()
            group.cancel_scope.cancel()
        assert await events.version() in (0, 2)
        reply = await events.persist(added("a", "b"), event_id="once")
        assert reply.sequence_number == 2
        assert await events.query().run_collect() == added("a", "b")


class CountingStore(MemoryStore):
    """A memory store that counts what is read from it."""

    def __init__(self) -> None:
        super().__init__()
        self.records_read = 0

    async def read_stream(self, stream_id, *, after, limit, kind=None):
        page = await super().read_stream(stream_id, after=after, limit=limit, kind=kind)
        self.records_read += len(page.records)
        return page


async def test_a_reader_that_wants_little_reads_little(anyio_backend):
    store = CountingStore()

    async def open_store() -> CountingStore:
        return store

    async with Journal(open_store) as journal:
        events = journal.event_stream("a", OrderEvent)
        await events.persist([Paid(n) for n in range(50_000)])
        assert await events.query().run_first() == Paid(0)
        assert await events.query().take(10).run_collect() == [Paid(n) for n in range(10)]
        assert await events.live_query().run_first() == Paid(0)
        assert store.records_read <= 3 * PAGE_RECORDS_MIN
        store.records_read = 0
        assert len(await events.query(until=5).run_collect()) == 5
        assert store.records_read == 5
        store.records_read = 0
        assert await events.query().run_fold(0, lambda count, _: count + 1) == 50_000
        assert store.records_read == 50_000
