"""The PostgreSQL store against servers and connections that fail, and against transactions that take their time."""

import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TypeVar
from urllib.parse import quote

import anyio
import anyio.to_thread
import psycopg
import pytest
from click.testing import CliRunner

from calliope import (
    Journal,
    JournalBusyError,
    JournalFormatError,
    StorageError,
    UntypedEvent,
)
from calliope.copying import copy_journal
from calliope.stores import postgres_address
from calliope.stores.postgres import PostgresStore
from calliope.stores.record import Selection, StoredRecord
from calliope.testing.everything import everything
from calliope.testing.requests import append_of
from replication.commands.application import application
from tests.postgres import OwnServer, new_schema, own_server, url_of_schema

pytestmark = pytest.mark.anyio

T = TypeVar("T")

PATIENCE_SECONDS = 300.0
"""How long anything may take before it counts as stuck."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def running() -> Iterator[OwnServer]:
    with own_server() as server:
        yield server


@pytest.fixture
def url(running: OwnServer) -> str:
    return f"{url_of_schema(running.url, new_schema())}&timeout={PATIENCE_SECONDS:g}"


async def at_last(call: Callable[[], Awaitable[T]]) -> T:
    """Return what a call does when it is made often enough: the limits of a URL may be too short for a busy machine."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while True:
            with suppress(JournalBusyError, StorageError):
                return await call()


def of(url: str, statement: str) -> None:
    """Run a statement beside the store."""
    address = postgres_address.PostgresAddress.parse(url)
    with address.connect() as connection:
        connection.execute(statement.encode())


async def written(stores: list[PostgresStore], requests: int, random: Random, disturb) -> list[list[StoredRecord]]:
    """Have each of several stores write to shared streams, one request after another, while they are disturbed."""
    replies: list[list[StoredRecord]] = []

    async def write(store: PostgresStore, writer: int) -> None:
        for n in range(requests):
            request = append_of(f"s-{random.randrange(3)}", *[b"\xa5%02d-%02d" % (writer, n)] * (1 + n % 3))
            replies.append(await store.append(request))

    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as disturbing:
            disturbing.start_soon(disturb)
            async with anyio.create_task_group() as writing:
                for number, store in enumerate(stores * 4):
                    writing.start_soon(write, store, number)
            disturbing.cancel_scope.cancel()
    return replies


def check_once_and_in_order(log: list[StoredRecord], replies: list[list[StoredRecord]]) -> None:
    """Check that everything acknowledged is there once, that nothing else is, and that numbers have no gaps."""
    assert sorted((record for reply in replies for record in reply), key=lambda record: record.position) == log
    assert [record.position for record in log] == list(range(1, len(log) + 1))
    for stream_id in {record.stream_id for record in log}:
        numbers = [record.sequence_number for record in log if record.stream_id == stream_id]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_connections_that_are_lost_at_any_moment_lose_and_double_nothing(url: str) -> None:
    stores = [await PostgresStore.open(url) for _ in range(2)]
    random, seen = Random(5), list[StoredRecord]()

    async def terminate() -> None:
        while True:
            await anyio.sleep(random.uniform(0, 0.03))
            await anyio.to_thread.run_sync(
                of, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'calliope'"
                " AND pid <> pg_backend_pid()"
            )  # fmt: skip

    async def follow() -> None:
        after = 0
        while True:
            with suppress(StorageError):  # a page that was asked for in vain is asked for again
                page = await stores[0].read_all(Selection(), after=after, limit=100)
                seen.extend(page.records)
                after = page.through
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as following:
        following.start_soon(follow)
        replies = await written(stores, 25, random, terminate)
        following.cancel_scope.cancel()
    log = await everything(stores[1])
    check_once_and_in_order(log, replies)
    assert seen == log[: len(seen)]
    for store in stores:
        await store.aclose()


async def test_live_readers_miss_and_double_nothing_when_their_connection_is_lost(url: str) -> None:
    async with Journal.open(url) as reading, Journal.open(url) as writing:
        stream, seen = writing.event_stream("a", UntypedEvent), list[int]()
        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                live = reading.event_stream("a", UntypedEvent).live_query()
                group.start_soon(live.take(60).map(lambda event: event.data).run_for_each, seen.append)
                for n in range(60):
                    if n % 7 == 3:
                        await anyio.to_thread.run_sync(
                            of, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                        )
                    await stream.persist(UntypedEvent("Happened", n))
        assert seen == list(range(60))


