"""Opening a journal, what is none, reading across streams, and closing."""

import os
import sqlite3
from itertools import product
from pathlib import Path

import anyio
import pytest

from calliope import (
    Journal,
    JournalClosedError,
    JournalError,
    JournalFormatError,
    RecordedEvent,
    Source,
    StorageError,
    StreamSummary,
    UnknownEventTypeError,
    UntypedEvent,
    event,
)
from calliope.limits import POSITION_MAX, TYPES_MAX
from calliope.stores.sqlite_schema import APPLICATION_ID, FORMAT_VERSION
from tests.unit.calliope.orders import ItemAdded, OrderEvent, Paid, added

pytestmark = pytest.mark.anyio


async def _events(journal: Journal) -> list[object]:
    return await journal.event_stream("a", OrderEvent).query().run_collect()


@pytest.mark.parametrize("form", ["{}/j.db", "sqlite:///{}/j.db", "{}/späte journale:2024.db", "{}/a?b=c#d.db"])
async def test_a_journal_is_a_file_at_a_path_or_url(tmp_path, anyio_backend, form):
    url = form.format(tmp_path)
    async with Journal.open(url) as journal:
        await journal.event_stream("a", OrderEvent).persist(Paid(1))
        journal_id = journal.id
    async with Journal.open(url) as journal:
        assert journal.id == journal_id
        assert await _events(journal) == [Paid(1)]


async def test_a_path_may_be_relative_and_stays_what_it_was(tmp_path, anyio_backend, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    for url in ("one.db", "sqlite:///two.db", Path("three.db"), Path("memory:")):
        async with Journal.open(url) as journal:
            monkeypatch.chdir(tmp_path / "elsewhere")
            await journal.event_stream("a", OrderEvent).persist(Paid(1))
            assert await _events(journal) == [Paid(1)]
            monkeypatch.chdir(tmp_path)
    assert os.listdir(tmp_path / "elsewhere") == []
    assert {"one.db", "two.db", "three.db", "memory:"} <= set(os.listdir(tmp_path))


async def test_every_journal_in_memory_is_another(anyio_backend):
    async with Journal.open("memory://") as one, Journal.open("memory://") as two:
        await one.event_stream("a", OrderEvent).persist(Paid(1))
        assert one.id != two.id
        assert await _events(two) == []


@pytest.mark.parametrize(
    ("url", "error", "complaint"),
    [
        ("", ValueError, "'' names no file"),
        ("sqlite:///", ValueError, "'' names no file"),
        ("a\0b", ValueError, r"'a\\x00b' names no file"),
        ("sqlite:///a\0b", ValueError, "names no file"),
        ("a\ud800", ValueError, r"'a\\ud800' names no file: it contains lone surrogates"),
        ("sqlite://a.db", ValueError, "'sqlite://a.db' must have three slashes before a relative path, four before an"),
        ("sqlite:a.db", ValueError, "'sqlite:a.db' must have three slashes"),
        (
            ":memory:",
            ValueError,
            "is no journal that is known here: give a path, sqlite:///path, memory://, postgresql://.* or nats://",
        ),
        ("memory:", ValueError, "is no journal that is known here"),
        ("memory://a", ValueError, "is no journal that is known here"),
        ("file:a.db", ValueError, "is no journal that is known here"),
        ("http://localhost/a", ValueError, "'http://localhost/a' is no journal that is known here"),
        ("redis://localhost", ValueError, "is no journal that is known here"),
        (None, TypeError, "expected str, bytes or os.PathLike object, not NoneType"),
        (b"a.db", TypeError, "a journal's URL must be a str or a path, not b'a.db'"),
        (5, TypeError, "not int"),
    ],
)
def test_a_url_that_is_none_is_refused_at_once(tmp_path, monkeypatch, url, error, complaint):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=complaint):
        Journal.open(url)
    assert os.listdir(tmp_path) == []


