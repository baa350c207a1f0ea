import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from calliope.errors import JournalClosedError
from calliope.stores import commit_lane
from calliope.stores.commit_lane import CommitLane, Pending

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30


class Disk:
    """Commits numbers: each one's reply is its square. A commit waits until it is let through.

    Odd numbers below zero are refused.
    """

    def __init__(self, *, open_gate: bool = True) -> None:
        self.batches: list[list[int]] = []
        self.announced: list[int] = []
        self.released = threading.Event()
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        if open_gate:
            self.gate.set()

    def commit(self, batch: Sequence[Pending[int, int]]) -> list[int]:
        self.batches.append([pending.request for pending in batch])
        self.begun.release()
        assert self.gate.wait(PATIENCE_SECONDS)
        for pending in batch:
            if pending.request < 0:
                pending.error = ValueError(str(pending.request))
            else:
                pending.reply = pending.request**2
        return self.batches[-1]

    def release(self) -> None:
        assert not self.released.is_set()
        self.released.set()

    def lane(self) -> CommitLane[int, int, list[int]]:
        return CommitLane(self.commit, self.announced.extend, lambda: 60.0, self.release)

    async def begin(self) -> None:
        """Wait until another commit has begun."""
        await anyio.to_thread.run_sync(self.begun.acquire)


async def all_of(*calls: Callable[[], Awaitable[int]]) -> list[int]:
    results = [0] * len(calls)

    async def call(index: int) -> None:
        results[index] = await calls[index]()

    async with anyio.create_task_group() as tasks:
        for index in range(len(calls)):
            tasks.start_soon(call, index)
    return results


async def test_requests_of_one_turn_of_the_loop_share_a_commit() -> None:
    disk = Disk()
    lane = disk.lane()
    assert await all_of(*[lambda n=n: lane.submit(n) for n in range(5)]) == [0, 1, 4, 9, 16]
    assert len(disk.batches) == 1
    await lane.aclose()


async def test_requests_that_come_during_a_commit_share_the_next_in_their_order() -> None:
    disk = Disk(open_gate=False)
    lane = disk.lane()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lane.submit, 1)
        await disk.begin()
        for number in range(2, 6):
            tasks.start_soon(lane.submit, number)
            await anyio.wait_all_tasks_blocked()
        disk.gate.set()
    assert disk.batches == [[1], [2, 3, 4, 5]]
    await lane.aclose()


async def test_an_error_reaches_only_its_own_caller() -> None:
    disk = Disk()
    lane = disk.lane()

    async def refused() -> int:
        with pytest.raises(ValueError, match="-7"):
            await lane.submit(-7)
        return -1

    assert await all_of(lambda: lane.submit(2), refused, lambda: lane.submit(3)) == [4, -1, 9]
    assert len(disk.batches) == 1
    await lane.aclose()


async def test_a_request_is_announced_before_its_caller_resumes() -> None:
    disk = Disk()
    lane = disk.lane()
    for number in range(3):
        await lane.submit(number)
        assert disk.announced[-1] == number
    await lane.aclose()


async def test_a_cancelled_callers_request_is_committed_and_the_others_get_their_replies() -> None:
    disk = Disk(open_gate=False)
    lane = disk.lane()
    replies: list[int] = []

    async def call(number: int) -> None:
        replies.append(await lane.submit(number))

    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as cancelled:
            cancelled.start_soon(call, 1)
            await disk.begin()
            cancelled.start_soon(call, 2)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(call, 3)
            await anyio.wait_all_tasks_blocked()
            cancelled.cancel_scope.cancel()
        assert replies == []
        disk.gate.set()
    assert replies == [9]
    assert disk.batches == [[1], [2, 3]]
    assert disk.announced == [1, 2, 3]
    await lane.aclose()


async def test_closing_commits_what_was_accepted_and_refuses_the_rest() -> None:
    disk = Disk(open_gate=False)
    lane = disk.lane()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lane.submit, 1)
        await disk.begin()
        tasks.start_soon(lane.submit, 2)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(lane.aclose)
        tasks.start_soon(lane.aclose)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(JournalClosedError, match="nothing was written"):
            await lane.submit(3)
        assert not disk.released.is_set()
        disk.gate.set()
    assert disk.batches == [[1], [2]]
    assert disk.released.is_set()
    await lane.aclose()


async def test_callers_beyond_the_bound_wait_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_lane, "LANE_REQUESTS_MAX", 3)
    disk = Disk(open_gate=False)
    lane = disk.lane()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lane.submit, 0)
        await disk.begin()
        for number in range(1, 9):
            tasks.start_soon(lane.submit, number)
        await anyio.wait_all_tasks_blocked()
        disk.gate.set()
    assert sorted(number for batch in disk.batches for number in batch) == list(range(9))
    assert max(map(len, disk.batches)) <= 3
    await lane.aclose()


