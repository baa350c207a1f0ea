"""A process that writes a replica's log as fast as it can, and says what was promised, until it is killed."""

import asyncio
import warnings
from multiprocessing.connection import Connection

from calliope.stores.nats import NatsStore
from calliope.testing.replica_contract import operations
from calliope.testing.requests import append_of, writing_of

STREAMS = 3


async def write_events(store: NatsStore, name: str, stream: int, connection: Connection) -> None:
    """Append two events at a time to a stream, under a replica id that nobody else has."""
    number = 0
    while True:
        event_id = f"{name}-{stream}-{number}"
        request = append_of(f"s{stream}", b"\xa1a", b"\xa1b", kind="replicated", event_id=event_id)
        appended = await store.append_replicated(request, writing_of(f"{name}s{stream}", has_written=number > 0))
        first, second = appended.records
        assert (second.sequence_number, second.position) == (first.sequence_number + 1, first.position + 1)
        connection.send(event_id)
        number += 1


async def write_operations(store: NatsStore, connection: Connection) -> None:
    """Append operations."""
    number = 0
    while True:
        number += 1
        await store.append_operations([operations(number)])
        connection.send("")


async def write(connection: Connection, url: str, name: str) -> None:
    """Write all of it at once."""
    store = await NatsStore.open(url)
    async with asyncio.TaskGroup() as writing:
        for stream in range(STREAMS):
            writing.create_task(write_events(store, name, stream, connection))
        writing.create_task(write_operations(store, connection))


def main(connection: Connection, url: str, name: str) -> None:
    """Write until killed."""
    warnings.simplefilter("error")
    asyncio.run(write(connection, url, name))