@pytest.mark.soak
async def test_a_server_killed_under_load_again_and_again_keeps_what_was_acknowledged() -> None:
    with own_server() as server:
        url = f"{url_of_schema(server.url, new_schema())}&timeout={PATIENCE_SECONDS:g}"
        stores = [await PostgresStore.open(url) for _ in range(2)]
        random = Random(7)

        async def kill() -> None:
            for _ in range(10):
                await anyio.sleep(random.uniform(0.1, 0.5))
                await anyio.to_thread.run_sync(server.kill)
                await anyio.to_thread.run_sync(server.start)

        replies = await written(stores, 300, random, kill)
        check_once_and_in_order(await everything(stores[0]), replies)
        for store in stores:
            await store.aclose()


async def test_a_server_killed_and_restarted_costs_a_wait_and_nothing_else() -> None:
    with own_server() as server:
        url = f"{url_of_schema(server.url, new_schema())}&timeout={PATIENCE_SECONDS:g}"
        async with Journal.open(url) as journal:
            stream = journal.event_stream("a", UntypedEvent)
            await stream.persist(UntypedEvent("Happened", 1))
            server.kill()
            async with anyio.create_task_group() as group:
                group.start_soon(stream.persist, UntypedEvent("Happened", 2))
                await anyio.to_thread.run_sync(server.start)
            assert [event.data for event in await stream.query().run_collect()] == [1, 2]


async def test_a_server_that_stays_away_is_an_error_within_a_stated_time_and_no_loss() -> None:
    with own_server() as server:
        url = f"{url_of_schema(server.url, new_schema())}&timeout=0.3"
        async with Journal.open(url) as journal:
            stream = journal.event_stream("a", UntypedEvent)
            await stream.persist(UntypedEvent("Happened", 1))
            server.kill()
            with pytest.raises(StorageError, match=r"cannot be connected to.* nothing was written"):
                await stream.persist(UntypedEvent("Happened", 2))
            with pytest.raises(StorageError, match="cannot be connected to"):
                await stream.query().run_collect()
            with pytest.raises(StorageError, match="cannot be connected to"):
                await PostgresStore.open(url)
            server.start()
            await stream.persist(UntypedEvent("Happened", 3))
            assert [event.data for event in await stream.query().run_collect()] == [1, 3]


@pytest.mark.soak
async def test_a_server_that_hangs_is_an_error_within_the_stated_time_and_used_when_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres_address, "MARGIN_SECONDS", 0.5)
    with own_server() as server:
        url = f"{url_of_schema(server.url, new_schema())}&timeout=0.3&statement_timeout=0.3&connect_timeout=2"
        async with Journal.open(url) as journal:
            stream = journal.event_stream("a", UntypedEvent)
            await at_last(lambda: stream.persist(UntypedEvent("Happened", 1), event_id="1"))
            assert len(await at_last(stream.query().run_collect)) == 1
            with server.hanging(), anyio.fail_after(PATIENCE_SECONDS):
                with pytest.raises(StorageError, match=r"did not answer within 0\.8 s|timeout expired"):
                    await stream.persist(UntypedEvent("Happened", 2))
                with pytest.raises(StorageError, match=r"did not answer within 0\.8 s|timeout expired"):
                    await stream.query().run_collect()
            await at_last(lambda: stream.persist(UntypedEvent("Happened", 3), event_id="3"))
            found = [event.data for event in await at_last(stream.query().run_collect)]
            assert [number for number in found if number != 2] == [1, 3]


