"""The NATS store against servers that are killed, hang, are full or refuse: errors that name it, and recovery."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
import anyio.to_thread
import pytest
from nats.aio.client import Client

from calliope import Journal, JournalError, RecordedEvent, Sink, StorageError, StorageFullError, UntypedEvent
from calliope.stores.protocol import EventStore, StoredSnapshot
from calliope.stores.record import Selection, StoredRecord, StoredType
from calliope.testing.everything import everything
from calliope.testing.requests import append_of
from tests.integration.journal_workload import Acknowledgement, Step, check
from tests.integration.second_process import CONTENDED, contend_until
from tests.nats import OwnServer, give_up_after, new_journal, own_server, url_of_journal

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 120.0
"""How long anything may take before it counts as stuck."""

PASSWORD = "open-sesame"
STORE_BYTES = 8 * 1024 * 1024
"""What the server may keep in files."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def running() -> Iterator[OwnServer]:
    with own_server(users={"ada": PASSWORD}, jetstream=f"max_file_store: {STORE_BYTES}") as server:
        yield server


@pytest.fixture
async def url(running: OwnServer) -> AsyncIterator[str]:
    name = new_journal()
    yield url_of_journal(running.url, name, timeout=PATIENCE_SECONDS)
    async with jetstream(running) as client:  # there is room for the next test
        for stream in await stream_names(client):
            await requested(client, f"STREAM.DELETE.{stream}")


@asynccontextmanager
async def jetstream(running: OwnServer) -> AsyncIterator[Client]:
    """Lend a connection beside the store."""
    client = Client()
    await client.connect(running.url, allow_reconnect=False, connect_timeout=round(PATIENCE_SECONDS))
    try:
        yield client
    finally:
        await client.close()


async def stream_names(client: Client) -> list[str]:
    return (await requested(client, "STREAM.NAMES"))["streams"] or []


async def requested(client: Client, what: str, **arguments: object) -> dict[str, Any]:
    """Ask JetStream's API for something."""
    answer = await client.request(f"$JS.API.{what}", json.dumps(arguments).encode(), timeout=PATIENCE_SECONDS)
    return dict(json.loads(answer.data))


async def killed_and_started(running: OwnServer) -> None:
    await anyio.to_thread.run_sync(running.kill)
    await anyio.to_thread.run_sync(running.start)


async def written(
    stores: list[EventStore], requests: int, random: Random, disturb: Callable[[], Awaitable[None]]
) -> list[list[StoredRecord]]:
    """Have each of several stores write to shared streams, one request after another, until they were disturbed."""
    replies: list[list[StoredRecord]] = []
    disturbed = anyio.Event()

    async def write(store: EventStore, writer: int) -> None:
        n = 0
        while n < requests or not disturbed.is_set():
            request = append_of(f"s-{random.randrange(3)}", *[b"\xa6%02d%04d" % (writer, n)] * (1 + n % 3))
            replies.append(await store.append(request))
            n += 1

    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as writing:
            for number, store in enumerate(stores * 4):
                writing.start_soon(write, store, number)
            await disturb()
            disturbed.set()
    return replies


def check_once_and_in_order(log: list[StoredRecord], replies: list[list[StoredRecord]]) -> None:
    """Check that everything acknowledged is there once, that nothing else is, and that numbers have no gaps."""
    assert sorted((record for reply in replies for record in reply), key=lambda record: record.position) == log
    positions = [record.position for record in log]
    assert positions == sorted(set(positions))
    for stream_id in {record.stream_id for record in log}:
        numbers = [record.sequence_number for record in log if record.stream_id == stream_id]
        assert numbers == list(range(1, len(numbers) + 1))
    requests = [record.payload for reply in replies for record in reply[:1]]
    assert len(requests) == len(set(requests)) == len(replies)


async def disturbed_appends(running: OwnServer, url: str, kills: int, requests: int) -> None:
    """Kill the server while two stores write, and one of them reads; check that nobody missed or doubled anything."""
    random, seen = Random(5), list[StoredRecord]()
    async with Journal.open(url) as journal, Journal.open(url) as other:

        async def kill() -> None:
            for _ in range(kills):
                await anyio.sleep(random.uniform(0.05, 0.2))
                await killed_and_started(running)

        async def follow() -> None:
            after = 0
            while True:
                page = await journal.store.read_all(Selection(), after=after, limit=100)
                seen.extend(page.records)
                after = page.through
                await anyio.sleep(0.01)

        async with anyio.create_task_group() as following:
            following.start_soon(follow)
            replies = await written([journal.store, other.store], requests, random, kill)
            following.cancel_scope.cancel()
        log = await everything(other.store)
    check_once_and_in_order(log, replies)
    assert seen == log[: len(seen)]


