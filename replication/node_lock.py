"""A node holds its journal alone: two would write to one log under two minds.

A file is held by a lock of the operating system, a journal on a server by a lease that the server gives.
"""

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from anyio import sleep_forever

from calliope import JournalBusyError
from calliope.stores.protocol import EventStore
from calliope.stores.replica_store import SharedReplicaStore

try:
    import fcntl
except ImportError:  # Windows has no such locks; there the user sees to it
    fcntl = None  # type: ignore[assignment]


@contextmanager
def held(journal: Path | None) -> Iterator[None]:
    """Hold a journal file for this node; the operating system lets it go when the process ends, however it ends.

    Other processes may still read the journal, and write plain events to it.

    Args:
        journal: the file; None: the journal is in none.

    Raises:
        JournalBusyError: another node holds it.
    """
    if journal is None or fcntl is None:
        yield
        return
    real = Path(os.path.realpath(journal))  # under whatever name it was given
    path = real.with_name(f"{real.name}-node")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise JournalBusyError(f"another node runs on {journal}: it holds {path}") from None
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def held_by_server(store: EventStore) -> AsyncIterator[Callable[[], Coroutine[Any, Any, None]]]:
    """Hold a journal on a server for this node; the block is given what raises when it was lost to another node.

    Args:
        store: the journal's store; if it is on no server, nothing is held, and nothing is lost.

    Raises:
        JournalBusyError: another node holds it.
    """
    if isinstance(store, SharedReplicaStore):
        async with store.held() as watch:
            yield watch
    else:
        yield sleep_forever
