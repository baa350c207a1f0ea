"""What is written to PostgreSQL at once, on the strength of what is remembered, is right whatever others do."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import anyio
import anyio.to_thread
import pytest

from calliope.errors import ExpectedVersionError, JournalError
from calliope.stores.commit_lane import Pending
from calliope.stores.log_batch import LogBatch
from calliope.stores.postgres import PostgresStore
from calliope.stores.postgres_address import PostgresAddress
from calliope.stores.postgres_advance import Advance
from calliope.stores.postgres_at_once import FENCE, are_known_appends, stage_appends, write_at_once
from calliope.stores.postgres_connection import AnsweringConnection
from calliope.stores.postgres_log import PostgresLog, StoredLog
from calliope.stores.postgres_reader import Connection, PostgresReader
from calliope.stores.postgres_staged import Staged
from calliope.stores.postgres_streams import PostgresStreams
from calliope.stores.protocol import AppendRequest
from calliope.stores.record import StoredRecord
from calliope.testing.everything import everything
from calliope.testing.requests import append_of
from tests.postgres import new_schema, url_of_schema

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 120.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(postgres_url: str) -> str:
    schema = new_schema()
    return f"{url_of_schema(postgres_url, schema)}&application_name={schema}"


@contextmanager
def connected(url: str) -> Iterator[AnsweringConnection]:
    connection = PostgresAddress.parse(url).connect()
    try:
        yield connection
    finally:
        connection.close()


def pending(request: AppendRequest) -> Pending[AppendRequest, object]:
    return Pending(request, None)  # type: ignore[arg-type] # nobody waits


def staged_behind(connection: Connection, head: int, request: AppendRequest) -> Staged:
    """Stage a request for a journal of one stream and one type that ends at a position."""
    streams = PostgresStreams("nobody's", PostgresReader(connection), head)
    streams.read(connection, [request.stream_id], [])
    log = PostgresLog(connection, StoredLog(), {})
    staged = Staged(Advance([]), LogBatch(StoredLog().state, log), log, 1, 1)
    assert are_known_appends([pending(request)], streams)
    assert stage_appends([pending(request)], streams, staged)
    return staged


async def journal_of_one_event(url: str) -> None:
    store = await PostgresStore.open(url)
    await store.append(append_of("a", b"\x01"))
    await store.aclose()


async def payloads(url: str) -> list[bytes]:
    store = await PostgresStore.open(url)
    try:
        return [record.payload for record in await everything(store)]
    finally:
        await store.aclose()


async def test_what_was_staged_for_where_the_journal_ends_is_written_once(url: str) -> None:
    await journal_of_one_event(url)
    with connected(url) as connection:
        staged = staged_behind(connection, 1, append_of("a", b"\x02", tags=("red",), event_id="two"))
        assert write_at_once(connection, staged, 1, ("me", 7), "channel")
        assert connection.execute("SELECT writer_id, batch FROM writer").fetchall() == [("me", 7)]
        assert not write_at_once(connection, staged, 1, ("me", 8), "channel")
        assert connection.execute("SELECT writer_id, batch FROM writer").fetchall() == [("me", 7)]
        assert connection.execute("SELECT event_id, position FROM event_key").fetchall() == [("two", 2)]
        assert connection.execute("SELECT tag, position FROM event_tag").fetchall() == [("red", 2)]
    assert await payloads(url) == [b"\x01", b"\x02"]


async def test_what_arrives_late_does_not_say_that_a_later_batch_was_not_written(url: str) -> None:
    await journal_of_one_event(url)
    with connected(url) as connection:
        connection.execute("INSERT INTO writer VALUES ('me', 8)")  # a batch of snapshots: the journal ends as before
        staged = staged_behind(connection, 1, append_of("a", b"\x02"))
        assert write_at_once(connection, staged, 1, ("me", 7), "channel")
        assert connection.execute("SELECT writer_id, batch FROM writer").fetchall() == [("me", 8)]


@pytest.mark.parametrize("meanwhile", ["UPDATE journal SET head = head + 1", FENCE])
async def test_nothing_is_written_if_the_journal_ends_elsewhere_once_the_lock_is_free(url: str, meanwhile: str) -> None:
    await journal_of_one_event(url)
    with connected(url) as connection, connected(url) as other, connected(url) as watching:
        staged = staged_behind(connection, 1, append_of("a", b"\x02"))
        async with anyio.create_task_group() as tasks:
            with other.transaction():
                other.execute("SELECT FROM journal FOR UPDATE")
                tasks.start_soon(never_written, connection, staged)
                await waiting_for_a_lock(watching, 1)
                other.execute(meanwhile.encode())
        assert not write_at_once(connection, staged, 1, ("me", 8), "channel")
        assert connection.execute("SELECT FROM writer").fetchall() == []
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (1,)


async def never_written(connection: AnsweringConnection, staged: Staged) -> None:
    written = await anyio.to_thread.run_sync(write_at_once, connection, staged, 1, ("me", 7), "channel")
    assert not written


async def waiting_for_a_lock(watching: Connection, count: int) -> None:
    """Wait until so many connections to this journal wait for locks."""
    await anyio.to_thread.run_sync(_wait_for_locks, watching, count)


def _wait_for_locks(watching: Connection, count: int) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while watching.execute(_WAITING).fetchone() != (count,):
        assert time.monotonic() < give_up_at
        time.sleep(0.005)


_OURS = "application_name = current_setting('application_name') AND pid <> pg_backend_pid()"
_WAITING = f"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND {_OURS}".encode()
_TERMINATED = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OURS}".encode()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[AnsweringConnection]:
    """What stores connect, in that order: the first connection of the first store is the one that writes."""
    connections, connect = list[AnsweringConnection](), PostgresAddress.connect

    def connected_and_noted(address: PostgresAddress) -> AnsweringConnection:
        connections.append(connect(address))
        return connections[-1]

    monkeypatch.setattr(PostgresAddress, "connect", connected_and_noted)
    return connections


def cut(connection: AnsweringConnection) -> None:
    """Lose a connection on this side; the server goes on with what it was sent."""
    with socket.socket(fileno=socket.dup(connection.fileno())) as ours:
        ours.shutdown(socket.SHUT_RDWR)


async def test_a_statement_whose_connection_is_lost_on_the_way_is_not_repeated(
    url: str, connections: list[AnsweringConnection]
) -> None:
    store = await PostgresStore.open(url)
    writing = connections[0]
    await store.append(append_of("a", b"\x01"))
    with connected(url) as other, connected(url) as watching:
        async with anyio.create_task_group() as tasks:
            with other.transaction():
                other.execute("SELECT FROM journal FOR UPDATE")
                tasks.start_soon(store.append, append_of("a", b"\x02"))
                await waiting_for_a_lock(watching, 1)
                cut(writing)
                await waiting_for_a_lock(watching, 2)
    assert [record.payload for record in await everything(store)] == [b"\x01", b"\x02"]
    await store.aclose()


@pytest.mark.parametrize("timeout", [0.1, PATIENCE_SECONDS])
async def test_what_may_have_been_written_is_not_said_not_to_be_because_the_journal_is_busy(
    timeout: float, url: str, connections: list[AnsweringConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await PostgresStore.open(f"{url}&timeout={timeout}")
    writing = connections[0]
    await store.append(append_of("a", b"\x01"))
    monkeypatch.setattr("calliope.stores.postgres_address.LOCK_SECONDS", 0.05)  # for those who ask what happened
    outcomes: list[list[StoredRecord] | JournalError] = []

    async def append() -> None:
        try:
            outcomes.append(await store.append(append_of("a", b"\x02")))
        except JournalError as error:
            outcomes.append(error)

    with connected(url) as other, connected(url) as watching:
        async with anyio.create_task_group() as tasks:
            with other.transaction():
                other.execute("SELECT FROM journal FOR UPDATE")
                tasks.start_soon(append)
                await waiting_for_a_lock(watching, 1)
                cut(writing)
                await anyio.sleep(0.2)
        await waiting_for_a_lock(watching, 0)
        with other.transaction():
            other.execute("SELECT FROM journal FOR UPDATE")  # whoever had it before has committed
    log = await everything(store)
    assert [record.payload for record in log] == [b"\x01", b"\x02"]
    (outcome,) = outcomes
    assert outcome == log[1:] or "it is unknown whether it was written" in str(outcome)
    await store.aclose()


async def test_stores_that_write_to_the_same_streams_in_turn_see_what_the_others_wrote(url: str) -> None:
    one, other = [await PostgresStore.open(url) for _ in range(2)]
    for version in range(0, 8, 2):
        await one.append(append_of("a", b"\x01", expected_version=version))
        await other.append(append_of("a", b"\x02", expected_version=version + 1))
        with pytest.raises(ExpectedVersionError):
            await one.append(append_of("a", b"\x03", expected_version=version + 1))
        await one.append(append_of("b", b"\x04"))
        await one.append(append_of("b", b"\x05"))
    log = await everything(one)
    assert [record.position for record in log] == list(range(1, 17))
    assert [record.sequence_number for record in log if record.stream_id == "a"] == list(range(1, 9))
    for store in (one, other):
        await store.aclose()


async def test_a_version_that_another_store_has_brought_about_is_not_refused(url: str) -> None:
    one, other = [await PostgresStore.open(url) for _ in range(2)]
    for _ in range(2):
        await one.append(append_of("a", b"\x01"))
    await other.append(append_of("a", b"\x02"))
    (record,) = await one.append(append_of("a", b"\x03", expected_version=3))
    assert record.sequence_number == 4
    for store in (one, other):
        await store.aclose()


async def test_a_request_that_was_written_before_is_found_whoever_wrote_it_and_whatever_it_expects(url: str) -> None:
    one, other = [await PostgresStore.open(url) for _ in range(2)]
    replies: list[list[StoredRecord]] = []

    async def append(request: AppendRequest) -> None:
        replies.append(await one.append(request))

    await one.append(append_of("a", b"\x01"))
    first = await one.append(append_of("a", b"\x02", expected_version=1, event_id="two"))
    assert await one.append(append_of("a", b"\x02", expected_version=1, event_id="two")) == first
    assert await one.append(append_of("a", b"\x02", event_id="two")) == first
    await one.append(append_of("a", b"\x03"))
    async with anyio.create_task_group() as tasks:  # they share a commit
        tasks.start_soon(append, append_of("a", b"\x02", expected_version=1, event_id="two"))
        tasks.start_soon(append, append_of("a", b"\x04"))
    assert first in replies
    await other.append(append_of("a", b"\x05"))
    await other.append(append_of("a", b"\x06"))
    assert await other.append(append_of("a", b"\x02", event_id="two")) == first
    assert [(record.sequence_number, record.payload[0]) for record in await everything(one)] == [
        (n, n) for n in range(1, 7)
    ]
    for store in (one, other):
        await store.aclose()


async def test_one_refused_request_costs_those_beside_it_nothing(url: str) -> None:
    store = await PostgresStore.open(url)
    await store.append(append_of("a", b"\x01"))
    refused: list[int] = []

    async def expect(version: int) -> None:
        try:
            await store.append(append_of("a", b"\x02", expected_version=version))
        except ExpectedVersionError as error:
            refused.append(error.actual)

    async with anyio.create_task_group() as tasks:
        for version in (1, 1, 2, 7):
            tasks.start_soon(expect, version)
    assert refused == [2, 3]
    await expect(7)
    assert refused == [2, 3, 3]
    assert [record.sequence_number for record in await everything(store)] == [1, 2, 3]
    await store.aclose()


async def test_many_callers_in_turn_lose_and_double_nothing_though_connections_are_lost(url: str) -> None:
    store, random = await PostgresStore.open(url), Random(7)
    replies: dict[int, bytes] = {}

    async def call(number: int) -> None:
        for n in range(3):
            payload = b"\xcd" + (number * 3 + n).to_bytes(2)
            (record,) = await store.append(append_of(f"s-{number % 50}", payload))
            replies[record.position] = payload

    async def disturb() -> None:
        with connected(url) as other:
            while True:
                await anyio.sleep(random.uniform(0, 0.05))
                other.execute(_TERMINATED)

    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as disturbing:
            disturbing.start_soon(disturb)
            async with anyio.create_task_group() as tasks:
                for number in range(200):
                    tasks.start_soon(call, number)
            disturbing.cancel_scope.cancel()
    log = await everything(store)
    assert {record.position: record.payload for record in log} == replies
    assert [record.position for record in log] == list(range(1, 601))
    await store.aclose()
