import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
import pydantic
import pytest
from typing_extensions import TypeAliasType

from calliope import (
    EventEncodingError,
    Journal,
    Snapshot,
    SnapshotSummary,
    UnknownEventTypeError,
    UnreadableSnapshotWarning,
    event,
    upcast,
)
from calliope.limits import POSITION_MAX
from calliope.snapshots import Restored
from calliope.stores.protocol import StoredSnapshot
from calliope.stores.record import StoredType
from tests.unit.calliope.conftest import TIME_MICROSECONDS

pytestmark = pytest.mark.anyio


@dataclass
class Order:
    items: dict[str, int] = field(default_factory=dict)
    paid: bool = False


@dataclass
class Open:
    items: int


@dataclass
class Closed:
    reason: str


class Model(pydantic.BaseModel):
    at: datetime


class Struct(msgspec.Struct):
    x: int


State = TypeAliasType("State", Open | Closed)


async def test_a_saved_state_is_loaded(journal: Journal):
    await journal.snapshots.save_snapshot("order-17", Order({"a": 1}, paid=True), sequence_number=3)
    snapshot = await journal.snapshots.load_snapshot("order-17", Order)
    time = datetime.fromtimestamp(TIME_MICROSECONDS // 1_000_000, UTC)
    assert snapshot == Snapshot("order-17", 3, "Order", time, Order({"a": 1}, paid=True))
    assert snapshot is not None
    assert snapshot.state.items == {"a": 1}


async def test_there_is_none_unless_it_was_saved(journal: Journal):
    await journal.snapshots.save_snapshot("a", Order(), sequence_number=3)
    assert await journal.snapshots.load_snapshot("b", Order) is None
    assert await journal.snapshots.list_snapshots("b") == []


@pytest.mark.parametrize("number", [0, 1, POSITION_MAX - 1, POSITION_MAX])
async def test_a_state_may_have_seen_any_number_of_events(journal: Journal, number):
    await journal.snapshots.save_snapshot("a", Order(), sequence_number=number)
    snapshot = await journal.snapshots.load_snapshot("a", Order)
    assert snapshot is not None
    assert snapshot.sequence_number == number


async def test_the_newest_is_loaded_and_the_same_is_replaced(journal: Journal):
    for number, items in ((5, 1), (9, 2), (7, 3), (9, 4)):
        await journal.snapshots.save_snapshot("a", Open(items), sequence_number=number)
    snapshot = await journal.snapshots.load_snapshot("a", Open)
    assert snapshot is not None
    assert (snapshot.sequence_number, snapshot.state) == (9, Open(4))
    assert [s.sequence_number for s in await journal.snapshots.list_snapshots("a")] == [9, 7, 5]


async def test_snapshots_are_listed_without_their_states(journal: Journal):
    await journal.snapshots.save_snapshot("a", Open(1), sequence_number=1)
    await journal.snapshots.save_snapshot("a", Closed("x"), sequence_number=2)
    time = datetime.fromtimestamp(TIME_MICROSECONDS // 1_000_000, UTC)
    assert await journal.snapshots.list_snapshots("a") == [
        SnapshotSummary("a", 2, "Closed", time + timedelta(microseconds=1)),
        SnapshotSummary("a", 1, "Open", time),
    ]


async def test_saving_can_keep_the_newest_only(journal: Journal):
    for number in range(1, 6):
        await journal.snapshots.save_snapshot("a", Open(number), sequence_number=number, keep=2)
        await journal.snapshots.save_snapshot("b", Open(number), sequence_number=number)
    assert [s.sequence_number for s in await journal.snapshots.list_snapshots("a")] == [5, 4]
    assert len(await journal.snapshots.list_snapshots("b")) == 5


async def test_snapshots_are_deleted_all_or_all_but_the_newest(journal: Journal):
    for number in range(1, 6):
        await journal.snapshots.save_snapshot("a", Open(number), sequence_number=number)
    assert await journal.snapshots.delete_snapshots("a", keep=2) == 3
    assert await journal.snapshots.delete_snapshots("a", keep=2) == 0
    assert await journal.snapshots.delete_snapshots("a") == 2
    assert await journal.snapshots.load_snapshot("a", Open) is None


@pytest.mark.parametrize(
    ("state", "state_type"),
    [
        (Open(1), Open | Closed),
        (Closed("x"), Open | Closed),
        (Closed("x"), State),
        (Model(at=datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)), Model),
        (Struct(5), Struct),
        ({"a": [1, None]}, dict),
        ({"a": 1}, dict[str, int]),
        ({1, 2}, set[int]),
        ({"a": 1}, Any),
        (5, int),
        ("text", str),
        ([1, 2], list[int]),
        (None, None),
        (Open(1), Any),
    ],
)
async def test_a_state_is_an_object_of_any_class_or_plain_data(journal: Journal, state, state_type):
    await journal.snapshots.save_snapshot("a", state, sequence_number=1)
    snapshot = await journal.snapshots.load_snapshot("a", state_type)
    assert snapshot is not None
    assert snapshot.state == (state if state_type is not Any or isinstance(state, dict) else {"items": 1})


async def test_a_state_of_another_type_is_passed_over_with_a_warning(journal: Journal):
    await journal.snapshots.save_snapshot("a", Open(1), sequence_number=1)
    await journal.snapshots.save_snapshot("a", Closed("x"), sequence_number=2)
    with pytest.warns(
        UnreadableSnapshotWarning, match="snapshot 'a' at 2 cannot be read: it is a 'Closed', not Open"
    ) as warned:
        snapshot = await journal.snapshots.load_snapshot("a", Open)
    assert snapshot is not None
    assert (snapshot.sequence_number, snapshot.state) == (1, Open(1))
    assert warned[0].filename == __file__, "the warning points at who loads"
    with pytest.warns(UnreadableSnapshotWarning):
        assert await journal.snapshots.load_snapshot("a", Order) is None


async def test_a_state_is_upcast(journal: Journal):
    @event("basket", version=3, aliases=["Basket"])
    @dataclass
    class Basket:
        items: int
        owner: str

    upcast(Basket, from_version=1)(lambda payload: {**payload, "items": 0})
    store = journal._store
    await store.save_snapshot(
        StoredSnapshot("a", 1, StoredType("Basket", 1), 0, msgspec.msgpack.encode({"owner": "o"}))
    )
    await store.save_snapshot(StoredSnapshot("a", 2, StoredType("basket", 4), 0, msgspec.msgpack.encode({})))
    with pytest.warns(UnreadableSnapshotWarning) as warned:
        assert await journal.snapshots.load_snapshot("a", Basket) is None
    assert [str(warning.message) for warning in warned] == [
        "snapshot 'a' at 2 cannot be read: no upcaster takes version 4 to 3",
        "snapshot 'a' at 1 cannot be read: no upcaster takes version 1 to 3",
    ]
    upcast(Basket, from_version=2)(lambda payload: {**payload, "items": payload["items"] + 1})
    with pytest.warns(UnreadableSnapshotWarning, match="version 4"):
        snapshot = await journal.snapshots.load_snapshot("a", Basket)
    assert snapshot is not None
    assert snapshot.state == Basket(1, "o")


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", msgspec.msgpack.encode({"items": "many"}), msgspec.msgpack.encode(5)]
)
async def test_a_state_that_does_not_fit_is_passed_over_with_a_warning(journal: Journal, payload):
    await journal.snapshots.save_snapshot("a", Open(1), sequence_number=1)
    await journal._store.save_snapshot(StoredSnapshot("a", 2, StoredType("Open", 1), 0, payload))
    with pytest.warns(UnreadableSnapshotWarning, match="snapshot 'a' at 2 cannot be read"):
        snapshot = await journal.snapshots.load_snapshot("a", Open)
    assert snapshot is not None
    assert snapshot.sequence_number == 1


