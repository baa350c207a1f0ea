"""What `persist` refuses: by name, on every store alike, and with nothing written."""

from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

import pytest

from calliope import EventEncodingError, Journal, with_metadata
from calliope.limits import (
    EVENT_ID_BYTES_MAX,
    METADATA_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    POSITION_MAX,
    REQUEST_BYTES_MAX,
    REQUEST_EVENTS_MAX,
    TAG_BYTES_MAX,
    TAGS_MAX,
)
from tests.unit.calliope.orders import ItemAdded, OrderEvent, Paid

pytestmark = pytest.mark.anyio


async def _nothing_was_written(journal: Journal) -> None:
    assert await journal.records().run_collect() == []
    assert await journal.streams().run_collect() == []


class Label(StrEnum):
    RED = "red"


RECURSIVE: dict[str, object] = {}
RECURSIVE["itself"] = RECURSIVE


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        ({"expected_version": -1}, ValueError, "expected_version must be from 0 to 9223372036854775807, not -1"),
        ({"expected_version": POSITION_MAX + 1}, ValueError, "expected_version must be from 0 to"),
        ({"expected_version": True}, TypeError, "expected_version must be an int, not True"),
        ({"expected_version": 1.0}, TypeError, r"expected_version must be an int, not 1\.0"),
        ({"expected_version": "1"}, TypeError, "expected_version must be an int, not '1'"),
        ({"event_id": ""}, ValueError, "event_id must not be empty"),
        ({"event_id": "x" * (EVENT_ID_BYTES_MAX + 1)}, ValueError, "event_id 'x+…' must have at most 128 bytes"),
        ({"event_id": "a\0"}, ValueError, "event_id .* must not contain NUL"),
        ({"event_id": "\ud800"}, ValueError, "event_id .* must not contain lone surrogates"),
        ({"event_id": 5}, TypeError, "event_id must be a str, not 5"),
        ({"event_id": b"id"}, TypeError, "event_id must be a str, not b'id'"),
        ({"tags": ""}, ValueError, "tag must not be empty"),
        ({"tags": [""]}, ValueError, "tag must not be empty"),
        ({"tags": ["a", "b\0"]}, ValueError, "tag .* must not contain NUL"),
        ({"tags": "\udfff"}, ValueError, "tag .* must not contain lone surrogates"),
        ({"tags": "x" * (TAG_BYTES_MAX + 1)}, ValueError, "tag 'x+…' must have at most 256 bytes"),
        ({"tags": [str(n) for n in range(TAGS_MAX + 1)]}, ValueError, "at most 64 tags are allowed, not 65"),
        ({"tags": ["a", 5]}, TypeError, "tag must be a str, not 5"),
        ({"tags": b"red"}, TypeError, "tag must be a str, not "),
        ({"tags": [Label.RED]}, TypeError, "tag must be a str, not <Label.RED: 'red'>"),
        ({"tags": 5}, TypeError, "tags must be a str or a collection of them, not 5"),
        ({"metadata": {"a": object()}}, ValueError, r"metadata \{'a': <object object at .* cannot be stored"),
        ({"metadata": {"a": "\ud800"}}, ValueError, "metadata .* cannot be stored"),
        ({"metadata": {"a": 2**64}}, ValueError, "metadata .* cannot be stored"),
        ({"metadata": {"a": (1, 2)}}, ValueError, r"metadata must be plain data with text keys, not \{'a': \(1, 2\)\}"),
        ({"metadata": {"a": {1}}}, ValueError, "metadata must be plain data"),
        ({"metadata": {"a": ItemAdded("a")}}, ValueError, "metadata must be plain data"),
        ({"metadata": {"a": UUID(int=1)}}, ValueError, "metadata must be plain data"),
        ({"metadata": {"a": float("nan")}}, ValueError, "metadata must be plain data"),
        ({"metadata": {1: "a"}}, ValueError, "metadata must be plain data with text keys"),
        ({"metadata": RECURSIVE}, ValueError, "metadata .*itself.* cannot be stored: maximum recursion"),
        (
            {"metadata": {"a": "x" * METADATA_BYTES_MAX}},
            ValueError,
            "metadata must have at most 65536 bytes, not 65544",
        ),
        ({"metadata": [("a", 1)]}, TypeError, r"metadata must be a mapping, not \[\('a', 1\)\]"),
        ({"metadata": []}, TypeError, r"metadata must be a mapping, not \[\]"),
        ({"metadata": "text"}, TypeError, "metadata must be a mapping, not 'text'"),
    ],
)
async def test_an_illegal_argument_is_named_and_nothing_is_written(journal: Journal, arguments, error, complaint):
    stream = journal.event_stream("order-1", OrderEvent)
    for events in (ItemAdded("a"), [ItemAdded("a"), Paid()]):
        with pytest.raises(error, match=complaint):
            await stream.persist(events, **arguments)
    await _nothing_was_written(journal)


