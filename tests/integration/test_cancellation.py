"""Cancelling at every wait loses, doubles and halves nothing, and the journal goes on."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.lowlevel import checkpoint

from calliope import Journal
from calliope.errors import JournalClosedError
from calliope.stores import commit_lane
from tests.integration.cancelling import Manner, cancelled_at_every_wait
from tests.integration.journal_workload import Acknowledgement, Step, check, event_id, persist

pytestmark = pytest.mark.anyio

MANNERS = [("asyncio", "scope"), ("asyncio", "task"), ("asyncio", "resumption"), ("trio", "scope")]
on_both_loops = pytest.mark.parametrize(("anyio_backend", "manner"), MANNERS)


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else str(tmp_path / "journal.db")


@on_both_loops
async def test_a_cancelled_persist_is_written_once_or_not_at_all(url: str, manner: Manner) -> None:
    acknowledged: list[Acknowledgement] = []
    async with Journal.open(url) as journal:
        for request in [request for request in range(9) if event_id(0, 1, request) is not None]:

            async def send(request: int = request) -> None:
                """Send one and the same request, again and again."""
                await persist(journal, 0, 1, request)

            assert len([at async for at in cancelled_at_every_wait(manner, send)]) > 0
            acknowledged.append(await persist(journal, 0, 1, request))
            acknowledged.append(await persist(journal, 0, 2, request))
        await check(journal, acknowledged)


@on_both_loops
async def test_cancelling_one_caller_leaves_those_of_the_same_commit_alone(url: str, manner: Manner) -> None:
    async with Journal.open(url) as journal:
        acknowledged: list[Acknowledgement] = []
        requests = count()

        async def neighbour(request: int) -> None:
            acknowledged.append(await persist(journal, 0, 2, request))

        async def cancelled(request: int) -> None:
            await persist(journal, 0, 1, request)

        async with anyio.create_task_group() as tasks:

            async def both() -> None:
                request = next(requests)
                tasks.start_soon(neighbour, request)
                await cancelled(request)

            async for _ in cancelled_at_every_wait(manner, both):
                pass
        assert len(acknowledged) == next(requests)
        await check(journal, acknowledged)


@on_both_loops
async def test_callers_cancelled_while_they_wait_for_room_write_nothing(
    tmp_path: Path, manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_lane, "LANE_REQUESTS_MAX", 1)
    async with Journal.open(tmp_path / "journal.db") as journal:
        runs = count()

        async def crowd() -> None:
            run = next(runs)
            async with anyio.create_task_group() as tasks:
                for caller in range(5):
                    tasks.start_soon(persist, journal, run, caller, 0)
                await persist(journal, run, 5, 0)

        async for _ in cancelled_at_every_wait(manner, crowd):
            pass
        await check(journal, [await persist(journal, next(runs), 0, 0)])


@on_both_loops
@pytest.mark.parametrize("reading", ["query", "records", "tagged", "streams", "snapshot"])
async def test_a_cancelled_reader_leaves_the_journal_readable(url: str, manner: Manner, reading: str) -> None:
    async with Journal.open(url) as journal:
        acknowledged = [await persist(journal, 0, caller, 1) for caller in range(5)]
        await journal.snapshots.save_snapshot("state", 17, sequence_number=1)

        async def read() -> object:
            if reading == "query":
                return await journal.event_stream("stream-1", Step).query().run_collect()
            if reading == "records":
                return await journal.records(event_type=Step).run_collect()
            if reading == "tagged":
                return await journal.records(tags="tag-1", event_type=Step).run_collect()
            if reading == "streams":
                return await journal.streams().run_collect()
            return await journal.snapshots.load_snapshot("state", int)

        expected = await read()
        async for _ in cancelled_at_every_wait(manner, read):
            assert await read() == expected
        await check(journal, acknowledged)


@on_both_loops
async def test_a_live_query_cancelled_anywhere_loses_nothing_and_leaves_nothing_behind(
    url: str, manner: Manner
) -> None:
    async with Journal.open(url) as journal:
        requests = count()
        seen: list[int] = []

        async def persist_one() -> None:
            await journal.event_stream("live", Step).persist(Step(0, 0, next(requests), 0, 1))

        async def follow() -> None:
            """Follow from where the last follower was cut off; each event is answered by another."""
            await persist_one()
            wanted = len(seen) + 3
            async for step in journal.event_stream("live", Step).live_query(after=len(seen)):
                seen.append(step.request)
                if len(seen) == wanted:
                    return
                await persist_one()

        async for _ in cancelled_at_every_wait(manner, follow):
            pass
        stored = await journal.event_stream("live", Step).query().run_collect()
        assert seen == [step.request for step in stored][: len(seen)]
        assert len(seen) > 0
        assert not journal._store.tail.awaited


@on_both_loops
async def test_a_snapshot_is_saved_or_not_saved(url: str, manner: Manner) -> None:
    async with Journal.open(url) as journal:
        await journal.snapshots.save_snapshot("state", "old", sequence_number=1)

        async def save() -> None:
            await journal.snapshots.save_snapshot("state", "new", sequence_number=2, keep=1)

        async for _ in cancelled_at_every_wait(manner, save):
            snapshot = await journal.snapshots.load_snapshot("state", str)
            assert snapshot is not None
            assert (snapshot.sequence_number, snapshot.state) in [(1, "old"), (2, "new")]


@on_both_loops
async def test_opening_that_is_cancelled_can_be_done_again(tmp_path: Path, manner: Manner) -> None:
    journals = count()

    def path(number: int) -> Path:
        return tmp_path / f"journal-{number}.db"

    async def open_and_leave() -> None:
        async with Journal.open(path(next(journals))):
            pass

    async for at in cancelled_at_every_wait(manner, open_and_leave):
        async with Journal.open(path(at - 1)) as journal:
            await check(journal, [await persist(journal, 0, 0, 0)])


@on_both_loops
async def test_closing_that_is_cancelled_still_writes_what_was_accepted_and_ends(
    tmp_path: Path, manner: Manner
) -> None:
    journals = count()

    @asynccontextmanager
    async def opened(path: Path) -> AsyncIterator[Journal]:
        journal = Journal.open(path)
        await journal.__aenter__()
        try:
            yield journal
        finally:
            await journal.__aexit__(None, None, None)

    async def call(journal: Journal, run: int, caller: int) -> None:
        with suppress(JournalClosedError):  # on trio it may come too late
            await persist(journal, run, caller, 1)

    async def persist_and_leave() -> None:
        run = next(journals)
        async with anyio.create_task_group() as tasks, opened(tmp_path / f"journal-{run}.db") as journal:
            for caller in range(3):
                tasks.start_soon(call, journal, run, caller)
            await checkpoint()

    async for at in cancelled_at_every_wait(manner, persist_and_leave):
        for thread in threading.enumerate():
            if thread.name == "calliope-commit-lane":
                await anyio.to_thread.run_sync(thread.join, 30)
                assert not thread.is_alive()
        async with Journal.open(tmp_path / f"journal-{at - 1}.db") as journal:
            assert await check(journal, []) in (0, *range(1, 12))


async def test_callers_who_wait_when_the_journal_closes_are_served_and_live_queries_end(url: str) -> None:
    acknowledged: list[Acknowledgement] = []
    ended: list[str] = []
    begun: list[int] = []
    async with anyio.create_task_group() as tasks, Journal.open(url) as journal:

        async def follow() -> None:
            with pytest.raises(JournalClosedError):
                await journal.live_records(event_type=Step).run_drain()
            ended.append("live query")

        async def call(caller: int) -> None:
            begun.append(caller)
            acknowledged.append(await persist(journal, 0, caller, 1))

        tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        for caller in range(20):
            tasks.start_soon(call, caller)
        while len(begun) < 20:
            await checkpoint()
    assert ended == ["live query"]
    assert len(acknowledged) == 20
    if url != "memory://":
        async with Journal.open(url) as journal:
            await check(journal, acknowledged)
