"""What every store promises about reading: pages, selections and summaries."""
# ruff: noqa: D102 - the name of a test is a sentence

from itertools import product
from random import Random

import anyio
import pytest
from anyio.lowlevel import checkpoint

from calliope.limits import POSITION_MAX
from calliope.stores.protocol import AppendRequest, EventStore, StreamSummary
from calliope.stores.record import Attributes, NewEvent, Selection, StoredRecord, StoredType
from calliope.testing.everything import ALL, check_page, everything
from calliope.testing.requests import TIMESTAMP, append_of

PAGES_ALL_FROM = 100
"""Pages of so many records or more are read from the first to the last; smaller ones at the places that matter."""


class ReadContract:
    """Reading: pages and their ends, selections, summaries, and reading while others write."""

    async def test_an_empty_journal_reads_as_a_complete_page(self, store: EventStore) -> None:
        for page in (
            await store.read_all(ALL, after=0, limit=10),
            await store.read_stream("unknown", after=0, limit=10),
        ):
            assert (page.records, page.complete, page.head) == ([], True, store.tail.position)

    @pytest.mark.parametrize("limit", [1, 2, 7, 20, 1_000])
    async def test_pages_of_any_size_give_every_record_once_in_order(self, store: EventStore, limit: int) -> None:
        log = await _mixed_log(store, 20)
        assert await everything(store, limit=limit) == log
        for stream_id in ("a", "b"):
            own = [record for record in log if record.stream_id == stream_id]
            assert await everything(store, Selection(stream_id=stream_id), limit=limit) == own

    async def test_a_page_says_through_which_position_it_has_read(self, store: EventStore) -> None:
        log = await _mixed_log(store, 20)
        for selection in (ALL, Selection(types=frozenset({"odd"})), Selection(prefix="b")):
            for record, limit in product(log, (1, 3, 100)):
                page = await store.read_all(selection, after=record.position, limit=limit)
                check_page(page, limit)
                assert page.head == log[-1].position
                assert page.complete == (page.through >= page.head)
                assert page.records == [r for r in selection.among(log) if record.position < r.position <= page.through]

    async def test_a_page_of_a_stream_says_through_which_position_it_has_read(self, store: EventStore) -> None:
        log = await _mixed_log(store, 20)
        own = [record for record in log if record.stream_id == "a"]
        for after, limit in product(range(len(own) + 3), (1, 3, 100)):
            page = await store.read_stream("a", after=after, limit=limit)
            check_page(page, limit)
            assert page.head == log[-1].position
            assert page.records == [r for r in own[after:] if r.position <= page.through]

    @pytest.mark.parametrize("further", [0, 4, 20_000, 2**31, 2**63 - 1])
    async def test_behind_the_end_there_is_nothing(self, store: EventStore, further: int) -> None:
        (last,) = await store.append(append_of("a"))
        page = await store.read_all(ALL, after=min(last.position + further, POSITION_MAX), limit=10)
        assert (page.records, page.complete) == ([], True)
        page = await store.read_stream("a", after=min(last.sequence_number + further, POSITION_MAX), limit=10)
        assert (page.records, page.complete) == ([], True)

    async def test_a_selection_gives_what_fulfils_all_of_its_conditions(self, store: EventStore) -> None:
        log = await _varied_log(store, 150)
        prefixes = ("", "order-", "order-1", "o_der", "%", "order-%", "ö", "none", "Order")
        types = (frozenset[str](), frozenset({"added"}), frozenset({"added", "paid"}), frozenset({"never"}))
        tags = (frozenset[str](), frozenset({"red"}), frozenset({"red", "big"}), frozenset({"none"}))
        for prefix, types_, tags_ in product(prefixes, types, tags):
            selection = Selection(prefix=prefix, types=types_, tags=tags_)
            assert await everything(store, selection, limit=13) == selection.among(log), selection

    async def test_a_selection_of_one_stream_may_have_more_conditions(self, store: EventStore) -> None:
        log = await _varied_log(store, 80)
        for stream_id, types in product(("order-1", "ö-1", "none"), (frozenset[str](), frozenset({"added"}))):
            selection = Selection(stream_id=stream_id, types=types)
            page = await store.read_all(selection, after=0, limit=1_000)
            assert (page.records, page.complete) == (selection.among(log), True)

    async def test_what_is_rare_is_found_however_much_lies_before_it(self, store: EventStore) -> None:
        await store.append(append_of("many", *[b""] * 45_000))
        (rare,) = await store.append(append_of("rare", type="rare", tags=("seldom",)))
        await store.append(append_of("many", *[b""] * 25_000))
        for selection in (
            Selection(prefix="rare"),
            Selection(types=frozenset({"rare"})),
            Selection(tags=frozenset({"seldom"})),
            Selection(prefix="r", types=frozenset({"rare"}), tags=frozenset({"seldom"})),
        ):
            assert await everything(store, selection, limit=10) == [rare]

    async def test_large_payloads_come_in_as_many_pages_as_they_need(self, store: EventStore) -> None:
        log = [record for n in range(8) for record in await store.append(append_of("a", *[bytes([n]) * 600_000] * 3))]
        assert await everything(store) == log
        assert await everything(store, Selection(stream_id="a")) == log
        assert await everything(store, Selection(prefix="a")) == log

    @pytest.mark.parametrize("limit", [1, 2, 255, 256, 257, 1_000])
    async def test_a_request_of_many_events_is_read_from_any_place_in_pages_of_any_size(
        self, store: EventStore, limit: int
    ) -> None:
        log = await _log_of_large_requests(store)
        for stream_id in ("a", "b"):
            own = [record for record in log if record.stream_id == stream_id]
            if limit >= PAGES_ALL_FROM:
                assert await everything(store, Selection(stream_id=stream_id), limit=limit) == own
            for first in (0, 1, 2, 255, 256, 257, 300, 599, 600, 601, 700, len(own) - 1):
                after = first
                while after < min(first + 7 * limit, len(own)):  # some pages, one after another
                    page = await store.read_stream(stream_id, after=after, limit=limit)
                    check_page(page, limit)
                    assert page.records
                    assert page.records == own[after : after + len(page.records)]
                    assert page.run.last_sequence_number == page.records[-1].sequence_number
                    assert page.run.last_position == page.records[-1].position
                    assert len(page.run) == len(page.records)
                    after += len(page.records)
        for record in log[:: len(log) // 20]:
            page = await store.read_all(ALL, after=record.position, limit=limit)
            check_page(page, limit)
            assert page.records == [r for r in log if record.position < r.position <= page.through]

    async def test_the_events_of_a_request_are_chosen_one_by_one(self, store: EventStore) -> None:
        log = await _log_of_large_requests(store)
        for selection in (
            Selection(types=frozenset({"odd"})),
            Selection(types=frozenset({"odd"}), tags=frozenset({"tag-1"})),
            Selection(tags=frozenset({"tag-2"})),
            Selection(prefix="b", types=frozenset({"even", "single"})),
            Selection(types=frozenset({"never"})),
        ):
            assert await everything(store, selection, limit=100) == selection.among(log), selection
            for record in log[:: len(log) // 10]:
                page = await store.read_all(selection, after=record.position, limit=70)
                expected = [r for r in selection.among(log) if record.position < r.position <= page.through]
                assert page.records == expected

    async def test_payloads_by_type_are_those_of_the_records(self, store: EventStore) -> None:
        await _log_of_large_requests(store)
        for after, limit in product((0, 1, 300, 699), (10, 300, 1_000)):
            page = await store.read_stream("a", after=after, limit=limit)
            payloads = page.run.typed_payloads()
            assert list(payloads.types) == [record.type for record in page.records]
            for stored_type, array in payloads.arrays.items():
                own = [record.payload for record in page.records if record.type == stored_type]
                assert array == b"\xdd" + len(own).to_bytes(4, "big") + b"".join(own)

    async def test_what_was_appended_is_read_at_once(self, store: EventStore) -> None:
        for number in range(1, 20):
            (record,) = await store.append(append_of("a"))
            page = await store.read_stream("a", after=number - 1, limit=10)
            assert page.records == [record]
            page = await store.read_all(ALL, after=record.position - 1, limit=10)
            assert page.records == [record]
            assert await store.stream("a") == StreamSummary("a", "plain", number)

    async def test_no_position_appears_behind_a_reader(self, store: EventStore) -> None:
        """The gap problem: a reader that has read through 7 must not find out later that there is a 6."""
        seen: list[StoredRecord] = []
        written: list[StoredRecord] = []

        async def write(writer: int) -> None:
            for n in range(25):
                written.extend(await store.append(append_of(f"s-{writer}", *[b"%d" % n] * (1 + n % 3))))

        async def read(finished: anyio.Event) -> None:
            after, last = 0, False
            while not last:
                last = finished.is_set()
                page = await store.read_all(ALL, after=after, limit=50)
                seen.extend(page.records)
                last = last and page.complete
                after = page.through
                await checkpoint()

        async with anyio.create_task_group() as readers:
            finished = anyio.Event()
            readers.start_soon(read, finished)
            async with anyio.create_task_group() as writers:
                for writer in range(8):
                    writers.start_soon(write, writer)
            finished.set()
        assert seen == sorted(written, key=lambda record: record.position)

    async def test_summaries_are_sorted_by_code_point(self, store: EventStore) -> None:
        ids = ["Z", "a", "a-1", "a-10", "a-2", "b", "é", "\ufb01", "\uffff", "\U00010000", "😀"]
        for stream_id in Random(7).sample(ids, len(ids)):
            await store.append(append_of(stream_id))
        found = await store.streams(prefix="", after="", limit=100)
        assert [summary.stream_id for summary in found] == sorted(ids)

    async def test_summaries_come_in_pages_after_an_id(self, store: EventStore) -> None:
        ids = [f"s-{n:02}" for n in range(20)]
        for stream_id in ids:
            await store.append(append_of(stream_id))
        for after, limit in product(("", "s-", "s-05", "s-055", "s-18", "s-19", "t"), (1, 3, 100)):
            found = await store.streams(prefix="", after=after, limit=limit)
            assert [s.stream_id for s in found] == [stream_id for stream_id in ids if stream_id > after][:limit]

    @pytest.mark.parametrize("prefix", ["", "a", "a-", "a-1", "A", "%", "_", "a%", "é", "\U0001f600", "zz"])
    async def test_summaries_are_chosen_by_prefix(self, store: EventStore, prefix: str) -> None:
        ids = ["A", "a", "a-1", "a-11", "a-2", "ab", "%", "%a", "_", "é-1", "😀-1", "\U0010ffff"]
        for stream_id in ids:
            await store.append(append_of(stream_id))
        expected = sorted(stream_id for stream_id in ids if stream_id.startswith(prefix))
        found = await store.streams(prefix=prefix, after="", limit=100)
        assert [summary.stream_id for summary in found] == expected
        if expected:
            found = await store.streams(prefix=prefix, after=expected[0], limit=1)
            assert [summary.stream_id for summary in found] == expected[1:2]

    async def test_a_summary_gives_the_number_of_the_last_event(self, store: EventStore) -> None:
        await store.append(append_of("a", *[b""] * 3))
        await store.append(append_of("b"))
        await store.append(append_of("a", *[b""] * 4))
        summaries = [StreamSummary("a", "plain", 7), StreamSummary("b", "plain", 1)]
        assert await store.streams(prefix="", after="", limit=10) == summaries
        assert [await store.stream("a"), await store.stream("b")] == summaries
        assert await store.stream("c") is None


async def _mixed_log(store: EventStore, requests: int) -> list[StoredRecord]:
    """Write requests of one, two and three events to two streams in turn."""
    log: list[StoredRecord] = []
    for n in range(requests):
        request = append_of("ab"[n % 2], *[b"%d" % n] * (1 + n % 3), type=("even", "odd")[n % 2])
        log += await store.append(request)
    return log


async def _log_of_large_requests(store: EventStore) -> list[StoredRecord]:
    """Write requests of 1 to 600 events to two streams, of one type and of several, that share what they carry."""
    log: list[StoredRecord] = []
    for n, (count, types) in enumerate(product((600, 1, 3, 250), (("even",), ("even", "odd"), ("single",)))):
        shared = Attributes(None, (f"tag-{n % 3}",), {"request": n}) if n % 3 else Attributes()
        events = [
            NewEvent(StoredType(types[k % len(types)], 1), b"\xcd" + (k + 1_000 * n).to_bytes(2, "big"), shared)
            for k in range(count)
        ]
        events[0] = NewEvent(events[0].type, events[0].payload, Attributes(f"id-{n}", shared.tags, shared.metadata))
        for stream_id in ("a", "b"):
            log += await store.append(AppendRequest(stream_id, "plain", events, TIMESTAMP, event_id=f"id-{n}"))
    return log


async def _varied_log(store: EventStore, requests: int) -> list[StoredRecord]:
    random = Random(11)
    log: list[StoredRecord] = []
    for n in range(requests):
        stream_id = random.choice(["order-1", "order-2", "order-10", "order", "o_der-1", "%-1", "ö-1"])
        tags = tuple(tag for tag in ("big", "new", "red") if random.random() < 0.5)
        type_ = random.choice(["added", "paid", "Added", "shipped"])
        log += await store.append(append_of(stream_id, b"%d" % n, type=type_, tags=tags))
    return log
