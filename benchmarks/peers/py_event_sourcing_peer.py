"""`py-event-sourcing`: asyncio on aiosqlite, events as bytes, watchers that are told by a polling task."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from py_event_sourcing import CandidateEvent, sqlite_stream_factory  # type: ignore[import-untyped] # it has no types

from benchmarks.peers import EventSourcingPeer, Use

CALLERS = 256
POLLING_SECONDS = 0.001


def _item(number: int) -> CandidateEvent:
    data = {"sku": f"sku-{number % 1000}", "quantity": 1 + number % 3, "price_cents": 1999}
    return CandidateEvent(type="ItemAdded", data=json.dumps(data).encode())


@asynccontextmanager
async def _quiet_factory(folder: Path) -> AsyncIterator[Any]:
    """Open a file whose poller sleeps: it looks without pause until the first event, and then once an interval."""
    async with sqlite_stream_factory(str(folder / "peer.db"), polling_interval=3600) as open_stream:
        async with open_stream("first") as stream:
            await stream.write([_item(0)])
        await asyncio.sleep(0.05)
        yield open_stream


async def _append(folder: Path, count: int) -> float:
    each = -(-count // CALLERS)
    async with _quiet_factory(folder) as open_stream:

        async def call(caller: int) -> None:
            async with open_stream(f"order-{caller}") as stream:
                for number in range(each):
                    await stream.write([_item(number)])

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for caller in range(CALLERS):
                tasks.create_task(call(caller))
        return each * CALLERS / (time.perf_counter() - began)


async def _replay(folder: Path, count: int) -> float:
    async with _quiet_factory(folder) as open_stream, open_stream("order-1") as stream:
        await stream.write([_item(number) for number in range(count)])
        total = 0
        began = time.perf_counter()
        async for stored in stream.read():
            data = json.loads(stored.data)
            total += data["quantity"] * data["price_cents"]
        return count / (time.perf_counter() - began)


async def _wake_up(folder: Path, samples: int) -> float:
    receipts: asyncio.Queue[float] = asyncio.Queue()
    path = str(folder / "peer.db")
    async with (
        sqlite_stream_factory(path, polling_interval=POLLING_SECONDS) as open_stream,
        open_stream("order-1") as stream,
    ):

        async def watch() -> None:
            async with aclosing(stream.watch(0)) as events:
                async for _ in events:
                    receipts.put_nowait(time.perf_counter())

        watcher = asyncio.create_task(watch())
        await stream.write([_item(0)])
        await receipts.get()
        delays = []
        for number in range(samples):
            await asyncio.sleep(0.002)
            began = time.perf_counter()
            await stream.write([_item(number)])
            delays.append(await receipts.get() - began)
        watcher.cancel()
        await asyncio.wait([watcher])
    return 1000 * median(delays)


PEER = EventSourcingPeer(
    "py-event-sourcing",
    Use(
        lambda folder, count: asyncio.run(_append(folder, count)),
        f"stream.write of one event, from {CALLERS} tasks, a stream each; WAL, synchronous=NORMAL, which it fixes: it"
        " syncs no single commit, so a power cut may take acknowledged events, and this is to its advantage",
    ),
    Use(lambda folder, count: asyncio.run(_replay(folder, count)), "stream.read and json.loads"),
    Use(
        lambda folder, samples: asyncio.run(_wake_up(folder, samples)),
        f"stream.write (not synced) and stream.watch, polling every {1000 * POLLING_SECONDS:g} ms (default: 200)",
    ),
)
