from datetime import UTC, datetime, timedelta

import pytest

from calliope import Journal, PersistReply
from calliope.recorded_event import RecordedEvent
from calliope.stores.record import Attributes, StoredRecord, StoredType
from crdts import VersionVector
from tests.unit.calliope.conftest import TIME_MICROSECONDS
from tests.unit.calliope.orders import ItemAdded, OrderEvent, Paid

pytestmark = pytest.mark.anyio


async def test_a_recorded_event_says_all_there_is_to_know(journal: Journal):
    stream = journal.event_stream("order-17", OrderEvent)
    await stream.persist(ItemAdded("a"))
    await stream.persist(Paid(5), tags=["b", "a"], metadata={"k": "v"}, event_id="mine")
    record = await stream.records(after=1).run_first()
    assert record.id == "mine"
    assert record.type == "order-paid"
    assert record.schema_version == 1
    assert record.stream_id == "order-17"
    assert record.sequence_number == 2
    assert record.position == 2
    assert record.version == VersionVector({journal.id: 2})
    assert record.replica_id == journal.id
    assert record.tags == frozenset({"a", "b"})
    assert record.metadata == {"k": "v"}
    assert record.timestamp == datetime.fromtimestamp(TIME_MICROSECONDS // 1_000_000, UTC) + timedelta(microseconds=1)
    assert record.timestamp.tzinfo is UTC
    assert record.data == Paid(5)
    assert repr(record) == "<RecordedEvent 'order-paid' 'order-17'#2 position=2 data=Paid(amount=5)>"


async def test_an_event_that_nobody_named_has_an_id_of_its_own(journal: Journal):
    reply = await journal.event_stream("a", OrderEvent).persist([Paid(), Paid()])
    other = await journal.event_stream("b", OrderEvent).persist(Paid())
    ids = [record.id for record in (*reply.records, *other.records)]
    assert len(set(ids)) == 3
    assert [record.id for record in await journal.records().run_collect()] == ids
    assert all(id_.startswith(journal.id) for id_ in ids)


async def test_of_several_events_the_first_bears_the_name(journal: Journal):
    reply = await journal.event_stream("a", OrderEvent).persist([Paid(1), Paid(2)], event_id="mine")
    assert reply.records[0].id == "mine"
    assert reply.records[1].id.startswith(journal.id)


async def test_a_recorded_event_is_the_same_however_it_is_read(journal: Journal):
    stream = journal.event_stream("a", OrderEvent)
    reply = await stream.persist(Paid(1), tags="t", metadata={"a": [1]})
    ways = [
        reply.records[0],
        await stream.records().run_first(),
        await stream.live_records().run_first(),
        await journal.records().run_first(),
        await journal.live_records(tags="t").run_first(),
    ]
    assert all(record == ways[0] for record in ways)
    assert len(set(ways)) == 1


def _record(journal_id="journal", data=None, **changes):
    facts = {"position": 1, "stream_id": "a", "sequence_number": 1, "type": StoredType("t", 1), "timestamp": 0}
    return RecordedEvent(StoredRecord(**{**facts, "payload": b"p", **changes}), data, journal_id)


def test_recorded_events_differ_in_any_part():
    record = _record()
    assert record == _record()
    assert hash(record) == hash(_record())
    for other in (
        _record(position=2),
        _record(stream_id="b"),
        _record(payload=b"q"),
        _record(attributes=Attributes("id")),
        _record(attributes=Attributes(None, ("tag",))),
        _record(journal_id="another"),
        _record(data=1),
        "a string",
    ):
        assert record != other


def test_a_recorded_event_cannot_be_changed():
    record = _record(attributes=Attributes(None, ("tag",), {"a": 1}))
    with pytest.raises(AttributeError):
        record.position = 2
    with pytest.raises(TypeError):
        record.metadata["a"] = 2
    with pytest.raises(AttributeError):
        record.anything_else = 2


@pytest.mark.parametrize(
    ("microseconds", "expected"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1, datetime(1970, 1, 1, microsecond=1, tzinfo=UTC)),
        (253_402_300_799_999_999, datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_a_timestamp_is_exact_to_the_microsecond(microseconds, expected):
    assert _record(timestamp=microseconds).timestamp == expected


async def test_a_reply_tells_where_the_last_of_the_events_stands(journal: Journal):
    stream = journal.event_stream("a", OrderEvent)
    await journal.event_stream("b", OrderEvent).persist(Paid())
    reply = await stream.persist([Paid(1), Paid(2), Paid(3)])
    assert (reply.sequence_number, reply.position) == (3, 4)
    assert reply.version == VersionVector({journal.id: 3})
    assert [record.data for record in reply.records] == [Paid(1), Paid(2), Paid(3)]
    assert [record.sequence_number for record in reply.records] == [1, 2, 3]
    assert reply.concurrent_update_detected is False
    assert reply.concurrent_updates == ()
    assert repr(reply) == "<PersistReply sequence_number=3 position=4>"


async def test_replies_are_equal_when_their_records_are(journal: Journal):
    stream = journal.event_stream("a", OrderEvent)
    one = await stream.persist([Paid(1), Paid(2)], event_id="one")
    two = await stream.persist(Paid(2))
    again = await stream.persist(Paid(9), event_id="one")
    assert (one, hash(one)) == (again, hash(again))
    assert one != two
    assert one != "a string"
    assert isinstance(one, PersistReply)
