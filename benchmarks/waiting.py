"""Live readers that wait, in this process and in another, and how soon they have what was persisted."""

import asyncio
import multiprocessing
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from benchmarks.ordering import ItemAdded, item
from benchmarks.workload import Place, url_of
from calliope import EventStream, Journal, Sink

PAUSE_SECONDS = 0.002
"""How long a writer waits between two events, so that the reader is idle when the next one comes."""


async def wake_up(place: Place, *, samples: int, since_call: bool) -> float:
    """Persist now and then while a live reader waits; return the median milliseconds until it has the event.

    Args:
        place: where the journal lies.
        samples: how many events.
        since_call: whether the time runs from the call of `persist`, or from its return. The latter may come out
            below zero: the reader is then served before the caller resumes.
    """
    delays = []
    async with Journal.open(url_of(place)) as journal:
        stream = journal.event_stream("order-1", ItemAdded)
        receipts: asyncio.Queue[float] = asyncio.Queue()
        async with stream.live_query().running(_receipts_into(receipts)):
            await _warm_up(stream, receipts)
            for number in range(samples):
                await asyncio.sleep(PAUSE_SECONDS)
                called = time.monotonic()
                await stream.persist(item(number))
                returned = time.monotonic()
                delays.append(await receipts.get() - (called if since_call else returned))
    return 1000 * median(delays)


async def wake_up_across_processes(place: Place, *, samples: int) -> float:
    """Return the median milliseconds from the return of `persist` in another process to the receipt in this one."""
    url = url_of(place)
    async with Journal.open(url) as journal:
        stream = journal.event_stream("order-1", ItemAdded)
        receipts: asyncio.Queue[float] = asyncio.Queue()
        async with stream.live_query().running(_receipts_into(receipts)):
            await _warm_up(stream, receipts)
            with _writing_process(url, samples) as other:
                received = [await receipts.get() for _ in range(samples)]
                returned: list[float] = await asyncio.to_thread(other.recv)
    return 1000 * median([end - start for start, end in zip(returned, received, strict=True)])


async def wake_up_crowd(folder: Path, *, readers: int, streams: int, samples: int) -> float:
    """Let live queries wait, each for one of the streams, and persist to the first stream.

    Returns:
        The median milliseconds from the call of `persist` until all readers of that stream have the event.
    """
    delays = []
    async with Journal.open(folder / "journal.db") as journal, asyncio.TaskGroup() as tasks:
        crowd = _Crowd(journal, readers, streams)
        await crowd.gather(tasks)
        for number in range(samples):
            began = time.perf_counter()
            await crowd.streams[0].persist(item(number))
            await crowd.until_received(readers // streams)
            delays.append(time.perf_counter() - began)
        crowd.disperse()
    return 1000 * median(delays)


async def memory_of_live_queries(folder: Path, *, readers: int) -> float:
    """Return the bytes that a waiting live query takes, with the task that runs it; each waits for its own stream."""
    async with Journal.open(folder / "journal.db") as journal, asyncio.TaskGroup() as tasks:
        crowd = _Crowd(journal, readers, readers)
        await crowd.streams[0].persist(item(0))
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await crowd.gather(tasks)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        crowd.disperse()
    return (after - before) / readers


class _Crowd:
    """Many live queries that count what they receive."""

    def __init__(self, journal: Journal, readers: int, streams: int) -> None:
        self.streams = [journal.event_stream(f"order-{number}", ItemAdded) for number in range(streams)]
        self._readers = readers
        self._received = 0
        self._awaited = 0
        self._enough = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def gather(self, tasks: asyncio.TaskGroup) -> None:
        """Start all live queries, and return when each of them waits."""
        for number in range(self._readers):
            stream = self.streams[number % len(self.streams)]
            self._tasks.append(tasks.create_task(stream.live_query().run_for_each(self._count)))
        for stream in self.streams:
            await stream.persist(item(0))
        await self.until_received(self._readers)
        await asyncio.sleep(0.05)  # they have their first event; now they go and wait for the next

    async def until_received(self, count: int) -> None:
        """Wait until that many events have come since the last time."""
        self._awaited = count
        while self._received < count:
            self._enough.clear()
            await self._enough.wait()
        self._received -= count

    def disperse(self) -> None:
        """End all live queries."""
        for task in self._tasks:
            task.cancel()

    def _count(self, _: ItemAdded) -> None:
        self._received += 1
        if self._received >= self._awaited:
            self._enough.set()


def _receipts_into(receipts: "asyncio.Queue[float]") -> Sink[ItemAdded, None]:
    return Sink.for_each(lambda _: receipts.put_nowait(time.monotonic()))


async def _warm_up(stream: EventStream[ItemAdded], receipts: "asyncio.Queue[float]") -> None:
    for number in range(10):
        await stream.persist(item(number))
        await receipts.get()
        await asyncio.sleep(PAUSE_SECONDS)


@contextmanager
def _writing_process(url: Place, count: int) -> Iterator[Connection]:
    """Run another process that persists events and then sends when each `persist` returned."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_write_now_and_then, args=(url, count, theirs))
    process.start()
    try:
        yield ours
    finally:
        process.join()
        ours.close()
        theirs.close()


def _write_now_and_then(url: Place, count: int, reply: Connection) -> None:
    reply.send(asyncio.run(_returns(url, count)))


async def _returns(url: Place, count: int) -> Sequence[float]:
    """Persist events, and return by the system's monotonic clock when each was durable."""
    returned = []
    async with Journal.open(url) as journal:
        stream = journal.event_stream("order-1", ItemAdded)
        for number in range(count):
            await asyncio.sleep(PAUSE_SECONDS * (10 + number % 7))
            await stream.persist(item(number))
            returned.append(time.monotonic())
    return returned
