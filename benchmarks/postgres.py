"""The journal in PostgreSQL, beside the server by hand and another library, on a throw-away server."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from types import ModuleType

from benchmarks import waiting, workload
from benchmarks.journal import CALLERS
from benchmarks.ordering import PAYLOAD
from benchmarks.setting import Setting
from benchmarks.table import EVENTS_PER_SECOND, MILLISECONDS, Benchmark, Contender, Table, compare
from tests.postgres import new_schema, server, url_of_schema

try:  # what is not installed is left out of the tables
    from benchmarks import raw_postgres as installed_raw
except ImportError:
    installed_raw = None  # type: ignore[assignment]
try:
    from benchmarks.peers import eventsourcing_postgres as installed_peer
except ImportError:
    installed_peer = None  # type: ignore[assignment]

RAW: ModuleType | None = installed_raw
PEER: ModuleType | None = installed_peer


def concurrent_persists(setting: Setting) -> Table:
    """Measure 256 callers with a stream each."""
    count, theirs = setting.count(51_200, CALLERS), setting.count(3_200, 16)

    async def ours(url: str) -> float:
        return await workload.persist_concurrently(
            url_of_schema(url, new_schema()), callers=CALLERS, streams=CALLERS, count=count
        )

    with server() as url:
        contenders = [Contender("calliope: await persist(event)", _running(ours, url))]
        if RAW is not None:
            ready = RAW.batches(count, CALLERS, PAYLOAD, CALLERS)
            insert = partial(RAW.append, ready=ready)
            name = f"asyncpg: INSERT … unnest, batches of {CALLERS}"
            contenders.append(Contender(name, _running(insert, url), target=0.4))
        if PEER is not None:
            save = partial(PEER.append, url, PAYLOAD, theirs)
            contenders.append(Contender(PEER.NAME, save, target=15))
        return compare(
            setting,
            f"PostgreSQL: {CALLERS} concurrent callers, a stream each, one event a persist",
            EVENTS_PER_SECOND,
            contenders,
            f"{count:,} events a round, of the other library {theirs:,}. Raw: ready-made rows of the same columns into"
            " a table with the same indexes, one transaction a batch. All: synchronous_commit on, one server.",
        )


def replay(setting: Setting) -> Table:
    """Measure one stream, written event by event, read into a fold."""
    count = setting.count(51_200, CALLERS)

    with server() as url:
        journal = url_of_schema(url, new_schema())
        asyncio.run(workload.fill_one_by_one(journal, count))

        async def ours(url: str) -> float:
            return await workload.replay(url, workload.into_fold, count)

        contenders = [Contender("calliope: query().run_fold(…)", _running(ours, journal))]
        if RAW is not None:
            fetch = partial(RAW.fetch, ready=RAW.batches(count, 1, PAYLOAD, 1_024))
            contenders.append(Contender("asyncpg: fetch in pages", _running(fetch, url)))
        return compare(
            setting,
            f"PostgreSQL: replay of one stream of {count:,} events that were written one by one",
            EVENTS_PER_SECOND,
            contenders,
            "Raw fetches pages of 1,024 rows and makes nothing of them.",
        )


def wake_up(setting: Setting) -> Table:
    """Measure how soon a live reader in another process has an event."""
    samples = setting.count(200, 3)

    async def ours(url: str) -> float:
        return await waiting.wake_up_across_processes(url_of_schema(url, new_schema()), samples=samples)

    with server() as url:
        return compare(
            setting,
            "PostgreSQL: from the return of persist to a live reader in another process",
            MILLISECONDS,
            [Contender("calliope: persist, live_query", _running(ours, url), bound=2.0)],
            "It takes a notification, a read of the journal and the way to the event loop.",
        )


def _running(measure: Callable[[str], Awaitable[float]], url: str) -> Callable[[], float]:
    async def run() -> float:
        return await measure(url)

    return lambda: asyncio.run(run())


BENCHMARKS: tuple[Benchmark, ...] = (concurrent_persists, replay, wake_up)