async def test_a_server_killed_while_two_write_and_one_reads_loses_and_doubles_nothing(
    running: OwnServer, url: str
) -> None:
    await disturbed_appends(running, url, kills=2, requests=20)


@pytest.mark.soak
async def test_a_server_killed_again_and_again_loses_and_doubles_nothing(running: OwnServer, url: str) -> None:
    await disturbed_appends(running, url, kills=10, requests=100)


async def test_live_readers_miss_and_double_nothing_when_the_server_is_killed(running: OwnServer, url: str) -> None:
    events, kills = 60, (20, 40)
    async with Journal.open(url) as reading, Journal.open(url) as writing:
        stream, seen, in_all = writing.event_stream("a", UntypedEvent), list[int](), list[int]()
        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                live = reading.event_stream("a", UntypedEvent).live_query().take(events)
                records = reading.live_records(event_type=UntypedEvent).take(2 * events)
                group.start_soon(live.map(lambda event: event.data).run_for_each, seen.append)
                group.start_soon(records.map(lambda record: record.data.data).run_for_each, in_all.append)
                for n in range(events):
                    if n in kills:
                        await killed_and_started(running)
                    await stream.persist(UntypedEvent("Happened", n))
                    await writing.event_stream("b", UntypedEvent).persist(UntypedEvent("Happened", n))
        assert seen == list(range(events))
        assert in_all == [n for n in range(events) for _ in range(2)]


async def test_a_server_that_hangs_is_an_error_within_the_stated_time_and_then_goes_on(
    running: OwnServer, url: str
) -> None:
    async with Journal.open(url) as journal:
        stream = journal.event_stream("a", UntypedEvent)
        await stream.persist(UntypedEvent("Happened", 1))
        give_up_after(journal, 0.5)
        running.pause()
        try:
            with anyio.fail_after(PATIENCE_SECONDS), pytest.raises(StorageError):
                await stream.persist(UntypedEvent("Happened", 2), event_id="second")
            with anyio.fail_after(PATIENCE_SECONDS), pytest.raises(StorageError):
                await stream.query().run_collect()
        finally:
            running.resume()
        give_up_after(journal, PATIENCE_SECONDS)
        await stream.persist(UntypedEvent("Happened", 2), event_id="second")
        await stream.persist(UntypedEvent("Happened", 3))
        assert [event.data for event in await stream.query().run_collect()] == [1, 2, 3]


async def test_who_is_cancelled_while_the_server_hangs_may_send_the_same_again(running: OwnServer, url: str) -> None:
    async with Journal.open(url) as journal:
        stream = journal.event_stream("a", UntypedEvent)
        await stream.persist(UntypedEvent("Happened", 1))
        for n in (2, 3):
            running.pause()
            try:
                with anyio.move_on_after(0.05 * n):
                    await stream.persist(UntypedEvent("Happened", n), event_id=str(n))
            finally:
                running.resume()
            await stream.persist(UntypedEvent("Happened", n), event_id=str(n))
        assert [event.data for event in await stream.query().run_collect()] == [1, 2, 3]


@pytest.mark.soak
async def test_each_of_many_different_calls_ends_though_others_are_cancelled() -> None:
    random = Random(3)

    async def call(store: EventStore, n: int) -> object:
        stream_id, kind = f"s-{random.randrange(60)}", random.randrange(6)
        if kind == 0:
            return await store.read_stream(stream_id, after=0, limit=100)
        if kind == 1:
            return await store.read_all(Selection(), after=0, limit=300)
        if kind == 2:
            return await store.streams(prefix="", after="", limit=20)
        if kind == 3:
            payload = bytes(random.choice([1, 600_000]))
            snapshot = StoredSnapshot(f"s-{n % 4}", n % 2, StoredType("Sum", 1), 1, payload)
            return await store.save_snapshot(snapshot)
        event_id = random.choice([None, None, f"id-{n % 17}"])
        return await store.append(
            append_of(stream_id, *[b"\xa1x"] * random.choice([1, 2, 3, 4_100]), event_id=event_id)
        )

    with own_server() as unlimited:
        url = url_of_journal(unlimited.url, new_journal(), timeout=PATIENCE_SECONDS)
        for _ in range(10):
            async with Journal.open(url) as journal:
                calls = [asyncio.create_task(call(journal.store, n)) for n in range(150)]
                await anyio.sleep(random.uniform(0, 0.02))
                for each in random.sample(calls, 50):
                    each.cancel()
                done, pending = await asyncio.wait(calls, timeout=PATIENCE_SECONDS)
                assert not pending
                assert [each.exception() for each in done if not each.cancelled() and each.exception()] == []