@pytest.mark.parametrize(
    "column", ["payload = x'81a56974656d7305'", "timestamp = 1", "type = 'Closed'", "checksum = 1"]
)
async def test_a_damaged_state_is_passed_over_with_a_warning(tmp_path, anyio_backend, column):
    path = tmp_path / "journal.db"
    async with Journal.open(path) as journal:
        await journal.snapshots.save_snapshot("a", Open(1), sequence_number=1)
        await journal.snapshots.save_snapshot("a", Open(2), sequence_number=2)
        await journal._store._write(  # within the file layer that seals pages, so that only the row is wrong
            lambda connection: connection.execute(f"UPDATE snapshot SET {column} WHERE sequence_number = 2").fetchall()
        )
        with pytest.warns(UnreadableSnapshotWarning, match="snapshot 'a' at 2 cannot be read: it does not match its"):
            snapshot = await journal.snapshots.load_snapshot("a", Open)
    assert snapshot is not None
    assert (snapshot.sequence_number, snapshot.state) == (1, Open(1))
    assert sqlite3.sqlite_version


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        (("", Open(1), 1), ValueError, "snapshot_id must not be empty"),
        (("x" * 10_000, Open(1), 1), ValueError, "snapshot_id .* at most 512 bytes"),
        (("\0", Open(1), 1), ValueError, "snapshot_id .* must not contain NUL"),
        ((5, Open(1), 1), TypeError, "snapshot_id must be a str, not 5"),
        (("a", Open(1), -1), ValueError, "sequence_number must be from 0"),
        (("a", Open(1), POSITION_MAX + 1), ValueError, "sequence_number must be from 0"),
        (("a", Open(1), True), TypeError, "sequence_number must be an int, not True"),
        (
            ("a", Open("many"), 1),
            EventEncodingError,
            r"Open\(items='many'\) cannot be stored: Expected `int`, got `str`",
        ),
        (("a", object(), 1), EventEncodingError, "cannot be stored"),
        (("a", {"a": (1, 2)}, 1), EventEncodingError, "it would read back as"),
        (("a", {"a": {1}}, 1), EventEncodingError, "it would read back as"),
    ],
)
async def test_what_cannot_be_saved_is_named_and_nothing_is_written(journal: Journal, arguments, error, complaint):
    snapshot_id, state, number = arguments
    with pytest.raises(error, match=complaint):
        await journal.snapshots.save_snapshot(snapshot_id, state, sequence_number=number)
    assert await journal.snapshots.list_snapshots("a") == []


