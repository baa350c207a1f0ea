"""Inlets over a store: bounded pages, whatever the store hands out."""

import tracemalloc
from operator import attrgetter

import msgspec
import pytest

from calliope import CorruptRecordError, Journal, UnreadableEventError
from calliope.codec import EventCodec
from calliope.payload import encode_plain
from calliope.reading import (
    PAGE_RECORDS_MAX,
    PAGE_RECORDS_MIN,
    Reading,
    RecordDecoder,
    StoredInlet,
    Undelivered,
    event_decoder,
    live_source,
    stored_source,
)
from calliope.stores.memory import MemoryStore
from calliope.stores.protocol import Page
from calliope.stores.record import Selection, StoredRecord, StoredType
from calliope.stores.run import RecordRun
from calliope.stores.sqlite import SqliteStore
from calliope.testing.requests import append_of
from tests.unit.calliope.orders import ItemAdded, OrderEvent

pytestmark = pytest.mark.anyio

RAW: RecordDecoder[StoredRecord] = RecordDecoder(lambda record: record, attrgetter("records"))


class SparseStore(MemoryStore):
    """A memory store whose pages are as small and as empty as the protocol allows, and whose last record is damaged."""

    def __init__(self, window: int, damaged_after: int | None = None) -> None:
        super().__init__()
        self.window = window
        self.damaged_after = damaged_after
        self.limits: list[int] = []

    async def read_all(self, selection, *, after, limit):
        self.limits.append(limit)
        page = await super().read_all(Selection(), after=after, limit=min(limit, self.window))
        records = page.records
        if self.damaged_after is not None and records and records[-1].position > self.damaged_after:
            records = [record for record in records if record.position <= self.damaged_after]
            if not records:
                raise CorruptRecordError(self.damaged_after + 1, "is damaged")
            return Page(RecordRun(selection.among(records)), records[-1].position, page.head)
        return Page(RecordRun(selection.among(records)), page.through, page.head)


async def _filled(store: SparseStore) -> list[StoredRecord]:
    return [record for n in range(60) for record in await store.append(append_of(f"s-{n % 5}", b"%d" % n))]


@pytest.mark.parametrize("window", [1, 3, 100])
async def test_empty_pages_are_no_end(anyio_backend, window):
    store = SparseStore(window)
    log = await _filled(store)
    selection = Selection(prefix="s-4")
    assert await stored_source(store, selection, 0, None, RAW).run_collect() == selection.among(log)
    assert await live_source(store, selection, 0, RAW).take(12).run_collect() == selection.among(log)


@pytest.mark.parametrize("until", [1, 29, 30])
@pytest.mark.parametrize("window", [1, 7, 100])
async def test_damage_behind_the_end_of_a_query_is_not_met(anyio_backend, window, until):
    store = SparseStore(window, damaged_after=30)
    log = await _filled(store)
    assert await stored_source(store, Selection(), 0, until, RAW).run_collect() == log[:until]


async def test_what_precedes_damage_is_delivered_first(anyio_backend):
    store = SparseStore(7, damaged_after=30)
    log = await _filled(store)
    store.tail.reset(60)  # as after opening again: nothing of it is in memory
    for source in (stored_source(store, Selection(), 0, None, RAW), live_source(store, Selection(), 0, RAW)):
        seen: list[StoredRecord] = []
        with pytest.raises(CorruptRecordError) as raised:
            await source.run_for_each(seen.append)
        assert seen == log[:30]
        assert raised.value.position == 31


async def test_pages_are_small_for_those_who_want_little_and_never_large(anyio_backend):
    store = SparseStore(10)
    await _filled(store)
    await stored_source(store, Selection(), 0, None, RAW).run_first()
    await stored_source(store, Selection(), 0, None, RAW).take(100).run_collect()
    await stored_source(store, Selection(), 0, None, RAW).run_collect()
    await stored_source(store, Selection(), 0, 3, RAW).run_collect()
    assert store.limits[0] == PAGE_RECORDS_MIN
    assert max(store.limits) == PAGE_RECORDS_MAX
    assert store.limits[-1] == 3


def _unreadable(record: StoredRecord) -> UnreadableEventError:
    return UnreadableEventError(record.stream_id, record.position, *record.type, "is odd")


