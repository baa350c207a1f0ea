"""The journal in NATS JetStream, beside nats-py by hand, on a throw-away server."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from benchmarks import raw_nats, waiting, workload
from benchmarks.journal import CALLERS
from benchmarks.ordering import PAYLOAD
from benchmarks.setting import Setting
from benchmarks.table import EVENTS_PER_SECOND, MILLISECONDS, Benchmark, Contender, Table, compare
from tests.nats import new_journal, server, url_of_journal

_RAW_READS = "Raw makes nothing of the messages; its pages have 1,024 and need no acknowledgement."
_DISK = "The server answers when a message is written, and syncs its files every two minutes: for ours and theirs."


def concurrent_persists(setting: Setting) -> Table:
    """Measure 256 callers with a stream each."""
    count = setting.count(51_200, CALLERS)

    async def ours(url: str) -> float:
        return await workload.persist_concurrently(_journal(url), callers=CALLERS, streams=CALLERS, count=count)

    with server() as url:
        together = partial(raw_nats.publish_together, payload=PAYLOAD, count=count, callers=CALLERS)
        pipelined = partial(raw_nats.publish_async, payload=PAYLOAD, count=count, window=CALLERS, streams=CALLERS)
        return compare(
            setting,
            f"NATS JetStream: {CALLERS} concurrent callers, a stream each, one event a persist",
            EVENTS_PER_SECOND,
            [
                Contender("calliope: await persist(event)", _running(ours, url)),
                Contender(f"nats-py: await publish, {CALLERS} callers", _running(together, url), target=0.5),
                Contender(f"nats-py: publish_async, {CALLERS} pending", _running(pipelined, url), target=0.5),
            ],
            f"{count:,} events a round. Raw: a ready-made payload a message, a subject a stream, no headers. {_DISK}",
        )


def one_caller(setting: Setting) -> Table:
    """Measure one caller that awaits each event."""
    seconds = setting.duration(2.0)

    async def ours(url: str) -> float:
        return await workload.persist_alone(_journal(url), seconds=seconds)

    with server() as url:
        alone = partial(raw_nats.publish_alone, payload=PAYLOAD, seconds=seconds)
        return compare(
            setting,
            "NATS JetStream: one caller that awaits each event before the next",
            EVENTS_PER_SECOND,
            [
                Contender("calliope: await persist(event)", _running(ours, url)),
                Contender("nats-py: await publish", _running(alone, url)),
            ],
            _DISK,
        )


def replay(setting: Setting) -> Table:
    """Measure one stream, written by many at once, read into a fold."""
    count = setting.count(25_600, CALLERS)

    with server() as url:
        journal = _journal(url)
        asyncio.run(workload.fill_one_by_one(journal, count))

        async def ours(_: str) -> float:
            return await workload.replay(journal, workload.into_fold, count)

        return compare(
            setting,
            f"NATS JetStream: replay of one stream of {count:,} events that {CALLERS} callers wrote one by one",
            EVENTS_PER_SECOND,
            [Contender("calliope: query().run_fold(…)", _running(ours, url)), *_raw_reads(url, count, 1)],
            f"Ours has put events that came at the same time for one stream into one message. {_RAW_READS}",
        )


def replay_all(setting: Setting) -> Table:
    """Measure a journal of many streams, an event a message, read in its order into a fold."""
    count = setting.count(25_600, CALLERS)

    with server() as url:
        journal = _journal(url)
        asyncio.run(workload.persist_concurrently(journal, callers=CALLERS, streams=CALLERS, count=count))

        async def ours(_: str) -> float:
            return await workload.replay_all(journal, count)

        return compare(
            setting,
            f"NATS JetStream: replay of all {count:,} events of {CALLERS} streams, each written by itself",
            EVENTS_PER_SECOND,
            [Contender("calliope: records().run_fold(…)", _running(ours, url)), *_raw_reads(url, count, CALLERS)],
            f"Here every event is a message of its own, ours too. {_RAW_READS}",
        )


def _raw_reads(url: str, count: int, streams: int) -> list[Contender]:
    in_order = partial(raw_nats.consume_in_order, payload=PAYLOAD, count=count, streams=streams)
    fetched = partial(raw_nats.fetch, payload=PAYLOAD, count=count, streams=streams)
    return [
        Contender("nats-py: ordered consumer", _running(in_order, url)),
        Contender("nats-py: fetch in pages", _running(fetched, url)),
    ]


def wake_up(setting: Setting) -> Table:
    """Measure how soon a live reader in the same process has an event."""
    samples = setting.count(200, 3)

    async def ours(url: str) -> float:
        return await waiting.wake_up(_journal(url), samples=samples, since_call=True)

    with server() as url:
        return compare(
            setting,
            "NATS JetStream: from the call of persist to a live reader in the same process",
            MILLISECONDS,
            [Contender("calliope: persist, live_query", _running(ours, url), bound=2.0)],
            "It takes the way to the server and back.",
        )


def wake_up_across(setting: Setting) -> Table:
    """Measure how soon a live reader in another process has an event."""
    samples = setting.count(200, 3)

    async def ours(url: str) -> float:
        return await waiting.wake_up_across_processes(_journal(url), samples=samples)

    with server() as url:
        return compare(
            setting,
            "NATS JetStream: from the return of persist to a live reader in another process",
            MILLISECONDS,
            [Contender("calliope: persist, live_query", _running(ours, url), bound=2.0)],
            "The server sends the message to both; below zero the reader had it before the writer went on.",
        )


def _journal(url: str) -> str:
    return url_of_journal(url, new_journal())


def _running(measure: Callable[[str], Awaitable[float]], url: str) -> Callable[[], float]:
    async def run() -> float:
        return await measure(url)

    return lambda: asyncio.run(run())


BENCHMARKS: tuple[Benchmark, ...] = (
    concurrent_persists,
    one_caller,
    replay,
    replay_all,
    wake_up,
    wake_up_across,
)
