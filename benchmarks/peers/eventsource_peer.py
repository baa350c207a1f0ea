"""`eventsource-py`: asyncio on aiosqlite, events as pydantic models."""

import asyncio
import logging
import time
from pathlib import Path
from statistics import median
from typing import cast
from uuid import UUID, uuid4

from eventsource import DomainEvent, ExpectedVersion, InMemoryEventBus, SQLiteEventStore, StreamId, register_event

from benchmarks.peers import EventSourcingPeer, Use

CALLERS = 256


@register_event
class ItemAdded(DomainEvent):
    """Something was put into the order."""

    event_type: str = "ItemAdded"
    aggregate_type: str = "Order"
    sku: str
    quantity: int
    price_cents: int


def _item(order: UUID, number: int) -> ItemAdded:
    return ItemAdded(aggregate_id=order, sku=f"sku-{number % 1000}", quantity=1 + number % 3, price_cents=1999)


async def _append(folder: Path, count: int) -> float:
    store = SQLiteEventStore(str(folder / "eventsource.db"))
    each = -(-count // CALLERS)

    async def call() -> None:
        order = uuid4()
        stream = StreamId(order, "Order")
        for number in range(each):
            await store.append(stream, [_item(order, number)], ExpectedVersion.any_())

    try:
        await store.get_stream_version(StreamId(uuid4(), "Order"))  # opens the file
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CALLERS):
                tasks.create_task(call())
        return each * CALLERS / (time.perf_counter() - began)
    finally:
        await store.close()


async def _replay(folder: Path, count: int) -> float:
    store = SQLiteEventStore(str(folder / "eventsource.db"))
    order = uuid4()
    stream = StreamId(order, "Order")
    try:
        await store.append(stream, [_item(order, number) for number in range(count)], ExpectedVersion.any_())
        total = 0
        began = time.perf_counter()
        async for envelope in store.read_stream(stream):
            event = cast(ItemAdded, envelope.event)
            total += event.quantity * event.price_cents
        return count / (time.perf_counter() - began)
    finally:
        await store.close()


async def _wake_up(folder: Path, samples: int) -> float:
    """Append and publish on the bus in memory, as its repository does; the handler is the live reader."""
    store = SQLiteEventStore(str(folder / "eventsource.db"))
    bus = InMemoryEventBus(enable_tracing=False)
    receipts: asyncio.Queue[float] = asyncio.Queue()

    async def receive(_: DomainEvent) -> None:
        receipts.put_nowait(time.perf_counter())

    bus.subscribe(ItemAdded, receive)
    order = uuid4()
    delays = []
    try:
        for number in range(samples):
            await asyncio.sleep(0.002)
            item = _item(order, number)
            began = time.perf_counter()
            await store.append(StreamId(order, "Order"), [item], ExpectedVersion.any_())
            await bus.publish([item])
            delays.append(await receipts.get() - began)
    finally:
        await store.close()
    return 1000 * median(delays)


logging.getLogger("eventsource").setLevel(logging.ERROR)

PEER = EventSourcingPeer(
    "eventsource-py",
    Use(
        lambda folder, count: asyncio.run(_append(folder, count)),
        f"SQLiteEventStore.append of one event, from {CALLERS} tasks, a stream each; WAL, synchronous=FULL (SQLite's"
        " default, which it keeps)",
    ),
    Use(lambda folder, count: asyncio.run(_replay(folder, count)), "read_stream of pydantic events"),
    Use(
        lambda folder, samples: asyncio.run(_wake_up(folder, samples)),
        "append, then publish on its in-memory bus, which keeps nothing and reaches this process only",
    ),
)
