"""Which class an event is of when a reader across streams does not say."""

from dataclasses import dataclass

import pytest

from calliope import EventDecodingError, Journal, UnknownEventTypeError, UntypedEvent, event
from tests.unit.calliope.orders import ItemAdded, OrderEvent, Paid

pytestmark = pytest.mark.anyio


async def _data(journal: Journal) -> list[object]:
    return await journal.records().map(lambda record: record.data).run_collect()


async def test_the_classes_that_a_journal_was_used_with_are_known(journal: Journal):
    await journal.event_stream("a", OrderEvent).persist([ItemAdded("x"), Paid(1)])
    assert await _data(journal) == [ItemAdded("x"), Paid(1)]
    assert [record.data for record in await journal.live_records().take(2).run_collect()] == [ItemAdded("x"), Paid(1)]


async def test_decorated_classes_are_known_to_every_journal(journal: Journal):
    await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("order-paid", {"amount": 5}))
    assert await _data(journal) == [Paid(5)]


async def test_a_class_that_nobody_decorated_is_unknown_until_it_is_used(journal: Journal):
    await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("ItemAdded", {"sku": "x"}))
    with pytest.raises(
        UnknownEventTypeError, match=r"is of no known type; say event_type=… \(UntypedEvent reads plain"
    ):
        await _data(journal)
    journal.event_stream("b", ItemAdded)
    assert await _data(journal) == [ItemAdded("x")]


async def test_everything_can_be_read_as_plain_data(journal: Journal):
    await journal.event_stream("a", OrderEvent).persist(Paid(5))
    await journal.event_stream("b", UntypedEvent).persist(UntypedEvent("gone", {"a": 1}, 3))
    records = await journal.records(event_type=UntypedEvent).run_collect()
    assert [record.data for record in records] == [
        UntypedEvent("order-paid", {"amount": 5}),
        UntypedEvent("gone", {"a": 1}, 3),
    ]


async def test_two_classes_of_one_stored_name_are_not_guessed_between(journal: Journal):
    @event("twice")
    @dataclass
    class One:
        x: int

    @event("twice")
    @dataclass
    class Two:
        x: int

    await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("twice", {"x": 1}))
    with pytest.raises(
        UnknownEventTypeError, match=r"could be any of .*<locals>\.One, .*<locals>\.Two; say event_type="
    ):
        await _data(journal)
    journal.event_stream("a", One)
    assert await _data(journal) == [One(1)]


async def test_two_classes_that_a_journal_was_used_with_are_not_guessed_between(journal: Journal):
    @event("used-twice")
    @dataclass
    class One:
        x: int

    @event("used-twice")
    @dataclass
    class Two:
        x: int

    await journal.event_stream("a", One).persist(One(1))
    journal.event_stream("b", Two)
    with pytest.raises(UnknownEventTypeError, match="could be any of") as raised:
        await _data(journal)
    assert (raised.value.stream_id, raised.value.position, raised.value.type) == ("a", 1, "used-twice")


async def test_of_a_class_that_is_defined_again_the_later_definition_counts(journal: Journal):
    def define() -> type:
        @event("again-and-again")
        @dataclass
        class Again:
            x: int

        return Again

    earlier, later = define(), define()
    await journal.event_stream("a", earlier).persist(earlier(1))
    journal.event_stream("a", later)
    assert await _data(journal) == [later(1)]


async def test_what_precedes_an_unknown_type_is_delivered_first(journal: Journal):
    await journal.event_stream("a", OrderEvent).persist([Paid(1), Paid(2)])
    await journal.event_stream("b", UntypedEvent).persist([UntypedEvent("gone", {}), UntypedEvent("order-paid", {})])
    seen: list[object] = []
    with pytest.raises(UnknownEventTypeError) as raised:
        await journal.records().run_for_each(seen.append)
    assert len(seen) == 2
    assert (raised.value.stream_id, raised.value.position) == ("b", 3)


async def test_a_payload_that_does_not_fit_is_an_error_across_streams_too(journal: Journal):
    await journal.event_stream("b", UntypedEvent).persist(UntypedEvent("order-paid", {"amount": "much"}))
    with pytest.raises(
        EventDecodingError, match="event 'order-paid' version 1 at position 1 of stream 'b' does not fit"
    ):
        await _data(journal)