def _decode(record: StoredRecord) -> bytes:
    if record.payload == b"odd":
        raise _unreadable(record)
    return record.payload


def _records(*payloads: bytes) -> list[StoredRecord]:
    return [StoredRecord(n, "s", n, StoredType("t", 1), 0, payload) for n, payload in enumerate(payloads, 1)]


def test_what_precedes_a_record_that_does_not_decode_is_handed_out():
    undelivered = Undelivered(RecordDecoder(_decode, lambda run: [_decode(record) for record in run.records]))
    undelivered.put(RecordRun(_records(b"1", b"2")))
    assert undelivered.take(10) == [b"1", b"2"]
    assert not undelivered
    undelivered.put(RecordRun(_records(b"1", b"2", b"odd", b"3")))
    assert (undelivered.take(1), undelivered.take(10)) == ([b"1"], [b"2"])
    with pytest.raises(UnreadableEventError, match="at position 3 of stream 's' is odd"):
        undelivered.take(10)


async def test_an_event_that_does_not_decode_among_many_of_one_request_is_named(anyio_backend, tmp_path):
    """They are decoded by one call, which knows no positions."""
    stored_type, payload = EventCodec(OrderEvent).encode(ItemAdded("x", 1))
    payloads = [payload] * 300
    payloads[277] = encode_plain({"sku": 1, "quantity": "?"})
    for store in (MemoryStore(), await SqliteStore.open(tmp_path / "journal.db")):
        await store.append(append_of("a", *payloads, type=stored_type.name))
        seen: list[OrderEvent] = []
        with pytest.raises(UnreadableEventError) as raised:
            await stored_source(
                store, Selection(stream_id="a"), 0, None, event_decoder(EventCodec(OrderEvent))
            ).run_for_each(seen.append)
        assert (len(seen), raised.value.position, raised.value.stream_id) == (277, 278, "a")
        assert (raised.value.type, raised.value.schema_version) == stored_type
        await store.aclose()


@pytest.mark.parametrize("pair", [(b"", b"\1\2"), (b"\1\2", b"")])
def test_payloads_that_hold_fewer_values_than_events_are_noticed(pair):
    payloads = RecordRun(_records(*pair, b"\3", b"")).typed_payloads()
    with pytest.raises(msgspec.DecodeError):
        payloads.decoded(lambda _, array: msgspec.msgpack.decode(array))


def test_events_of_several_types_come_in_their_order():
    types = [StoredType("ab"[n % 3 == 0], 1) for n in range(20)]
    records = [StoredRecord(n, "s", n, types[n], 0, encode_plain(n)) for n in range(20)]
    payloads = RecordRun(records).typed_payloads()
    assert payloads.types == types
    decoded = payloads.decoded(lambda stored_type, array: [(stored_type, n) for n in msgspec.msgpack.decode(array)])
    assert decoded == list(zip(types, range(20), strict=True))


def test_a_quick_decoder_that_fails_costs_nothing_but_time():
    def fail(run):
        raise KeyError

    undelivered = Undelivered(RecordDecoder(_decode, fail))
    undelivered.put(RecordRun(_records(b"1", b"2")))
    assert undelivered.take(10) == [b"1", b"2"]


async def test_a_closed_inlet_hands_out_nothing(anyio_backend):
    store = SparseStore(10)
    await _filled(store)
    inlet = StoredInlet(Reading(store, Selection(), 0), RAW, None)
    assert len(await inlet.pull(3)) == 3
    await inlet.aclose()
    await inlet.aclose()
    assert await inlet.pull(3) == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_long_stream_is_read_in_bounded_memory(tmp_path, anyio_backend):
    """200,000 events are 20 MB of payloads; what is held at once is a few pages of a thousand."""
    async with Journal.open(tmp_path / "journal.db", durability="relaxed") as journal:
        events = journal.event_stream("a", OrderEvent)
        for _ in range(20):
            await events.persist([ItemAdded("x" * 80, n) for n in range(10_000)])
        tracemalloc.start()
        assert await events.query().run_fold(0, lambda count, _: count + 1) == 200_000
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak_bytes < 3_000_000
