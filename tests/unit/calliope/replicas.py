"""Several journals as replicas of one another, without a network: each is handed what another has and it lacks."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

from calliope import Journal
from calliope.stores.replica_store import ReplicaStore

TIME_MICROSECONDS = 1_700_000_000_000_000
LOG_PAGE_BYTES = 64 * 1024


def store_of(journal: Journal) -> ReplicaStore:
    store = journal._store
    assert isinstance(store, ReplicaStore)
    return store


async def send(origin: Journal, target: Journal) -> None:
    """Hand over everything that the target lacks."""
    await send_log(store_of(origin), store_of(target))


async def send_log(origin: ReplicaStore, target: ReplicaStore, bytes_max: int = LOG_PAGE_BYTES) -> int:
    """Hand over everything that the target lacks; return how many entries that were."""
    after = entry_count = 0
    while True:
        page = await origin.read_log(have=target.vector, after=after, bytes_max=bytes_max)
        await target.receive(page.entries)
        entry_count += len(page.entries)
        if page.complete:
            return entry_count
        after = page.through


async def exchange(*journals: Journal) -> None:
    """Let all journals hold the same."""
    for _ in range(2):
        for origin, target in zip(journals, [*journals[1:], journals[0]], strict=True):
            await send(origin, target)


@asynccontextmanager
async def opened_journals(kind: str, folder: Path, names: str) -> AsyncIterator[list[Journal]]:
    """Open journals whose common clock moves on by a microsecond whenever one of them looks at it."""
    ticks = count(TIME_MICROSECONDS)
    async with AsyncExitStack() as stack:
        urls = ["memory://" if kind == "memory" else folder / f"{name}.db" for name in names]
        yield [await stack.enter_async_context(Journal.open(url, clock=lambda: next(ticks))) for url in urls]