async def test_no_position_appears_behind_a_reader_however_slow_a_transaction_is(url: str) -> None:
    """The gap problem: a transaction that took its positions first and commits last must not come too late."""
    async with Journal.open(url) as slow_journal, Journal.open(url) as journal, Journal.open(url) as reading:
        seen: list[int] = []

        async def slowly(n: int) -> None:
            store = slow_journal.store
            assert isinstance(store, PostgresStore)
            # It shares the commit with the events beside it, and lasts.
            await store._write(lambda connection: connection.execute("SELECT pg_sleep(0.05)"))
            await slow_journal.event_stream(f"slow-{n}", UntypedEvent).persist(UntypedEvent("Happened", n))

        async def persist(n: int) -> None:
            await slow_journal.event_stream("a", UntypedEvent).persist(UntypedEvent("Happened", n))
            await journal.event_stream("b", UntypedEvent).persist(UntypedEvent("Happened", n))

        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                records = reading.live_records(event_type=UntypedEvent).take(60).map(lambda record: record.position)
                group.start_soon(records.run_for_each, seen.append)
                for n in range(20):
                    group.start_soon(slowly, n)
                    group.start_soon(persist, n)
        assert seen == list(range(1, 61))


async def test_a_lock_that_somebody_keeps_is_an_error_that_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_address, "LOCK_SECONDS", 0.2)
    async with Journal.open(url) as journal:
        stream = journal.event_stream("a", UntypedEvent)
        with psycopg.connect(postgres_address.PostgresAddress.parse(url).conninfo) as other:
            schema = postgres_address.PostgresAddress.parse(url).schema
            other.execute(f"SELECT 1 FROM {schema}.journal FOR UPDATE".encode())
            with pytest.raises(JournalBusyError, match="nothing was written"):
                await stream.persist(UntypedEvent("Happened", 1))
        await stream.persist(UntypedEvent("Happened", 2))
        assert [event.data for event in await stream.query().run_collect()] == [2]


async def test_what_cannot_be_a_journal_is_refused_by_name(running: OwnServer) -> None:
    with pytest.raises(StorageError, match=r'database "nowhere" does not exist'):
        await PostgresStore.open(running.url.replace("/postgres?", "/nowhere?"))
    with pytest.raises(StorageError, match=r'role "nobody" does not exist') as refused:
        await PostgresStore.open(running.url.replace("postgres:@", "nobody:secret@"))
    assert "secret" not in str(refused.value)
    with pytest.raises(StorageError, match="cannot be connected to"):
        await PostgresStore.open("postgresql://postgres@127.0.0.1:9/postgres")
    for url, expected in (
        ("postgresql://h/d?readers=0", "readers must be 1 to 64, not '0'"),
        ("postgresql://h/d?schema=", "a schema's name has 1 to 48 bytes, not ''"),
        ("postgresql://h/d?timeout=soon", "timeout must be a number of seconds above 0, not 'soon'"),
        ("postgresql://h/d?statement_timeout=0", "statement_timeout must be a number of seconds above 0, not '0'"),
        ("postgresql://h/d?colour=red", "colour"),
    ):
        with pytest.raises(ValueError, match=expected):
            Journal.open(url)


