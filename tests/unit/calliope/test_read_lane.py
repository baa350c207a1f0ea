"""The lane of reads: many tasks, few threads, results brought back together."""

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from calliope.errors import JournalClosedError
from calliope.stores import read_lane
from calliope.stores.read_lane import ReadLane

pytestmark = pytest.mark.anyio


class Readers:
    """Lends itself; notes which threads asked, and how many reads were under way at once."""

    def __init__(self) -> None:
        self.threads: set[threading.Thread] = set()
        self.at_once = self.at_once_max = 0
        self._lock = threading.Lock()

    def lend(self, read: Callable[["Readers"], Any]) -> Any:
        with self._lock:
            self.threads.add(threading.current_thread())
            self.at_once += 1
            self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            return read(self)
        finally:
            with self._lock:
                self.at_once -= 1


@pytest.fixture
def readers() -> Readers:
    return Readers()


@pytest.fixture
def lane(readers: Readers, anyio_backend: object):
    lane: list[ReadLane[Readers]] = []

    def make(threads_max: int = 3) -> ReadLane[Readers]:
        lane.append(ReadLane(readers.lend, threads_max))
        return lane[-1]

    return make


async def test_each_gets_what_its_read_returned(lane, readers: Readers):
    reads, results = lane(), {}

    async def ask(n: int) -> None:
        results[n] = await reads.submit(lambda reader: (n, reader is readers))

    async with anyio.create_task_group() as group:
        for n in range(200):
            group.start_soon(ask, n)
    assert results == {n: (n, True) for n in range(200)}
    assert len(readers.threads) <= 3
    assert readers.at_once_max <= 3
    assert threading.current_thread() not in readers.threads
    reads.close()


async def test_an_error_is_its_own_callers_and_costs_the_others_nothing(lane):
    reads = lane(1)
    errors, results = [], []

    async def ask(n: int) -> None:
        try:
            results.append(await reads.submit(lambda _: 1 // (n % 2)))
        except ZeroDivisionError:
            errors.append(n)

    async with anyio.create_task_group() as group:
        for n in range(10):
            group.start_soon(ask, n)
    assert results == [1] * 5
    assert sorted(errors) == [0, 2, 4, 6, 8]
    reads.close()


async def test_who_is_cancelled_leaves_and_the_others_are_answered(lane):
    reads, answered = lane(1), []
    goes_on = threading.Event()

    async def ask(n: int) -> None:
        answered.append(await reads.submit(lambda _: n))

    async with anyio.create_task_group() as group:
        group.start_soon(reads.submit, lambda _: goes_on.wait(30))
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as impatient:
            for n in range(5):
                impatient.start_soon(ask, n)
            await anyio.wait_all_tasks_blocked()
            impatient.cancel_scope.cancel()
        group.start_soon(ask, 5)
        await checkpoint()
        goes_on.set()
    assert answered == [5]
    reads.close()


async def test_what_is_ready_does_not_wait_for_what_is_slow_behind_it(lane, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(read_lane, "TOGETHER_SECONDS", 0.0)
    reads, answered = lane(1), []
    goes_on, first = threading.Event(), anyio.Event()

    async def ask(read: Callable[[Any], object]) -> None:
        answered.append(await reads.submit(read))
        first.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(ask, lambda _: "quick")
            await checkpoint()
            group.start_soon(ask, lambda _: goes_on.wait(30) and "slow")
            await first.wait()
            goes_on.set()
    assert answered == ["quick", "slow"]
    reads.close()


async def test_closing_answers_what_was_asked_for_and_takes_no_more(lane, readers: Readers):
    reads, answered = lane(2), []

    async def ask(n: int) -> None:
        answered.append(await reads.submit(lambda _: n))

    async with anyio.create_task_group() as group:
        for n in range(100):
            group.start_soon(ask, n)
        await checkpoint()
        await checkpoint()
        reads.close()
        reads.close()
    assert set(answered) <= set(range(100))
    with pytest.raises(JournalClosedError):
        await reads.submit(lambda _: 0)
    for thread in readers.threads:
        await anyio.to_thread.run_sync(thread.join, 30)
        assert not thread.is_alive()
