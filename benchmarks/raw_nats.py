"""JetStream by hand with nats-py, as fast as it goes: what a journal's figures there are held against.

Streams are kept in files, as a journal is. A message is a ready-made payload on the subject of its event stream, with
no headers: nothing is encoded, no version is expected, no id is remembered.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType

_FETCHED_AT_ONCE = 1_024
_PATIENCE_SECONDS = 60.0
_WRITERS = 256


async def publish_async(url: str, payload: bytes, *, count: int, window: int, streams: int) -> float:
    """Publish by `publish_async`, so many without an acknowledgement at a time; return messages a second."""
    async with _stream(url, window) as (context, name):
        subjects = _subjects(name, streams)
        began = time.perf_counter()
        published = [
            await context.publish_async(subjects[n % streams], payload, wait_stall=_PATIENCE_SECONDS)
            for n in range(count)
        ]
        await asyncio.gather(*published)
        return count / (time.perf_counter() - began)


async def publish_together(url: str, payload: bytes, *, count: int, callers: int) -> float:
    """Let callers publish, each awaiting its acknowledgement before the next; return messages a second."""
    async with _stream(url, callers) as (context, name):
        each = -(-count // callers)

        async def call(subject: str) -> None:
            for _ in range(each):
                await context.publish(subject, payload, timeout=_PATIENCE_SECONDS)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for subject in _subjects(name, callers):
                tasks.create_task(call(subject))
        return each * callers / (time.perf_counter() - began)


async def publish_alone(url: str, payload: bytes, *, seconds: float) -> float:
    """Let one caller publish one message after the other for some time; return messages a second."""
    async with _stream(url, 1) as (context, name):
        count, began = 0, time.perf_counter()
        while time.perf_counter() < began + seconds:
            await context.publish(f"{name}.0", payload)
            count += 1
        return count / (time.perf_counter() - began)


async def consume_in_order(url: str, payload: bytes, *, count: int, streams: int) -> float:
    """Read the messages of all subjects by an ordered consumer; return messages a second."""
    async with _filled(url, payload, count, streams) as (context, name):
        began = time.perf_counter()
        subscription = await context.subscribe(f"{name}.>", ordered_consumer=True)
        for _ in range(count):
            await subscription.next_msg(timeout=_PATIENCE_SECONDS)
        return count / (time.perf_counter() - began)


async def fetch(url: str, payload: bytes, *, count: int, streams: int) -> float:
    """Fetch the messages of all subjects in pages that need no acknowledgement; return messages a second."""
    async with _filled(url, payload, count, streams) as (context, name):
        began, fetched = time.perf_counter(), 0
        unacknowledged = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL)
        pages = await context.pull_subscribe(f"{name}.>", stream=name, config=unacknowledged)
        while fetched < count:
            fetched += len(await pages.fetch(min(_FETCHED_AT_ONCE, count - fetched), timeout=_PATIENCE_SECONDS))
        return count / (time.perf_counter() - began)


@asynccontextmanager
async def _filled(url: str, payload: bytes, count: int, streams: int) -> AsyncIterator[tuple[JetStreamContext, str]]:
    async with _stream(url, 1) as (context, name):
        subjects = _subjects(name, streams)
        numbers = iter(range(count))

        async def write() -> None:
            for number in numbers:
                await context.publish(subjects[number % streams], payload, timeout=_PATIENCE_SECONDS)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_WRITERS):
                tasks.create_task(write())
        yield context, name


@asynccontextmanager
async def _stream(url: str, window: int) -> AsyncIterator[tuple[JetStreamContext, str]]:
    client = await nats.connect(url)
    try:
        context = client.jetstream(publish_async_max_pending=window)
        name = f"raw_{secrets.token_hex(6)}"
        await context.add_stream(name=name, subjects=[f"{name}.>"], storage=StorageType.FILE)
        yield context, name
        await context.delete_stream(name)
    finally:
        await client.close()


def _subjects(name: str, streams: int) -> list[str]:
    return [f"{name}.{number}" for number in range(streams)]