async def test_a_journal_that_was_deleted_on_the_server_is_not_begun_anew(running: OwnServer, url: str) -> None:
    async with Journal.open(url) as journal, jetstream(running) as client:
        stream = journal.event_stream("a", UntypedEvent)
        await stream.persist(UntypedEvent("Happened", 1))
        give_up_after(journal, 0.5)
        for name in await stream_names(client):
            await requested(client, f"STREAM.DELETE.{name}")
        with anyio.fail_after(PATIENCE_SECONDS), pytest.raises(JournalError):
            await stream.persist(UntypedEvent("Happened", 2))
        with anyio.fail_after(PATIENCE_SECONDS), pytest.raises(JournalError):
            await stream.query().run_collect()
        assert await stream_names(client) == []


async def test_those_who_make_one_new_journal_at_the_same_time_share_it(url: str) -> None:
    ids = set()

    async def open_and_write(n: int) -> None:
        async with Journal.open(url) as journal:
            ids.add(journal.store.journal_id)
            await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("Happened", n))

    async with anyio.create_task_group() as group:
        for n in range(5):
            group.start_soon(open_and_write, n)
    assert len(ids) == 1
    async with Journal.open(url) as journal:
        events = await journal.event_stream("a", UntypedEvent).query().run_collect()
    assert sorted(event.data for event in events) == list(range(5))


async def test_a_full_server_says_that_nothing_was_written_and_takes_more_when_there_is_room(
    running: OwnServer, url: str
) -> None:
    async with Journal.open(url) as journal, jetstream(running) as client:
        stream = journal.event_stream("a", UntypedEvent)
        await stream.persist(UntypedEvent("Happened", 0))
        reserved = await requested(
            client, "STREAM.CREATE.ballast", name="ballast", subjects=["ballast"], storage="file"
        )
        assert "error" not in reserved
        for _ in range(STORE_BYTES // 500_000):
            await client.request("ballast", bytes(500_000), timeout=PATIENCE_SECONDS)
        taken = 0
        with pytest.raises(StorageFullError, match="nothing was written"):  # noqa: PT012 - somewhere in the middle
            while True:
                await stream.persist(UntypedEvent("Happened", "x" * 50_000))
                taken += 1
        assert len(await stream.query().run_collect()) == 1 + taken
        await requested(client, "STREAM.DELETE.ballast")
        await stream.persist(UntypedEvent("Happened", "more"))
        assert len(await stream.query().run_collect()) == 2 + taken


async def test_a_writer_that_is_killed_leaves_whole_requests_that_live_readers_see(url: str) -> None:
    acknowledged, seen = list[Acknowledgement](), list[RecordedEvent[Step]]()
    async with Journal.open(url) as journal:
        async with journal.live_records(event_type=Step).running(Sink.for_each(seen.append)):
            async with process("tests.integration.journal_workload", url) as writing:
                assert writing.stdout is not None
                while len(acknowledged) < 50:
                    acknowledged.append(Acknowledgement(*map(int, (await writing.stdout.readline()).split())))
            count = await check(journal, acknowledged, dense=False)
            with anyio.fail_after(PATIENCE_SECONDS):
                while len(seen) < count:  # noqa: ASYNC110 - how many there will be was not known before
                    await anyio.sleep(0.01)
        assert seen == await journal.records(event_type=Step).run_collect()


async def test_expected_versions_hold_between_processes(url: str) -> None:
    theirs, ended = 40, asyncio.Event()
    async with Journal.open(url) as journal:
        async with process("tests.integration.second_process", "contend", url, str(theirs)) as other:
            with anyio.fail_after(PATIENCE_SECONDS):
                contending = asyncio.create_task(contend_until(ended, journal, 1, 0))
                output, _ = await other.communicate()
                ended.set()
                ours, conflicts = await contending
            assert other.returncode == 0
        steps = await journal.event_stream(CONTENDED, Step).query().run_collect()
    assert Counter(step.run for step in steps) == {1: ours, 2: theirs}
    for run in (1, 2):
        assert [step.request for step in steps if step.run == run] == list(range(ours if run == 1 else theirs))
    assert conflicts + int(output)


@asynccontextmanager
async def process(module: str, *arguments: str) -> AsyncIterator[Process]:
    """Run a module as a program; kill it at the end."""
    running = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments, stdout=PIPE)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()
