"""Processes that write replicated streams of one journal, without being its node; each says what it was promised."""

import asyncio
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from calliope import Journal, StorageError
from tests.integration.node_process import SECONDS, Written
from tests.integration.node_processes import FORKING

STREAM = "events"

PAUSE_SECONDS = 0.005


async def write(connection: Connection, url: str, name: str) -> None:
    """Persist events, one after the other, until told to end; what may not have been written is persisted again."""
    async with Journal.open(url) as journal:
        stream = journal.replicated_event_stream(STREAM, Written, replica_id=name)
        number = 0
        while not connection.poll():
            event = f"{name} {number}"
            try:
                await stream.persist(Written(event), event_id=event)
            except StorageError:  # the server is away
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            connection.send(event)
            number += 1
            await asyncio.sleep(PAUSE_SECONDS)
    connection.recv()  # what is left unread would cost what was sent


def main(connection: Connection, url: str, name: str) -> None:
    """Write, and end."""
    warnings.simplefilter("error")
    asyncio.run(write(connection, url, name))
    connection.close()


@contextmanager
def clerks(url: str, names: Sequence[str]) -> Iterator[list[Connection]]:
    """Processes that write to a journal; each says on its pipe what was acknowledged, until it is told to end."""
    FORKING.set_forkserver_preload(["tests.integration.journal_clerks"])
    processes: list[ForkServerProcess] = []
    pipes: list[Connection] = []
    try:
        for name in names:
            here, there = FORKING.Pipe()
            process = FORKING.Process(target=main, args=(there, url, name))
            process.start()
            there.close()
            processes.append(process)
            pipes.append(here)
        yield pipes
        for process in processes:
            process.join(SECONDS)
            assert process.exitcode == 0
    finally:
        for process, pipe in zip(processes, pipes, strict=True):
            process.kill()
            process.join()
            process.close()
            pipe.close()