@pytest.mark.parametrize(
    ("events", "error", "complaint"),
    [
        ([], ValueError, "there is nothing to persist: the list of events is empty"),
        ((), ValueError, "there is nothing to persist: the list of events is empty"),
        (None, TypeError, "None is no event of this stream, which holds ItemAdded, Paid"),
        ("text", TypeError, "'text' is no event of this stream"),
        ([ItemAdded("a"), "text"], TypeError, "'text' is no event of this stream"),
        ([ItemAdded("a"), [Paid()]], TypeError, "is no event of this stream"),
        ({"sku": "a"}, TypeError, r"\{'sku': 'a'\} is no event of this stream"),
        (ItemAdded, TypeError, "<class '.*ItemAdded'> is no event of this stream"),
        ((event for event in [Paid()]), TypeError, "<generator object .* is no event of this stream"),
        (
            [ItemAdded("a"), Paid("x")],
            EventEncodingError,
            r"Paid\(amount='x'\) cannot be stored: Expected `int`, got `str`",
        ),
        (ItemAdded("\ud800"), EventEncodingError, "ItemAdded.* cannot be stored: .*surrogates not allowed"),
        (ItemAdded("x" * PAYLOAD_BYTES_MAX), EventEncodingError, "it has 786.* bytes, at most 786432 are allowed"),
        ([Paid()] * (REQUEST_EVENTS_MAX + 1), ValueError, "at most 100000 events fit one request, not 100001"),
        ([ItemAdded("x" * 700_000)] * 100, ValueError, "at most 67108864 bytes fit one request, not 700"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_what_cannot_be_stored_is_named_and_nothing_is_written(journal: Journal, events, error, complaint):
    with pytest.raises(error, match=complaint):
        await journal.event_stream("order-1", OrderEvent).persist(events)
    await _nothing_was_written(journal)


async def test_metadata_counts_for_every_event_of_a_request(journal: Journal):
    metadata = {"a": "x" * 60_000}
    events = [Paid()] * (REQUEST_BYTES_MAX // 60_000 + 1)
    with pytest.raises(ValueError, match="at most 67108864 bytes fit one request, not 67"):
        await journal.event_stream("order-1", OrderEvent).persist(events, metadata=metadata)
    await _nothing_was_written(journal)


@pytest.mark.parametrize("time", [1.5, "now", None, -1, 2**63, 253_402_300_800_000_000])
async def test_a_clock_that_gives_no_time_is_refused_before_it_harms_others(time):
    async with Journal.open("memory://", clock=lambda: time) as journal:
        with pytest.raises((TypeError, ValueError), match="the clock's time must be "):
            await journal.event_stream("order-1", OrderEvent).persist(Paid())
        await _nothing_was_written(journal)


async def test_as_much_as_the_limits_allow_is_stored(journal: Journal):
    tags = [f"{n:0{TAG_BYTES_MAX}}" for n in range(TAGS_MAX)]
    metadata = {"a": "x" * (METADATA_BYTES_MAX - 6)}
    sku = "x" * (PAYLOAD_BYTES_MAX - 21)
    stream = journal.event_stream("o" * 512, OrderEvent)
    await stream.persist(
        ItemAdded(sku), event_id="i" * EVENT_ID_BYTES_MAX, tags=tags, metadata=metadata, expected_version=0
    )
    (record,) = await stream.records().run_collect()
    assert (record.data, record.id) == (ItemAdded(sku), "i" * EVENT_ID_BYTES_MAX)
    assert record.tags == set(tags)
    assert record.metadata == metadata


async def test_tags_are_a_set_however_they_are_given(journal: Journal):
    stream = journal.event_stream("order-1", OrderEvent)
    for tags in ("red", ["red", "red"], {"red"}, ("red",), iter(["red"]), {"red": 1}):
        await stream.persist(Paid(), tags=tags)
    assert {record.tags for record in await stream.records().run_collect()} == {frozenset({"red"})}
    await stream.persist(Paid(), tags=[])
    assert (await stream.records(after=6).run_first()).tags == frozenset()


async def test_an_event_id_may_be_a_uuid(journal: Journal):
    stream = journal.event_stream("order-1", OrderEvent)
    name = UUID("0123456789abcdef0123456789abcdef")
    reply = await stream.persist(Paid(), event_id=name)
    assert reply.records[0].id == str(name)
    assert await stream.persist(Paid(), event_id=str(name)) == reply


async def test_metadata_is_what_it_was_when_it_was_persisted(journal: Journal):
    stream = journal.event_stream("order-1", OrderEvent)
    metadata = {"list": [1], "dict": {"a": 1}}
    reply = await stream.persist(Paid(), metadata=MappingProxyType(metadata))
    metadata["list"].append(2)
    metadata["more"] = 1
    for record in (reply.records[0], await stream.records().run_first()):
        assert record.metadata == {"list": [1], "dict": {"a": 1}}


@pytest.mark.parametrize("value", [None, True, 5, -1.5, "ü", b"\0", [1, [2]], {"a": {"b": None}}, [], {}])
async def test_metadata_is_any_plain_data(journal: Journal, value):
    stream = journal.event_stream("order-1", OrderEvent)
    await stream.persist(Paid(), metadata={"": value, "key": value})
    assert (await stream.records().run_first()).metadata == {"": value, "key": value}


async def test_no_metadata_and_empty_metadata_are_the_same(journal: Journal):
    stream = journal.event_stream("order-1", OrderEvent)
    await stream.persist(Paid(), metadata={})
    with with_metadata():
        await stream.persist(Paid())
    assert [record.metadata for record in await stream.records().run_collect()] == [{}, {}]