def test_a_durability_that_is_none_is_refused():
    with pytest.raises(ValueError, match="durability must be 'full' or 'relaxed', not 'fast'"):
        Journal.open("memory://", durability="fast")


def _database(path: Path, *, application_id: int = 0, user_version: int = 0) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute(f"PRAGMA user_version = {user_version}")
    connection.execute("CREATE TABLE meta (x)")
    connection.commit()
    connection.close()


def _wal_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE meta (x)")
    connection.close()


NO_JOURNALS = {
    "a folder": (lambda path: path.mkdir(), "is a folder, not a journal"),
    "a text": (lambda path: path.write_text("hello\n" * 1_000), "is not a journal: it does not begin like an SQLite"),
    "a short text": (lambda path: path.write_text("hi"), "is not a journal: it does not begin like an SQLite database"),
    "the beginning of a database": (lambda path: path.write_bytes(b"SQLite format 3\0"), "is not a journal"),
    "another database": (_database, "is an SQLite database, but not a Calliope journal"),
    "another database with a log": (_wal_database, "is an SQLite database, but not a Calliope journal"),
    "a newer format": (
        lambda path: _database(path, application_id=APPLICATION_ID, user_version=FORMAT_VERSION + 1),
        f"is a journal of format {FORMAT_VERSION + 1}; this version of Calliope reads format {FORMAT_VERSION}",
    ),
    "no format": (lambda path: _database(path, application_id=APPLICATION_ID), "is a journal of format 0"),
    "a device": (lambda path: path.symlink_to("/dev/null"), "is no ordinary file, so it cannot be a journal"),
    "a pipe": (os.mkfifo, "is no ordinary file, so it cannot be a journal"),
    "a dangling link": (lambda path: path.symlink_to(path / "nowhere"), "is a link to what does not exist"),
}


def _contents(folder: Path) -> dict[str, bytes | None]:
    return {path.name: path.read_bytes() if path.is_file() else None for path in folder.iterdir()}


@pytest.mark.parametrize("kind", NO_JOURNALS)
async def test_what_is_no_journal_is_refused_by_name_and_left_as_it_is(tmp_path, anyio_backend, kind):
    make, complaint = NO_JOURNALS[kind]
    path = tmp_path / "given"
    make(path)
    before = _contents(tmp_path)
    journal = Journal.open(path)
    with pytest.raises(JournalFormatError, match=complaint) as raised:
        await journal.__aenter__()
    assert str(path) in str(raised.value)
    assert _contents(tmp_path) == before


@pytest.mark.parametrize("name", ["missing/j.db", "file/j.db"])
async def test_a_journal_needs_a_folder_that_is_there(tmp_path, anyio_backend, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalFormatError, match=r"j\.db cannot be made: there is no folder"):
        await Journal.open(tmp_path / name).__aenter__()
    assert os.listdir(tmp_path) == ["file"]


async def test_a_name_that_the_system_does_not_take_is_refused(tmp_path, anyio_backend):
    with pytest.raises(StorageError, match="name too long"):
        await Journal.open(tmp_path / ("x" * 300)).__aenter__()


async def test_an_empty_file_becomes_a_journal(tmp_path, anyio_backend):
    (tmp_path / "j.db").touch()
    async with Journal.open(tmp_path / "j.db") as journal:
        await journal.event_stream("a", OrderEvent).persist(Paid(1))
        assert await _events(journal) == [Paid(1)]


async def test_a_journal_that_is_not_entered_says_so():
    journal = Journal.open("memory://")
    for use in (
        lambda: journal.id,
        lambda: journal.snapshots,
        lambda: journal.event_stream("a", OrderEvent),
        journal.records,
        journal.live_records,
        journal.streams,
    ):
        with pytest.raises(JournalClosedError, match=r"the journal is not open: use `async with Journal.open"):
            use()


