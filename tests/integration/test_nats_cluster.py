"""Three NATS servers with three copies: leaders are killed under load, and who writes and reads sees only waits."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest

from calliope import Journal, RecordedEvent, StorageError, UntypedEvent
from tests.integration.journal_workload import Acknowledgement, Step, check, persist, work
from tests.integration.second_process import CONTENDED, contend_until
from tests.nats import OwnCluster, give_up_after, new_journal, own_cluster, url_of_journal

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

PATIENCE_SECONDS = 120.0
"""How long a round may take before it counts as stuck, and a call: on a busy machine elections take their time."""

KILLS = 10
CALLERS = 8
REQUESTS = 30
"""How many requests of each caller go on around each kill."""

CONTENDERS = (11, 12)
"""The runs of those who append with expected versions."""

LAST_RUN = 13

LARGE = 4_100
"""Events of a request that is too large for one message, and goes as an atomic batch."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Writers:
    """Another process and this one, that write to the same streams."""

    def __init__(self, process: Process, journal: Journal) -> None:
        self._process, self._journal = process, journal
        self.acknowledged: list[Acknowledgement] = []
        self._some = asyncio.Event()

    async def write(self, number: int) -> None:
        """Have both write their requests of a round, and return when all are acknowledged."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._some.clear()
        requests = range(number * REQUESTS, (number + 1) * REQUESTS)
        async with asyncio.TaskGroup() as both:
            both.create_task(work(self._journal, 1, CALLERS, requests, self._note, persist))
            both.create_task(self._listen())

    async def until_acknowledged(self, count: int) -> None:
        """Return when so many requests have been acknowledged in all."""
        while len(self.acknowledged) < count:
            self._some.clear()
            await self._some.wait()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while (line := await self._process.stdout.readline()) != b"done\n":
            assert line, "the other process ended"
            self._note(Acknowledgement(*map(int, line.split())))

    def _note(self, done: Acknowledgement) -> None:
        self.acknowledged.append(done)
        self._some.set()


@asynccontextmanager
async def other_process(url: str) -> AsyncIterator[Process]:
    """Lend a process that writes requests whenever it is sent a line."""
    command = [sys.executable, "-m", "tests.integration.journal_workload", url, "--run", "2", "--rounds"]
    command += ["--callers", str(CALLERS), "--requests", str(REQUESTS)]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()


async def write_large(journal: Journal, ended: asyncio.Event) -> int:
    """Persist large requests until that has ended; return how many."""
    stream, requests = journal.event_stream("large", UntypedEvent), 0
    while not ended.is_set():
        await stream.persist([UntypedEvent("Part", requests)] * LARGE)
        requests += 1
        await asyncio.sleep(0.5)
    return requests


async def follow(journal: Journal, stream_id: str | None, seen: list[RecordedEvent[Step]]) -> None:
    """Read live, from the beginning until the last event of all comes."""
    of_stream = stream_id and journal.event_stream(stream_id, Step).live_records()
    async for record in of_stream or journal.live_records(event_type=Step):
        seen.append(record)
        if record.data.run == LAST_RUN:
            return


async def kill_leaders(cluster: OwnCluster, stream: str, writers: Writers) -> list[float]:
    """Kill each leader in the middle of a round; return how long the rounds took."""
    random, rounds = Random(11), list[float]()
    for number in range(KILLS):
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as writing:
            writing.create_task(writers.write(number))
            await writers.until_acknowledged(len(writers.acknowledged) + random.randrange(1, 100))
            killed = await asyncio.to_thread(cluster.kill_leader_of, stream)
            await asyncio.sleep(random.uniform(0, 0.3))
            await asyncio.to_thread(killed.start)
        rounds.append(time.monotonic() - began)
    return rounds


async def test_leaders_killed_under_load_cost_waits_and_lose_and_double_nothing() -> None:
    with own_cluster() as cluster:
        name, besides = new_journal(), new_journal()
        url = url_of_journal(cluster.url, name, replicas=3, timeout=PATIENCE_SECONDS)
        everywhere, contended = list[RecordedEvent[Step]](), list[RecordedEvent[Step]]()
        async with (
            Journal.open(url) as journal,
            Journal.open(url) as other,
            Journal.open(url_of_journal(cluster.url, besides, replicas=3, timeout=PATIENCE_SECONDS)) as beside,
            other_process(url) as process,
        ):
            writers, ended = Writers(process, journal), asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(follow(other, None, everywhere))
                tasks.create_task(follow(journal, CONTENDED, contended))
                contenders = [
                    tasks.create_task(contend_until(ended, each, run, 0.02))
                    for each, run in zip((journal, other), CONTENDERS, strict=True)
                ]
                large = tasks.create_task(write_large(beside, ended))
                rounds = await kill_leaders(cluster, name, writers)
                ended.set()
                appended = dict(zip(CONTENDERS, [await task for task in contenders], strict=True))
                await other.event_stream(CONTENDED, Step).persist(Step(LAST_RUN, 0, 0, 0, 1))
            assert len(writers.acknowledged) == 2 * KILLS * CALLERS * REQUESTS
            events = await check(other, writers.acknowledged, dense=False)
            stored = await journal.records(event_type=Step).run_collect()
            parts = await beside.event_stream("large", UntypedEvent).query().map(lambda part: part.data).run_collect()
        assert parts == [request for request in range(large.result()) for _ in range(LARGE)]
        cluster.wait_until_current(name)
        assert everywhere == stored
        assert contended == [record for record in stored if record.stream_id == CONTENDED]
        counts = Counter(record.data.run for record in contended)
        for run, (requests, _) in appended.items():
            assert [step.data.request for step in contended if step.data.run == run] == list(range(requests))
        assert counts == {LAST_RUN: 1, **{run: requests for run, (requests, _) in appended.items()}}
        conflicts = sum(conflicts for _, conflicts in appended.values())
    print(f"{events} events, {conflicts} conflicts, {large.result()} large requests")
    print(f"rounds of {min(rounds):.1f} to {max(rounds):.1f} s")


async def test_what_was_acknowledged_is_read_by_everybody_at_once() -> None:
    """Any server answers reads; one that is behind the others must not be believed."""
    acknowledged, reads = 0, 0

    async def read(journal: Journal) -> None:
        nonlocal reads
        stream = journal.event_stream("a", Step)
        while acknowledged < 500:
            least = acknowledged
            assert await stream.version() >= least
            assert len(await stream.query(least - 1).run_collect()) >= 1
            reads += 1

    with own_cluster() as cluster:
        name = new_journal()
        async with AsyncExitStack() as stack:
            url = url_of_journal(cluster.url, name, replicas=3, timeout=PATIENCE_SECONDS)
            journal = await stack.enter_async_context(Journal.open(url))
            stream = journal.event_stream("a", Step)
            async with asyncio.TaskGroup() as tasks:
                while acknowledged < 500:
                    acknowledged = (await stream.persist(Step(1, 0, acknowledged, 0, 1))).sequence_number
                    if acknowledged == 1:
                        for server in cluster.servers:
                            url = url_of_journal(server.url, name, timeout=PATIENCE_SECONDS)
                            tasks.create_task(read(await stack.enter_async_context(Journal.open(url))))
    print(f"{reads} reads")


async def test_a_server_that_hangs_is_left_for_another() -> None:
    with own_cluster() as cluster:
        url = url_of_journal(cluster.url, new_journal(), replicas=3, timeout=PATIENCE_SECONDS)
        async with Journal.open(url) as journal:
            stream = journal.event_stream("a", Step)
            await stream.persist(Step(1, 0, 0, 0, 1))
            (connected,) = [server for server in cluster.servers if server.monitored("connz")["connections"]]
            connected.pause()
            try:
                await stream.persist(Step(1, 0, 1, 0, 1))
                assert [step.request for step in await stream.query().run_collect()] == [0, 1]
            finally:
                connected.resume()


async def test_without_a_majority_callers_are_told_in_time_and_with_one_it_goes_on() -> None:
    with own_cluster() as cluster:
        async with Journal.open(url_of_journal(cluster.url, new_journal(), replicas=3, timeout=3_600)) as journal:
            stream = journal.event_stream("a", Step)
            await stream.persist(Step(1, 0, 0, 0, 1), event_id="0")
            down = cluster.servers[:2]
            for server in down:
                server.kill()
            give_up_after(journal, 2)
            async with asyncio.timeout(PATIENCE_SECONDS):
                with pytest.raises(StorageError, match="the same event id may be sent again"):
                    await stream.persist(Step(1, 0, 1, 0, 1), event_id="1")
            for server in down:
                await asyncio.to_thread(server.start)
            give_up_after(journal, PATIENCE_SECONDS)
            await stream.persist(Step(1, 0, 1, 0, 1), event_id="1")
            await stream.persist(Step(1, 0, 2, 0, 1), event_id="2")
            assert [step.request for step in await stream.query().run_collect()] == [0, 1, 2]
