"""The journal in PostgreSQL, beside the server by hand and another library, on a throw-away server."""

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks import raw_postgres, waiting, workload
from benchmarks.journal import CALLERS
from benchmarks.ordering import PAYLOAD
from benchmarks.peers import eventsourcing_postgres
from benchmarks.setting import Setting
from benchmarks.table import EVENTS_PER_SECOND, MILLISECONDS, Benchmark, Contender, Table, compare
from tests.postgres import new_schema, server, url_of_schema


def concurrent_persists(setting: Setting) -> Table:
    """Measure 256 callers with a stream each."""
    count, theirs = setting.count(51_200, CALLERS), setting.count(3_200, 16)
    ready = raw_postgres.batches(count, CALLERS, PAYLOAD, CALLERS)

    async def ours(url: str) -> float:
        return await workload.persist_concurrently(
            url_of_schema(url, new_schema()), callers=CALLERS, streams=CALLERS, count=count
        )

    with server() as url:
        return compare(
            setting,
            f"PostgreSQL: {CALLERS} concurrent callers, a stream each, one event a persist",
            EVENTS_PER_SECOND,
            [
                Contender("calliope: await persist(event)", _running(ours, url)),
                Contender(
                    f"asyncpg: INSERT … unnest, batches of {CALLERS}",
                    lambda: asyncio.run(raw_postgres.append(url, ready)),
                    target=0.4,
                ),
                Contender(
                    eventsourcing_postgres.NAME,
                    lambda: eventsourcing_postgres.append(url, PAYLOAD, theirs),
                    target=15,
                ),
            ],
            f"{count:,} events a round, of the other library {theirs:,}. Raw: ready-made rows of the same columns into"
            " a table with the same indexes, one transaction a batch. All: synchronous_commit on, one server.",
        )


def replay(setting: Setting) -> Table:
    """Measure one stream, written event by event, read into a fold."""
    count = setting.count(51_200, CALLERS)
    ready = raw_postgres.batches(count, 1, PAYLOAD, 1_024)

    with server() as url:
        journal = url_of_schema(url, new_schema())
        asyncio.run(workload.fill_one_by_one(journal, count))
        return compare(
            setting,
            f"PostgreSQL: replay of one stream of {count:,} events that were written one by one",
            EVENTS_PER_SECOND,
            [
                Contender(
                    "calliope: query().run_fold(…)",
                    lambda: asyncio.run(workload.replay(journal, workload.into_fold, count)),
                ),
                Contender("asyncpg: fetch in pages", lambda: asyncio.run(raw_postgres.fetch(url, ready))),
            ],
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
