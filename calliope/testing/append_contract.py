"""What every store promises about appending: atomic, in order, once."""
# ruff: noqa: D102 - the name of a test is a sentence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from calliope.errors import ExpectedVersionError, JournalClosedError, StreamKindError
from calliope.limits import PAYLOAD_BYTES_MAX, STREAM_ID_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX
from calliope.stores.protocol import AppendRequest, EventStore, StreamSummary
from calliope.stores.record import Selection, StoredRecord, minted_id
from calliope.testing.everything import everything
from calliope.testing.requests import TIMESTAMP, append_of


class AppendContract:
    """Appending: numbers, atomicity, expected versions, kinds, event ids, cancellation and closing."""

    async def test_the_reply_is_what_is_read_back(self, store: EventStore) -> None:
        request = append_of(
            "order-1",
            b"\x81\xa1x\x01",
            b"",
            type="item-added",
            schema_version=3,
            tags=("red", "blue"),
            metadata={"correlation_id": "c", "nested": {"list": [1, None, True, 1.5, "ü", b"\0"]}},
            event_id="e-1",
        )
        reply = await store.append(request)
        assert [(r.sequence_number, r.payload, r.attributes.event_id) for r in reply] == [
            (1, b"\x81\xa1x\x01", "e-1"),
            (2, b"", None),
        ]
        for record in reply:
            assert record.stream_id == "order-1"
            assert record.type == ("item-added", 3)
            assert record.timestamp == TIMESTAMP
            assert record.attributes.tags == ("blue", "red")
            assert record.attributes.metadata == request.events[0].attributes.metadata
        assert await everything(store) == reply
        assert await everything(store, Selection(stream_id="order-1")) == reply

    async def test_events_are_numbered_by_stream_and_placed_in_the_order_of_their_requests(
        self, store: EventStore
    ) -> None:
        replies = [
            await store.append(append_of("a", b"1", b"2")),
            await store.append(append_of("b", b"3")),
            await store.append(append_of("a", b"4")),
        ]
        records = [record for reply in replies for record in reply]
        assert [(r.stream_id, r.sequence_number) for r in records] == [("a", 1), ("a", 2), ("b", 1), ("a", 3)]
        positions = [record.position for record in records]
        assert positions == sorted(set(positions))
        assert positions[0] > 0
        assert await everything(store) == records

    async def test_the_expected_version_is_the_number_of_the_last_event(self, store: EventStore) -> None:
        await store.append(append_of("a", b"1", b"2", expected_version=0))
        (third,) = await store.append(append_of("a", b"3", expected_version=2))
        assert third.sequence_number == 3

    @pytest.mark.parametrize("expected", [0, 1, 3, 2**63 - 1])
    async def test_another_version_than_the_expected_one_writes_nothing(self, store: EventStore, expected: int) -> None:
        before = await store.append(append_of("a", b"1", b"2"))
        with pytest.raises(ExpectedVersionError) as raised:
            await store.append(append_of("a", b"3", b"4", expected_version=expected, event_id="free"))
        assert (raised.value.expected, raised.value.actual, raised.value.stream_id) == (expected, 2, "a")
        await _nothing_else_is_there(store, before)
        assert [r.sequence_number for r in await store.append(append_of("a", event_id="free"))] == [3]

    async def test_a_version_is_expected_in_vain_of_a_stream_that_does_not_exist(self, store: EventStore) -> None:
        with pytest.raises(ExpectedVersionError) as raised:
            await store.append(append_of("a", expected_version=1))
        assert raised.value.actual == 0
        await _nothing_else_is_there(store, [])
        assert await store.stream("a") is None

    async def test_of_many_that_expect_the_same_version_one_succeeds(self, store: EventStore) -> None:
        outcomes = await _together(store, [append_of("a", bytes([n]), expected_version=0) for n in range(20)])
        assert sum(isinstance(outcome, list) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, ExpectedVersionError) for outcome in outcomes) == 19
        assert len(await everything(store)) == 1

    async def test_requests_that_fail_cost_those_beside_them_nothing(self, store: EventStore) -> None:
        requests = [
            append_of(f"s-{n % 7}", b"%d" % n, b"again", expected_version=999 if n % 3 == 0 else None)
            for n in range(60)
        ]
        outcomes = await _together(store, requests)
        for n, outcome in enumerate(outcomes):
            assert isinstance(outcome, ExpectedVersionError if n % 3 == 0 else list), n
        written = [outcome for outcome in outcomes if isinstance(outcome, list)]
        assert sorted(r.position for reply in written for r in reply) == [r.position for r in await everything(store)]

    async def test_the_events_of_a_request_stand_side_by_side_however_many_write(self, store: EventStore) -> None:
        outcomes = await _together(store, [append_of(f"s-{n % 3}", *[b"%d" % n] * 5) for n in range(40)])
        log = await everything(store)
        assert [record.payload for record in log[::5]] == [record.payload for record in log[4::5]]
        assert len(log) == 200
        for stream_id in ("s-0", "s-1", "s-2"):
            numbers = [record.sequence_number for record in log if record.stream_id == stream_id]
            assert numbers == list(range(1, len(numbers) + 1))
        assert all(isinstance(outcome, list) and outcome[0] in log for outcome in outcomes)

    async def test_an_event_id_is_written_once_and_gives_the_first_reply_again(self, store: EventStore) -> None:
        first = await store.append(append_of("a", b"1", b"2", event_id="id"))
        await store.append(append_of("a", b"3"))
        assert await store.append(append_of("a", b"1", b"2", event_id="id")) == first
        assert await store.append(append_of("a", b"other", expected_version=0, event_id="id")) == first
        assert [record.payload for record in await everything(store)] == [b"1", b"2", b"3"]

    @pytest.mark.parametrize(("count", "size"), [(2_500, 10), (600, 10_000), (12, 500_000)])
    async def test_the_first_reply_is_complete_however_large_the_request_was(
        self, store: EventStore, count: int, size: int
    ) -> None:
        request = append_of("a", *[bytes(size)] * count, event_id="id")
        first = await store.append(request)
        again = await store.append(request)
        assert len(again) == count
        assert again == first

    async def test_an_event_id_sent_many_times_at_once_is_written_once(self, store: EventStore) -> None:
        replies = await _together(store, [append_of("a", b"1", b"2", event_id="id")] * 20)
        log = await everything(store)
        assert len(log) == 2
        assert all(reply == log for reply in replies)

    async def test_an_event_id_belongs_to_its_stream(self, store: EventStore) -> None:
        await store.append(append_of("a", b"1", event_id="id"))
        (other,) = await store.append(append_of("b", b"2", event_id="id"))
        assert (other.stream_id, other.payload) == ("b", b"2")

    async def test_the_id_that_a_journal_mints_finds_the_event_again(self, store: EventStore) -> None:
        _, second, third = [
            *await store.append(append_of("a", b"1", b"2")),
            *await store.append(append_of("a", b"3")),
        ]
        for record in (second, third):
            again = append_of("a", b"other", event_id=minted_id(store.journal_id, record.position))
            assert await store.append(again) == [record]
        assert len(await everything(store)) == 3

    async def test_a_minted_id_of_nothing_in_this_stream_is_new(self, store: EventStore) -> None:
        (elsewhere,) = await store.append(append_of("b", b"1"))
        (named,) = await store.append(append_of("a", b"2", event_id="its own"))
        strangers = [
            minted_id(store.journal_id, elsewhere.position),  # names an event of another stream
            minted_id(store.journal_id, named.position),  # that event has another id
            f"{store.journal_id}-0{named.position}",  # is not how positions are written
            f"{store.journal_id}-0",
            f"{store.journal_id}-{2**63}",
            f"{store.journal_id}-",
            minted_id("another", 1),
        ]
        for number, event_id in enumerate(strangers, 2):
            (record,) = await store.append(append_of("a", b"new", event_id=event_id))
            assert (record.sequence_number, record.attributes.event_id) == (number, event_id)

    async def test_a_minted_id_is_not_confused_by_what_is_written_with_it(self, store: EventStore) -> None:
        (first,) = await store.append(append_of("a", b"1"))
        following = minted_id(store.journal_id, first.position + 1)
        requests = [append_of("a", b"2"), append_of("a", b"3", event_id=following), append_of("a", b"4")]
        outcomes = await _together(store, requests)
        assert all(isinstance(outcome, list) for outcome in outcomes), outcomes

    async def test_a_stream_is_of_one_kind_from_its_first_event_on(self, store: EventStore) -> None:
        plain = await store.append(append_of("p", kind="plain"))
        with pytest.raises(StreamKindError) as raised:
            await store.append(append_of("p", kind="replicated"))
        assert (raised.value.stream_id, raised.value.expected, raised.value.actual) == ("p", "replicated", "plain")
        await _nothing_else_is_there(store, plain)
        assert await store.stream("p") == StreamSummary("p", "plain", 1)

    async def test_a_replicated_stream_is_not_written_to_without_a_writer(self, store: EventStore) -> None:
        with pytest.raises(ValueError, match="must say who writes it"):
            await store.append(append_of("r", kind="replicated"))
        await _nothing_else_is_there(store, [])

    async def test_what_is_as_large_as_the_limits_allow_reads_back(self, store: EventStore) -> None:
        stream_id = "ü" * (STREAM_ID_BYTES_MAX // 2)
        tags = tuple(str(n).rjust(TAG_BYTES_MAX, "t") for n in range(TAGS_MAX))
        reply = await store.append(append_of(stream_id, bytes(PAYLOAD_BYTES_MAX), tags=tags, event_id="i" * 128))
        assert await everything(store, Selection(stream_id=stream_id, tags=frozenset(tags))) == reply
        assert await everything(store, Selection(tags=frozenset(tags))) == reply

    async def test_ids_that_look_alike_are_different_streams(self, store: EventStore) -> None:
        ids = [
            "a",
            "A",
            " a",
            "a ",
            "\xe0",
            "a\u0300",
            "%",
            "_",
            "a'b",
            'a"b',
            "\n",
            "\U0001f600",
            "\ufeff",
            "\ufeffa",
            "0",
            "00",
        ]
        for stream_id in ids:
            await store.append(append_of(stream_id, stream_id.encode()))
        for stream_id in ids:
            (record,) = await everything(store, Selection(stream_id=stream_id))
            assert (record.stream_id, record.payload) == (stream_id, stream_id.encode())

    async def test_a_cancelled_append_is_written_as_a_whole_or_not_at_all(self, store: EventStore) -> None:
        for turns in range(25):
            request = append_of(f"s-{turns}", b"1", b"2", b"3", event_id="id")
            async with anyio.create_task_group() as group:
                group.start_soon(store.append, request)
                for _ in range(turns):
                    await checkpoint()
                group.cancel_scope.cancel()
            found = await everything(store, Selection(stream_id=request.stream_id))
            assert len(found) in (0, 3)
            assert [r.sequence_number for r in await store.append(request)] == [1, 2, 3]
        assert len(await everything(store)) == 75

    async def test_a_cancelled_append_does_not_disturb_those_beside_it(self, store: EventStore) -> None:
        async with anyio.create_task_group() as group, anyio.create_task_group() as cancelled:
            for n in range(10):
                group.start_soon(store.append, append_of("a", b"%d" % n))
                cancelled.start_soon(store.append, append_of("b", b"%d" % n))
            await checkpoint()
            cancelled.cancel_scope.cancel()
        assert [r.sequence_number for r in await everything(store, Selection(stream_id="a"))] == list(range(1, 11))
        assert len(await store.append(append_of("b"))) == 1

    async def test_a_closed_store_refuses_everything(self, store: EventStore) -> None:
        await store.append(append_of("a"))
        await store.aclose()
        await store.aclose()
        with pytest.raises(JournalClosedError):
            await store.append(append_of("a"))
        with pytest.raises(JournalClosedError):
            await store.read_stream("a", after=0, limit=1)
        with pytest.raises(JournalClosedError):
            await store.read_all(Selection(), after=0, limit=1)
        with pytest.raises(JournalClosedError):
            await store.stream("a")
        with pytest.raises(JournalClosedError):
            await store.streams(prefix="", after="", limit=1)
        with pytest.raises(JournalClosedError):
            await store.load_snapshot("a", through=1)

    async def test_closing_leaves_no_caller_waiting(self, store: EventStore) -> None:
        outcomes: list[object] = []

        async def append(n: int) -> None:
            try:
                outcomes.append(await store.append(append_of(f"s-{n}")))
            except JournalClosedError as error:
                outcomes.append(error)

        async with anyio.create_task_group() as group:
            for n in range(30):
                group.start_soon(append, n)
            await checkpoint()
            await store.aclose()
        assert len(outcomes) == 30


async def _together(store: EventStore, requests: list[AppendRequest]) -> list[list[StoredRecord] | Exception]:
    """Append requests at the same time; return each one's records or error."""
    outcomes: dict[int, list[StoredRecord] | Exception] = {}

    async def append(index: int, request: AppendRequest) -> None:
        try:
            outcomes[index] = await store.append(request)
        except Exception as error:
            outcomes[index] = error

    async with anyio.create_task_group() as group:
        for index, request in enumerate(requests):
            group.start_soon(append, index, request)
    return [outcomes[index] for index in range(len(requests))]


async def _nothing_else_is_there(store: EventStore, records: list[StoredRecord]) -> None:
    assert await everything(store) == records
    assert store.tail.position == max([record.position for record in records], default=store.tail.position)
    streams = {record.stream_id for record in records}
    assert {summary.stream_id for summary in await store.streams(prefix="", after="", limit=100)} == streams
