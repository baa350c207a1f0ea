"""Several processes with one journal: both write, each sees what the others write, and none gets in another's way."""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import anyio
import pytest

from calliope import Journal, RecordedEvent, Source
from calliope.errors import JournalClosedError
from tests.integration.journal_workload import Acknowledgement, Step, check, persist, work
from tests.integration.second_process import CONTENDED, PINGS, Ping, contend

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

CALLERS = 8


def workload(path: Path, run: int, requests: int, *more: str) -> list[str]:
    command = [sys.executable, "-m", "tests.integration.journal_workload", str(path), "--run", str(run)]
    return [*command, "--callers", str(CALLERS), "--requests", str(requests), *more]


def acknowledged_in(output: str) -> list[Acknowledgement]:
    return [Acknowledgement(*map(int, line.split())) for line in output.splitlines()]


@asynccontextmanager
async def running(command: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def output_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    output = (await process.stdout.read()).decode()
    assert await process.wait() == 0
    return output


async def both_write(path: Path, requests: int) -> None:
    acknowledged: list[Acknowledgement] = []
    async with Journal.open(path) as journal, running(workload(path, 2, requests)) as process:
        await work(journal, 1, CALLERS, range(requests), acknowledged.append, persist)
        acknowledged += acknowledged_in(await output_of(process))
        events = await check(journal, acknowledged)
    async with Journal.open(path) as journal:
        assert await check(journal, acknowledged) == events
    print(f"{events} events of two processes")


async def test_two_processes_write_to_the_same_streams(tmp_path: Path) -> None:
    await both_write(tmp_path / "journal.db", 50)


@pytest.mark.soak
async def test_two_processes_write_five_thousand_events_each_to_the_same_streams(tmp_path: Path) -> None:
    await both_write(tmp_path / "journal.db", 245)


async def test_expected_versions_hold_between_processes(tmp_path: Path) -> None:
    path, events = tmp_path / "journal.db", 150
    command = [sys.executable, "-m", "tests.integration.second_process", "contend", str(path), str(events)]
    async with Journal.open(path) as journal, running(command) as process:
        await journal.event_stream(CONTENDED, Step).live_query().run_first()
        conflicts = await contend(journal, 1, events)
        conflicts += int(await output_of(process))
        steps = await journal.event_stream(CONTENDED, Step).query().run_collect()
    assert Counter(step.run for step in steps) == {1: events, 2: events}
    for run in (1, 2):
        assert [step.request for step in steps if step.run == run] == list(range(events))
    assert conflicts
    print(f"{conflicts} conflicts in {2 * events} appends")


async def test_live_queries_see_what_another_process_writes_in_order_and_once(tmp_path: Path) -> None:
    path, requests, last_run = tmp_path / "journal.db", 40, 9
    seen: list[RecordedEvent[Step]] = []
    in_stream: list[RecordedEvent[Step]] = []
    async with Journal.open(path) as journal, running(workload(path, 2, requests)) as process:

        async def follow(source: Source[RecordedEvent[Step]], found: list[RecordedEvent[Step]]) -> None:
            async for record in source:
                found.append(record)
                if record.data.run == last_run:
                    return

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow, journal.live_records(event_type=Step), seen)
            tasks.start_soon(follow, journal.event_stream("stream-1", Step).live_records(), in_stream)
            await work(journal, 1, CALLERS, range(requests), lambda _: None, persist)
            await output_of(process)
            await journal.event_stream("stream-1", Step).persist(Step(last_run, 0, 0, 0, 1))
        stored = await journal.records(event_type=Step).run_collect()
    assert seen == stored
    assert in_stream == [record for record in stored if record.stream_id == "stream-1"]


async def test_a_live_query_hears_of_another_process_soon(tmp_path: Path) -> None:
    path, events = tmp_path / "journal.db", 60
    command = [sys.executable, "-m", "tests.integration.second_process", "ping", str(path), str(events)]
    milliseconds = []
    async with Journal.open(path) as journal, running(command) as process:
        async for ping in journal.event_stream(PINGS, Ping).live_query().take(events):
            milliseconds.append((time.monotonic_ns() - ping.sent_nanoseconds) / 1e6)
        await output_of(process)
    assert len(milliseconds) == events
    print(f"from persist to the other process: median {median(milliseconds):.1f} ms, worst {max(milliseconds):.1f} ms")


async def open_together(path: Path, processes: int, requests: int) -> None:
    """Let processes open one new file at the same moment."""
    async with AsyncExitStack() as stack:
        children = [
            await stack.enter_async_context(running(workload(path, run, requests, "--wait")))
            for run in range(processes)
        ]
        for child in children:
            assert child.stdout is not None
            assert await child.stdout.readline() == b"ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.close()
        outputs = [await output_of(child) for child in children]
    acknowledged = [done for output in outputs for done in acknowledged_in(output)]
    assert len(acknowledged) == processes * requests * CALLERS
    async with Journal.open(path) as journal:
        await check(journal, acknowledged)


async def test_processes_that_make_one_new_journal_at_the_same_time_share_it(tmp_path: Path) -> None:
    await open_together(tmp_path / "journal.db", 3, 2)


@pytest.mark.soak
async def test_many_processes_make_many_new_journals_at_the_same_time(tmp_path: Path) -> None:
    for number in range(15):
        await open_together(tmp_path / f"{number}.db", 6, 2)


async def test_a_journal_can_be_opened_and_closed_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    acknowledged: list[Acknowledgement] = []
    async with running(workload(path, 2, 10_000)) as process:
        assert process.stdout is not None
        await process.stdout.readline()
        for request in range(50):
            async with Journal.open(path) as journal:
                acknowledged.append(await persist(journal, 1, 0, request))
        assert process.returncode is None
    async with Journal.open(path) as journal:
        await check(journal, acknowledged)


async def test_a_fork_cannot_use_the_journal_and_its_parent_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    code = "import asyncio, sys, tests.integration.test_two_processes as t; asyncio.run(t.fork(sys.argv[1]))"
    async with running([sys.executable, "-c", code, str(path)]) as process:
        assert await output_of(process) == "refused 7 times\n"
    async with Journal.open(path) as journal:
        assert await check(journal, []) == 2


async def fork(path: str) -> None:
    """Fork with an open journal, and try everything in the child; run in a process of its own."""
    async with Journal.open(path) as journal:
        await persist(journal, 0, 0, 0)
        refused = _refused_in_a_child(journal)
        await persist(journal, 1, 0, 0)
    print(f"refused {refused} times")


def _refused_in_a_child(journal: Journal) -> int:
    child = os.fork()
    if child == 0:
        os._exit(_refusals(journal))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _refusals(journal: Journal) -> int:
    stream = journal.event_stream("stream-0", Step)
    refused = 0
    for attempt in (
        lambda: stream.persist(Step(0, 0, 9, 0, 1)),
        lambda: stream.query().run_collect(),
        lambda: stream.live_query().run_collect(),
        lambda: journal.records(event_type=Step).run_collect(),
        lambda: journal.streams().run_collect(),
        lambda: journal.snapshots.save_snapshot("state", 1, sequence_number=1),
        lambda: journal.snapshots.load_snapshot("state", int),
    ):
        try:
            asyncio.run(attempt())
        except JournalClosedError as error:
            refused += "fork" in str(error)
    asyncio.run(journal.__aexit__(None, None, None))
    return refused