async def test_callers_who_wait_for_room_are_refused_when_the_lane_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_lane, "LANE_REQUESTS_MAX", 1)
    disk = Disk(open_gate=False)
    lane = disk.lane()
    refused = []

    async def submit(number: int) -> None:
        try:
            await lane.submit(number)
        except JournalClosedError:
            refused.append(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(submit, 0)
        await disk.begin()
        tasks.start_soon(submit, 1)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(submit, 2)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(lane.aclose)
        await anyio.wait_all_tasks_blocked()
        disk.gate.set()
    assert disk.batches == [[0], [1]]
    assert refused == [2]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_lane_whose_closer_is_cancelled_closes_all_the_same() -> None:
    """Cancelling an asyncio task passes through shields."""
    disk = Disk(open_gate=False)
    lane = disk.lane()
    caller = asyncio.create_task(lane.submit(1))
    await disk.begin()
    closer = asyncio.create_task(lane.aclose())
    await anyio.wait_all_tasks_blocked()
    closer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closer
    disk.gate.set()
    assert await caller == 1
    await lane.aclose()
    assert disk.released.is_set()


def test_a_lane_whose_event_loop_ends_first_commits_releases_and_ends(anyio_backend: str) -> None:
    disk = Disk(open_gate=False)

    async def leave() -> None:
        lane = disk.lane()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lane.submit, 1)
            await disk.begin()
            tasks.cancel_scope.cancel()

    anyio.run(leave, backend=anyio_backend)
    assert not disk.released.is_set()
    disk.gate.set()
    assert disk.released.wait(PATIENCE_SECONDS)
    assert disk.batches == [[1]]


async def test_an_idle_lane_is_asked_what_to_do_again_and_again() -> None:
    asked = threading.Semaphore(0)

    def idle() -> float:
        asked.release()
        return 0.001

    disk = Disk()
    lane = CommitLane(disk.commit, disk.announced.extend, idle, disk.release)
    for _ in range(5):
        await anyio.to_thread.run_sync(asked.acquire)
    assert await lane.submit(3) == 9
    await checkpoint()
    await lane.aclose()


async def test_a_lane_that_is_prodded_has_idle_called_at_once_and_commits_nothing_for_it() -> None:
    disk, idle = Disk(), threading.Semaphore(0)

    def be_idle() -> float:
        idle.release()
        return 3_600.0

    lane = CommitLane(disk.commit, disk.announced.extend, be_idle, disk.release)
    with anyio.fail_after(PATIENCE_SECONDS):
        await anyio.to_thread.run_sync(idle.acquire)  # once at the beginning
        lane.prod()
        await anyio.to_thread.run_sync(idle.acquire)
        assert await lane.submit(3) == 9
        await lane.aclose()
    lane.prod()
    assert disk.batches == [[3]]


class Database:
    """Commits numbers, and says what happens: how many were begun, and how many were told, in this order.

    Its clock stands still, but for the seconds that it takes to announce and, once it is waited for, to commit.
    """

    def __init__(self, *, announcing_seconds: float, waiting_seconds: float) -> None:
        self.happened: list[tuple[str, int]] = []
        self.told = threading.Semaphore(0)
        self._now = 0.0
        self._announcing_seconds, self._waiting_seconds = announcing_seconds, waiting_seconds
        self.lane: CommitLane[int, int, int] = CommitLane(
            self.commit, self.announce, lambda: 60.0, lambda: None, clock=lambda: self._now
        )

    def commit(self, batch: Sequence[Pending[int, int]]) -> int:
        for pending in batch:
            pending.reply = pending.request**2
        self.happened.append(("begun", len(batch)))
        self.lane.underway()
        if len(self.happened) > 1:  # those of the batch before are told, and this one waits for it
            assert self.told.acquire(timeout=PATIENCE_SECONDS)
        self._now += self._waiting_seconds
        return len(batch)

    def announce(self, count: int) -> None:
        self._now += self._announcing_seconds
        self.happened.append(("told", count))
        self.told.release()

    async def serve(self, callers: int) -> None:
        """Have so many callers ask twice each."""

        async def call(number: int) -> None:
            assert await self.lane.submit(number) == number**2
            assert await self.lane.submit(-number) == number**2

        async with anyio.create_task_group() as tasks:
            for number in range(callers):
                tasks.start_soon(call, number)


EXACT = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""Where all who are woken together have asked again before the turn ends: trio runs tasks in any order."""


@EXACT
async def test_many_take_turns_and_one_half_is_on_its_way_before_the_other_is_told() -> None:
    database = Database(announcing_seconds=1.0, waiting_seconds=0.1)
    await database.serve(130)
    await database.lane.aclose()
    assert database.happened == [
        *[("begun", 130), ("told", 130)],
        *[("begun", 65), ("begun", 65), ("told", 65), ("told", 65)],
    ]


@EXACT
@pytest.mark.parametrize(("callers", "waiting_seconds"), [(100, 0.1), (130, 10.0)])
async def test_few_callers_and_those_of_a_slow_database_commit_together(callers: int, waiting_seconds: float) -> None:
    database = Database(announcing_seconds=1.0, waiting_seconds=waiting_seconds)
    await database.serve(callers)
    await database.lane.aclose()
    assert database.happened == [("begun", callers), ("told", callers)] * 2


@EXACT
async def test_a_lane_that_closes_in_the_middle_of_turns_commits_and_tells_both_halves() -> None:
    database = Database(announcing_seconds=1.0, waiting_seconds=0.1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.serve, 130)
        while len(database.happened) < 3:
            await checkpoint()
        await database.lane.aclose()
    assert [count for what, count in database.happened if what == "told"] == [130, 65, 65]
