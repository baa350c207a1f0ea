"""Callers that persist and readers that replay: our side of the journal's benchmarks."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks.ordering import ItemAdded, add_up, item
from calliope import EventStream, Journal

Stream = EventStream[ItemAdded]
Read = Callable[[Stream], Awaitable[object]]
Place = Path | str
"""A folder for a journal's file, or the URL of a journal."""

Fill = Callable[[Path, int], Coroutine[Any, Any, None]]


def url_of(place: Place) -> Place:
    """Return where the journal is."""
    return place / "journal.db" if isinstance(place, Path) else place


async def persist_concurrently(place: Place, *, callers: int, streams: int, count: int) -> float:
    """Let callers persist, each awaiting its own event before the next; return events a second."""
    async with Journal.open(url_of(place)) as journal:
        handles = [journal.event_stream(f"order-{number}", ItemAdded) for number in range(streams)]
        events = [item(number) for number in range(-(-count // callers))]

        async def call(stream: Stream) -> None:
            for event in events:
                await stream.persist(event)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for caller in range(callers):
                tasks.create_task(call(handles[caller % streams]))
        return len(events) * callers / (time.perf_counter() - began)


async def persist_alone(place: Place, *, seconds: float) -> float:
    """Let one caller persist one event after the other for some time; return events a second."""
    async with Journal.open(url_of(place)) as journal:
        stream = journal.event_stream("order-1", ItemAdded)
        written = 0
        began = time.perf_counter()
        deadline = began + seconds
        while time.perf_counter() < deadline:
            await stream.persist(item(written))
            written += 1
        return written / (time.perf_counter() - began)


async def persist_lists(folder: Path, *, count: int, length: int) -> float:
    """Let one caller persist lists of events; return events a second."""
    async with Journal.open(folder / "journal.db") as journal:
        stream = journal.event_stream("order-1", ItemAdded)
        lists = [[item(number) for number in range(start, start + length)] for start in range(0, count, length)]
        began = time.perf_counter()
        for events in lists:
            await stream.persist(events)
        return len(lists) * length / (time.perf_counter() - began)


async def fill(path: Path, count: int) -> None:
    """Make a journal with one stream, written in lists."""
    async with Journal.open(path) as journal:
        stream = journal.event_stream("order-1", ItemAdded)
        for start in range(0, count, 10_000):
            await stream.persist([item(number) for number in range(start, min(count, start + 10_000))])


async def fill_one_by_one(path: Place, count: int) -> None:
    """Make a journal with one stream, each event written by a request of its own."""
    async with Journal.open(path) as journal:
        stream = journal.event_stream("order-1", ItemAdded)
        numbers = iter(range(count))

        async def write() -> None:
            for number in numbers:
                await stream.persist(item(number))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(256):
                tasks.create_task(write())


async def replay(path: Place, read: Read, count: int) -> float:
    """Read a stream once; return events a second."""
    async with Journal.open(path) as journal:
        stream = journal.event_stream("order-1", ItemAdded)
        began = time.perf_counter()
        await read(stream)
        return count / (time.perf_counter() - began)


async def replay_all(place: Place, count: int) -> float:
    """Read all streams once, in the journal's order, into a fold; return events a second."""
    async with Journal.open(url_of(place)) as journal:
        began = time.perf_counter()
        records = journal.records(event_type=ItemAdded)
        await records.run_fold(0, lambda total, record: add_up(total, record.data))
        return count / (time.perf_counter() - began)


async def into_fold(stream: Stream) -> int:
    """Fold a stream."""
    return await stream.query().run_fold(0, add_up)


async def through_map_and_filter(stream: Stream) -> int:
    """Fold a stream behind two stages."""
    amounts = stream.query().map(lambda event: event.quantity * event.price_cents)
    return await amounts.filter(lambda amount: amount > 2_000).run_fold(0, lambda total, amount: total + amount)


async def record_by_record(stream: Stream) -> int:
    """Look at every record of a stream in a plain loop."""
    total = 0
    async for record in stream.records():
        total = add_up(total, record.data)
    return total