@pytest.mark.parametrize("keep", [0, -1, True, "1"])
async def test_how_many_are_kept_must_be_a_number(journal: Journal, keep):
    with pytest.raises((TypeError, ValueError), match="keep must be"):
        await journal.snapshots.save_snapshot("a", Open(1), sequence_number=1, keep=keep)
    assert await journal.snapshots.list_snapshots("a") == []
    if keep != 0:
        with pytest.raises((TypeError, ValueError), match="keep must be"):
            await journal.snapshots.delete_snapshots("a", keep=keep)


async def test_an_illegal_id_is_named_by_every_method(journal: Journal):
    for attempt in (
        lambda: journal.snapshots.load_snapshot("", Open),
        lambda: journal.snapshots.list_snapshots(""),
        lambda: journal.snapshots.delete_snapshots(""),
    ):
        with pytest.raises(ValueError, match="snapshot_id must not be empty"):
            await attempt()


@dataclass
class Added:
    amount: int


@dataclass
class Renamed:
    name: str


class TestRestoring:
    """A stream gives its newest snapshot and the events behind it together."""

    async def test_without_a_snapshot_there_are_all_events(self, journal: Journal):
        stream = journal.event_stream("a", Added)
        assert await stream.restore(Open) == Restored(None, [], True)
        await stream.persist([Added(1), Added(2)])
        restored = await stream.restore(Open)
        assert (restored.snapshot, restored.complete) == (None, True)
        assert [(r.sequence_number, r.data) for r in restored.records] == [(1, Added(1)), (2, Added(2))]

    async def test_with_one_the_events_begin_with_the_last_that_it_has_seen(self, journal: Journal):
        stream = journal.event_stream("a", Added)
        reply = await stream.persist([Added(n) for n in range(1, 6)])
        await journal.event_stream("b", Added).persist(Added(9))
        await journal.snapshots.save_snapshot("a", Open(3), sequence_number=3)
        restored = await stream.restore(Open)
        assert restored.snapshot == await journal.snapshots.load_snapshot("a", Open)
        assert restored.records == list(reply.records[2:])
        assert restored.complete

    @pytest.mark.parametrize(("number", "numbers"), [(0, [1, 2]), (1, [1, 2]), (2, [2]), (3, []), (9, [])])
    async def test_a_snapshot_may_have_seen_anything(self, journal: Journal, number, numbers):
        stream = journal.event_stream("a", Added)
        await stream.persist([Added(1), Added(2)])
        await journal.snapshots.save_snapshot("a", Open(0), sequence_number=number)
        restored = await stream.restore(Open)
        assert restored.snapshot is not None
        assert restored.snapshot.sequence_number == number
        assert [record.sequence_number for record in restored.records] == numbers

    async def test_one_that_cannot_be_read_is_passed_over_with_a_warning(self, journal: Journal):
        stream = journal.event_stream("a", Added)
        await stream.persist([Added(n) for n in range(1, 6)])
        await journal.snapshots.save_snapshot("a", Open(2), sequence_number=2)
        await journal.snapshots.save_snapshot("a", Closed("x"), sequence_number=4)
        with pytest.warns(UnreadableSnapshotWarning, match="snapshot 'a' at 4 cannot be read") as warned:
            restored = await stream.restore(Open)
        assert warned[0].filename == __file__, "the warning points at who restores"
        assert restored.snapshot is not None
        assert restored.snapshot.state == Open(2)
        assert [record.sequence_number for record in restored.records] == [2, 3, 4, 5]

    async def test_of_many_events_the_first_are_read_and_reading_goes_on_behind_them(self, journal: Journal):
        stream = journal.event_stream("a", Added)
        for start in range(0, 900, 100):
            await stream.persist([Added(start + n) for n in range(100)])
        restored = await stream.restore(Open)
        assert not restored.complete
        last = restored.records[-1].sequence_number
        rest = await stream.records(after=last).run_collect()
        assert [r.sequence_number for r in [*restored.records, *rest]] == list(range(1, 901))

    async def test_what_does_not_decode_is_met_by_who_reads_on(self, journal: Journal):
        await journal.event_stream("a", Added).persist([Added(1), Added(2)])
        await journal.event_stream("a", Renamed).persist(Renamed("x"))
        stream = journal.event_stream("a", Added)
        restored = await stream.restore(Open)
        assert [record.data for record in restored.records] == [Added(1), Added(2)]
        assert not restored.complete
        await journal.snapshots.save_snapshot("a", Open(0), sequence_number=3)
        with pytest.raises(UnknownEventTypeError):
            await stream.restore(Open)


async def test_one_snapshot_is_read_as_whatever_type_is_asked_for(journal: Journal):
    await journal.snapshots.save_snapshot("a", {"plain": 1}, sequence_number=1)
    for state_type, expected in (
        (dict[str, int], {"plain": 1}),
        (dict[str, float], {"plain": 1.0}),
        (Any, {"plain": 1}),
    ):
        for _ in range(2):
            snapshot = await journal.snapshots.load_snapshot("a", state_type)
            assert snapshot is not None
            assert repr(snapshot.state) == repr(expected)


async def test_a_type_that_cannot_be_hashed_is_a_type_of_states_too(journal: Journal):
    await journal.snapshots.save_snapshot("a", {"x": 1}, sequence_number=1)
    snapshot = await journal.snapshots.load_snapshot("a", Annotated[dict[str, int], {"not": "hashable"}])
    assert snapshot is not None
    assert snapshot.state == {"x": 1}