@pytest.mark.parametrize("name", ["memory://", "j.db"])
async def test_a_closed_journal_refuses_to_work(tmp_path, anyio_backend, name):
    async with Journal.open(name if "//" in name else tmp_path / name) as journal:
        events = journal.event_stream("a", OrderEvent)
        await events.persist(Paid(1))
        snapshots = journal.snapshots
    for attempt in (
        lambda: events.persist(Paid(2)),
        lambda: events.query().run_collect(),
        lambda: events.live_query().run_collect(),
        lambda: events.version(),
        lambda: journal.records().run_collect(),
        lambda: journal.live_records().run_collect(),
        lambda: journal.streams().run_collect(),
        lambda: snapshots.save_snapshot("a", {}, sequence_number=1),
        lambda: snapshots.load_snapshot("a", dict),
        lambda: snapshots.list_snapshots("a"),
        lambda: snapshots.delete_snapshots("a"),
    ):
        with pytest.raises(JournalClosedError, match="closed"):
            await attempt()


async def test_a_journal_is_entered_once(tmp_path, anyio_backend):
    journal = Journal.open(tmp_path / "j.db")
    async with journal:
        with pytest.raises(JournalClosedError, match="a journal is entered once; open it anew"):
            await journal.__aenter__()
        await journal.event_stream("a", OrderEvent).persist(Paid(1))
    with pytest.raises(JournalClosedError, match="a journal is entered once; open it anew"):
        await journal.__aenter__()


async def test_a_journal_that_two_tasks_enter_is_entered_by_one(tmp_path, anyio_backend):
    journal = Journal.open(tmp_path / "j.db")
    outcomes: list[object] = []

    async def enter() -> None:
        try:
            outcomes.append(await journal.__aenter__())
        except JournalError as error:
            outcomes.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(enter)
        group.start_soon(enter)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Journal", "JournalClosedError"]
    await journal.__aexit__(None, None, None)


async def test_a_journal_that_did_not_open_may_be_entered_again(tmp_path, anyio_backend):
    journal = Journal.open(tmp_path / "later" / "j.db")
    with pytest.raises(JournalFormatError):
        await journal.__aenter__()
    (tmp_path / "later").mkdir()
    async with journal:
        assert await _events(journal) == []