async def test_a_schema_that_holds_something_else_or_a_newer_journal_is_left_as_it_is(
    running: OwnServer, url: str
) -> None:
    async with Journal.open(url):
        pass
    of(url, "UPDATE journal SET format = 99")
    with pytest.raises(JournalFormatError, match="a journal of format 99; this version of Calliope reads up to 2"):
        await PostgresStore.open(url)
    schema = new_schema()
    of(running.url, f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.journal (headline text)")
    with pytest.raises(JournalFormatError, match="a table named journal that cannot be used as one"):
        await PostgresStore.open(url_of_schema(running.url, schema))


def ask_for_password(url: str, role: str, password: str) -> None:
    """Make a role that must know a password; return when the server asks for it."""
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{password}'".encode())
        ((hba_file,),) = server.execute("SHOW hba_file").fetchall()
        rules = Path(hba_file).read_text()
        Path(hba_file).write_text(f"local all {role} scram-sha-256\nhost all {role} all scram-sha-256\n{rules}")
        server.execute("SELECT pg_reload_conf()")
    deadline = time.monotonic() + PATIENCE_SECONDS
    with suppress(psycopg.OperationalError):
        while time.monotonic() < deadline:
            psycopg.connect(url.replace("postgres:@", f"{role}:wrong@")).close()


def until_connected(url: str, role: str, count: int) -> None:
    """Return when a role has so many connections; a store listens over one of its own, from a thread."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    connected = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'".encode()
    with psycopg.connect(postgres_address.PostgresAddress.parse(url).conninfo, autocommit=True) as connection:
        while connection.execute(connected).fetchone() != (count,):
            assert time.monotonic() < deadline
            time.sleep(0.01)


async def test_a_wrong_password_is_named_and_never_shown_and_the_right_one_is_taken_later(
    running: OwnServer, url: str
) -> None:
    async with Journal.open(url):
        pass
    ask_for_password(running.url, "locked", "right")
    locked = url.replace("postgres:@", "locked:right@") + "&timeout=0.2"
    with pytest.raises(StorageError, match="password authentication failed") as refused:
        await PostgresStore.open(locked.replace("right", "wrong"))
    assert "wrong" not in str(refused.value)
    async with Journal.open(locked) as journal:
        stream = journal.event_stream("a", UntypedEvent)
        await stream.persist(UntypedEvent("Happened", 1))
        of(url, "ALTER ROLE locked PASSWORD 'another'")
        of(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'locked'")
        for attempt in (lambda: stream.persist(UntypedEvent("Happened", 2)), stream.query().run_collect):
            with pytest.raises(StorageError, match="password authentication failed") as refused:
                await attempt()
            assert "right" not in str(refused.value)
        of(url, "ALTER ROLE locked PASSWORD 'right'")
        await stream.persist(UntypedEvent("Happened", 3))
        assert [event.data for event in await stream.query().run_collect()] == [1, 3]


async def test_a_server_without_a_free_connection_is_named_and_used_again_when_it_has_one(url: str) -> None:
    async with Journal.open(url) as journal:
        await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("Happened", 1))
    schema = postgres_address.PostgresAddress.parse(url).schema
    tables = f"ALL TABLES IN SCHEMA {schema}"
    of(url, "CREATE ROLE few LOGIN CONNECTION LIMIT 2")  # one writes, one listens, none is left to read
    of(url, f"GRANT USAGE ON SCHEMA {schema} TO few; GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO few")
    async with Journal.open(url.replace("postgres:@", "few@")) as journal:
        stream = journal.event_stream("a", UntypedEvent)
        await anyio.to_thread.run_sync(until_connected, url, "few", 2)
        with pytest.raises(StorageError, match=r'cannot be connected to.*too many connections for role "few"'):
            await stream.query().run_collect()
        with pytest.raises(StorageError, match="too many connections"):
            await PostgresStore.open(url.replace("postgres:@", "few@"))
        await stream.persist(UntypedEvent("Happened", 2))
        of(url, "ALTER ROLE few CONNECTION LIMIT 9")
        assert [event.data for event in await stream.query().run_collect()] == [1, 2]


async def test_any_number_of_readers_share_the_connections_that_the_url_allows(running: OwnServer, url: str) -> None:
    of(url_of_schema(running.url, "public"), "CREATE ROLE counted LOGIN SUPERUSER")
    async with Journal.open(f"{url.replace('postgres:@', 'counted@')}&readers=2") as journal:
        stream = journal.event_stream("a", UntypedEvent)
        await stream.persist([UntypedEvent("Happened", n) for n in range(3)])
        lengths: list[int] = []

        async def read() -> None:
            for _ in range(10):
                lengths.append(len(await stream.query().run_collect()))

        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(read)
        assert lengths == [3] * 400
        with psycopg.connect(running.url) as connection:
            counting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'counted'"
            assert connection.execute(counting.encode()).fetchall()[0][0] in (3, 4)  # one writes and one listens


@pytest.mark.parametrize("name", ["Orders", 'of "Zoë"; DROP', "a.b-c"], ids=["capitals", "quotes", "dots"])
async def test_a_schema_may_have_any_name(running: OwnServer, name: str) -> None:
    url = url_of_schema(running.url, quote(name))
    async with Journal.open(url) as journal, Journal.open(url) as other:
        live = other.event_stream("a", UntypedEvent).live_query().take(2).map(lambda event: event.data)
        seen: list[object] = []
        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(live.run_for_each, seen.append)
                for n in (1, 2):
                    await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("Happened", n))
        assert seen == [1, 2]


async def test_a_server_that_is_too_old_is_refused_by_its_version(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_address, "SERVER_VERSION_MIN", 990_000)
    with pytest.raises(JournalFormatError, match=r"is a PostgreSQL \d\d; Calliope needs 99 or newer"):
        await PostgresStore.open(url)


@pytest.mark.soak
async def test_a_server_that_accepts_and_never_answers_is_an_error_within_the_stated_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(StorageError, match=r"cannot be connected to; nothing was written: .*timeout expired"):
            await PostgresStore.open(f"postgresql://postgres@127.0.0.1:{port}/postgres?connect_timeout=2")
        assert time.monotonic() - began < PATIENCE_SECONDS


async def test_a_statement_that_takes_too_long_is_an_error_and_the_next_one_is_not(url: str) -> None:
    async with Journal.open(f"{url}&statement_timeout=0.2") as journal:
        stream = journal.event_stream("a", UntypedEvent)
        await at_last(lambda: stream.persist(UntypedEvent("Happened", 1), event_id="1"))
        with psycopg.connect(postgres_address.PostgresAddress.parse(url).conninfo) as other:
            schema = postgres_address.PostgresAddress.parse(url).schema
            other.execute(f"LOCK TABLE {schema}.event IN ACCESS EXCLUSIVE MODE".encode())
            for attempt in (lambda: stream.persist(UntypedEvent("Happened", 2)), stream.query().run_collect):
                with pytest.raises(JournalBusyError, match=r"took too long, nothing was written.*statement timeout"):
                    await attempt()
        await at_last(lambda: stream.persist(UntypedEvent("Happened", 3), event_id="3"))
        assert [event.data for event in await at_last(stream.query().run_collect)] == [1, 3]


async def test_journals_are_made_and_migrated_once_however_many_open_them_at_a_time(url: str) -> None:
    stores: list[PostgresStore] = []

    async def open_store() -> None:
        stores.append(await PostgresStore.open(url))

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(open_store)
    assert len({store.journal_id for store in stores}) == 1
    for store in stores:
        await store.aclose()


async def test_a_journal_moves_from_a_file_to_the_server_and_back(url: str, tmp_path: Path) -> None:
    async with (
        Journal.open(tmp_path / "a.db", durability="relaxed") as first,
        Journal.open(url) as server,
        Journal.open(tmp_path / "b.db", durability="relaxed") as last,
    ):
        for n in range(30):
            stream = first.event_stream(f"s-{n % 4}", UntypedEvent)
            many = [UntypedEvent("Happened", {"n": n, "m": m}) for m in range(n % 5 + 1)]
            await stream.persist(many, event_id=f"id-{n}" if n % 3 else None, tags={f"t-{n % 2}"}, metadata={"n": n})
        await first.snapshots.save_snapshot("s-1", {"sum": 1}, sequence_number=4)
        there, back = await copy_journal(first, server), await copy_journal(server, last)
        assert there.checksum == back.checksum
        assert (there.same_positions, back.same_positions, back.snapshots) == (True, True, 1)
        assert (await copy_journal(first, server)).added == 0
        records = [[*await journal.records(event_type=UntypedEvent).run_collect()] for journal in (first, server, last)]
        for name in ("id", "timestamp", "tags", "metadata", "data", "position", "stream_id", "sequence_number", "type"):
            one, other, third = [[getattr(record, name) for record in each] for each in records]
            assert one == other == third
        again = await last.event_stream("s-1", UntypedEvent).persist(UntypedEvent("Other", 0), event_id="id-13")
        assert [record.data.data for record in again.records] == [{"n": 13, "m": m} for m in range(4)]


def test_where_there_is_no_journal_none_is_made_in_order_to_copy_it(url: str, tmp_path: Path) -> None:
    target = tmp_path / "b.db"
    for _ in range(2):
        refused = CliRunner().invoke(application, ["copy", url.replace("postgres:@", "postgres:secret@"), str(target)])
        assert refused.exit_code == 2
        assert "there is no journal postgresql://postgres@" in refused.stderr
    with psycopg.connect(postgres_address.PostgresAddress.parse(url).conninfo) as connection:
        schema = postgres_address.PostgresAddress.parse(url).schema
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone() is None
    assert not target.exists()


def documented(number: int) -> str:
    """Return one of the pieces of SQL in the documentation; they are for a schema `orders`."""
    page = Path(__file__).parents[2] / "docs" / "choosing-a-store.md"
    return re.findall(r"^```sql\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)[number]


async def test_roles_need_no_more_than_the_documented_rights(running: OwnServer) -> None:
    url = url_of_schema(running.url, "orders")
    shop, reporter = url.replace("postgres:@", "shop@"), url.replace("postgres:@", "reporter@")
    async with Journal.open(url) as journal:
        await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("Happened", 1))
    of(url, documented(0))
    async with Journal.open(shop) as journal:
        stream = journal.event_stream("a", UntypedEvent)
        await stream.persist(UntypedEvent("Other", 2), tags=["red"], event_id="id")
        await journal.snapshots.save_snapshot("a", {"sum": 3}, sequence_number=2)
        assert [event.data for event in await stream.query().run_collect()] == [1, 2]
        with pytest.raises(JournalFormatError, match="permission denied"):
            await journal.replicated_event_stream("b", UntypedEvent, replica_id="berlin").persist(
                UntypedEvent("Happened", 1)
            )
        with pytest.raises(JournalFormatError, match="it may not be made there"):
            await PostgresStore.open(url_of_schema(running.url.replace("postgres:@", "shop@"), new_schema()))
    of(url, documented(1))
    async with Journal.open(shop) as journal:
        replicated = journal.replicated_event_stream("b", UntypedEvent, replica_id="berlin")
        await replicated.persist(UntypedEvent("Happened", 3))
        assert [event.data for event in await replicated.query().run_collect()] == [3]
    of(url, documented(2))
    async with Journal.open(reporter) as reading, Journal.open(shop) as journal:
        with pytest.raises(JournalFormatError, match=r"cannot be used as a journal .*permission denied"):
            await reading.event_stream("a", UntypedEvent).persist(UntypedEvent("Happened", 4))
        seen: list[object] = []
        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                live = reading.event_stream("a", UntypedEvent).live_query().take(3).map(lambda event: event.data)
                group.start_soon(live.run_for_each, seen.append)
                await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("Happened", 5))
        assert seen == [1, 2, 5]


async def test_the_events_are_divided_into_the_documented_partitions(running: OwnServer) -> None:
    schema = new_schema()
    url = url_of_schema(running.url, schema)

    async def persist(journal: Journal, numbers: range) -> None:
        for n in numbers:
            stream = journal.event_stream(f"s-{n % 3}", UntypedEvent)
            await stream.persist([UntypedEvent("Happened", n)] * 2, tags={f"t-{n % 2}"}, event_id=f"id-{n}")

    async with Journal.open(url) as journal:
        await persist(journal, range(4))
    of(url, documented(3).replace("orders.", f"{schema}.").replace("100000001", "11").replace("200000001", "21"))
    async with Journal.open(url) as journal:
        await persist(journal, range(2, 20))
        records = await journal.records(event_type=UntypedEvent).run_collect()
        assert [(record.position, record.data.data) for record in records] == [(n + 1, n // 2) for n in range(40)]
        stream = await journal.event_stream("s-1", UntypedEvent).records().run_collect()
        assert [record.sequence_number for record in stream] == list(range(1, 15))
        assert len(await journal.records(tags="t-1", event_type=UntypedEvent).run_collect()) == 20
    with psycopg.connect(postgres_address.PostgresAddress.parse(url).conninfo) as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {schema}.event_{part}".encode()).fetchall()[0][0]
            for part in (1, 2, 3)
        ]
    assert counts == [5, 5, 10]


async def test_a_damaged_row_is_reported_and_not_served(url: str) -> None:
    async with Journal.open(url) as journal:
        stream = journal.event_stream("a", UntypedEvent)
        for n in range(3):
            await stream.persist(UntypedEvent("Happened", n))
        of(url, "UPDATE event SET payload = '\\x05' WHERE position = 2")
        with pytest.raises(Exception, match="record at position 2: does not match its checksum"):
            await stream.query().run_collect()
        of(url, "DELETE FROM event WHERE position = 2")
        with pytest.raises(Exception, match="number 2 is missing"):
            await stream.query().run_collect()
        with pytest.raises(Exception, match="position 2: is missing"):
            await journal.records(event_type=UntypedEvent).run_collect()