async def test_the_block_s_own_error_comes_out_as_itself(tmp_path, anyio_backend):
    async def fail() -> None:
        async with Journal.open(tmp_path / "j.db") as journal:
            await journal.event_stream("a", OrderEvent).persist(Paid(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with Journal.open(tmp_path / "j.db") as journal:
        assert await _events(journal) == [Paid(1)]


async def test_a_cancelled_block_keeps_what_was_persisted(tmp_path, anyio_backend):
    with anyio.CancelScope() as scope:
        async with Journal.open(tmp_path / "j.db") as journal:
            await journal.event_stream("a", OrderEvent).persist(Paid(1))
            scope.cancel()
            await anyio.sleep_forever()
    async with Journal.open(tmp_path / "j.db") as journal:
        assert await _events(journal) == [Paid(1)]


# Reading across streams.


async def _shop(journal: Journal) -> list[RecordedEvent[object]]:
    """Three streams of a shop, written in turn."""
    for n in range(12):
        stream = journal.event_stream(f"{'order' if n % 3 else 'basket'}-{n % 4}", OrderEvent)
        tags = [tag for tag, every in (("big", 2), ("new", 3)) if n % every == 0]
        await stream.persist([ItemAdded(str(n)), Paid(n)] if n % 2 else ItemAdded(str(n)), tags=tags)
    return await journal.records(event_type=OrderEvent).run_collect()


async def test_records_of_all_streams_come_in_the_order_of_their_positions(journal: Journal):
    log = await _shop(journal)
    assert len(log) == 18
    assert [record.position for record in log] == sorted({record.position for record in log})
    assert [record.data for record in log[:3]] == [ItemAdded("0"), ItemAdded("1"), Paid(1)]


async def test_records_are_chosen_by_tag_type_and_prefix(journal: Journal):
    log = await _shop(journal)
    for tags, types, prefix in product(
        [(), "big", ["big"], ["big", "new"], "none", {"new"}],
        [(), "ItemAdded", ItemAdded, [ItemAdded, "order-paid"], {"order-paid"}, OrderEvent, "none"],
        ["", "order-", "basket", "order-1", "none"],
    ):
        wanted_tags = {tags} if isinstance(tags, str) else set(tags)
        names = {"ItemAdded": "ItemAdded", ItemAdded: "ItemAdded", "order-paid": "order-paid", "none": "none"}
        several = [ItemAdded, "order-paid"] if types == OrderEvent else types
        wanted_types = {names[t] for t in ([several] if isinstance(several, (str, type)) else several)}
        expected = [
            record
            for record in log
            if wanted_tags <= record.tags
            and (not wanted_types or record.type in wanted_types)
            and record.stream_id.startswith(prefix)
        ]
        chosen = journal.records(tags=tags, types=types, prefix=prefix, event_type=OrderEvent)
        assert await chosen.run_collect() == expected
        live = journal.live_records(tags=tags, types=types, prefix=prefix, event_type=OrderEvent)
        assert await live.take(len(expected)).run_collect() == expected


@pytest.mark.parametrize("after", [0, 1, 5, 17, 18, 19, POSITION_MAX])
async def test_records_begin_after_a_position_and_end_with_another(journal: Journal, after):
    log = await _shop(journal)
    for until in (None, 0, 1, 5, 6, 18, 19, POSITION_MAX):
        expected = [r for r in log if after < r.position and (until is None or r.position <= until)]
        source = journal.records(after, until=until, event_type=OrderEvent)
        assert await source.run_collect() == expected
        assert await source.filter(lambda r: r.type == "order-paid").run_collect() == [
            r for r in expected if r.type == "order-paid"
        ]


async def test_live_records_go_on_with_what_comes_in_any_stream(journal: Journal):
    await journal.event_stream("a", OrderEvent).persist(added("x"))
    seen: list[tuple[str, int]] = []
    with anyio.fail_after(20):
        async for record in journal.live_records(event_type=OrderEvent):
            seen.append((record.stream_id, record.position))
            if len(seen) == 4:
                break
            await journal.event_stream(f"s-{len(seen)}", OrderEvent).persist(Paid())
    assert seen == [("a", 1), ("s-1", 2), ("s-2", 3), ("s-3", 4)]


async def test_a_class_stands_for_its_subclasses_and_former_names(journal: Journal):
    class Base:
        pass

    @event("sub", aliases=["formerly"])
    class Sub(Base):
        pass

    untyped = journal.event_stream("a", UntypedEvent)
    await untyped.persist([UntypedEvent(name, {}) for name in ("Base", "sub", "formerly", "other")])
    found = await journal.records(types=Base, event_type=UntypedEvent).map(lambda r: r.type).run_collect()
    assert found == ["Base", "sub", "formerly"]
    found = await journal.records(types=[Sub, "other"], event_type=UntypedEvent).map(lambda r: r.type).run_collect()
    assert found == ["sub", "formerly", "other"]


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        ({"after": -1}, ValueError, "after must be from 0"),
        ({"after": None}, TypeError, "after must be an int, not None"),
        ({"tags": ["a", ""]}, ValueError, "tag must not be empty"),
        ({"tags": [5]}, TypeError, "tag must be a str, not 5"),
        ({"types": ""}, ValueError, "type must not be empty"),
        ({"types": ["x" * 257]}, ValueError, "type 'x+…' must have at most 256 bytes"),
        ({"types": 5}, TypeError, "an event type is .*, not 5"),
        ({"types": [None]}, TypeError, "an event type is .*, not None"),
        ({"types": int}, TypeError, "an event type is .*, not <class 'int'>"),
        ({"types": [str(n) for n in range(TYPES_MAX + 1)]}, ValueError, "at most 1000 types can be chosen among"),
        ({"prefix": "a\0"}, ValueError, "prefix .* must not contain NUL"),
        ({"prefix": "x" * 10_000}, ValueError, "prefix .* must have at most 512 bytes"),
        ({"event_type": int}, TypeError, "an event type is .*, not <class 'int'>"),
    ],
)
async def test_an_illegal_selection_is_refused_when_it_is_made(journal: Journal, arguments, error, complaint):
    for method in (journal.records, journal.live_records):
        with pytest.raises(error, match=complaint):
            method(**arguments)
    with pytest.raises(ValueError, match="until must be from 0"):
        journal.records(until=-1)


async def test_as_many_types_as_are_allowed_can_be_chosen_among(journal: Journal):
    await journal.event_stream("a", OrderEvent).persist(Paid())
    types = ["order-paid", *[str(n) for n in range(TYPES_MAX - 1)]]
    assert len(await journal.records(types=types, event_type=OrderEvent).run_collect()) == 1


async def test_as_many_tags_as_are_allowed_can_be_asked_for(journal: Journal):
    tags = [str(n) for n in range(64)]
    await journal.event_stream("a", OrderEvent).persist(Paid(1), tags=tags)
    await journal.event_stream("a", OrderEvent).persist(Paid(2), tags=tags[:-1])
    assert len(await journal.records(tags=tags, event_type=OrderEvent).run_collect()) == 1


async def test_an_unknown_type_across_streams_is_an_error_after_what_precedes_it(journal: Journal):
    await journal.event_stream("a", OrderEvent).persist([Paid(1), Paid(2)])
    await journal.event_stream("b", UntypedEvent).persist(UntypedEvent("gone", {}))
    await journal.event_stream("a", OrderEvent).persist(Paid(3))
    seen: list[object] = []
    with pytest.raises(UnknownEventTypeError) as raised:
        await journal.records(event_type=OrderEvent).run_for_each(seen.append)
    assert len(seen) == 2
    assert (raised.value.stream_id, raised.value.position, raised.value.type) == ("b", 3, "gone")
    assert len(await journal.records(types=OrderEvent, event_type=OrderEvent).run_collect()) == 3


async def test_streams_are_listed_by_prefix_in_the_order_of_their_ids(journal: Journal):
    ids = [f"order-{n}" for n in range(1_500)]
    for stream_id in ("zebra", "ant", *ids[:20]):
        await journal.event_stream(stream_id, OrderEvent).persist(added("x"))
    assert await journal.streams("order-1").run_collect() == [
        StreamSummary(stream_id, "plain", 1) for stream_id in sorted(ids[:20]) if stream_id.startswith("order-1")
    ]
    assert [s.stream_id for s in await journal.streams().run_collect()] == ["ant", *sorted(ids[:20]), "zebra"]
    assert await journal.streams().take(1).run_collect() == [StreamSummary("ant", "plain", 1)]
    assert [s.stream_id for s in await journal.streams(after="order-999").run_collect()] == ["zebra"]
    with pytest.raises(ValueError, match=r"prefix .* must not contain NUL"):
        journal.streams("\0")


async def test_more_streams_than_fit_a_page_are_all_listed(memory_journal: Journal):
    expected = sorted(f"s-{n}" for n in range(2_500))
    for stream_id in expected:
        await memory_journal.event_stream(stream_id, OrderEvent).persist(Paid())
    assert [s.stream_id for s in await memory_journal.streams().run_collect()] == expected


async def test_sources_of_a_journal_are_recipes(journal: Journal):
    source = journal.records(event_type=OrderEvent)
    assert isinstance(source, Source)
    assert await source.run_collect() == []
    await journal.event_stream("a", OrderEvent).persist(Paid(1))
    assert [record.data async for record in source] == [Paid(1)]
    assert len(await journal.streams().run_collect()) == 1
