"""The journal beside raw SQLite: what durability costs by itself, and what is added to it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import raw_sqlite, waiting, workload
from benchmarks.ordering import PAYLOAD, RawFold
from benchmarks.setting import Setting
from benchmarks.table import BYTES, EVENTS_PER_SECOND, MILLISECONDS, Benchmark, Contender, Table, compare

CALLERS = 256
LIST_LENGTH = 1_000
LIVE_QUERIES = 10_000
STAGES = 2


def concurrent_persists(setting: Setting) -> Table:
    """Measure 256 callers with a stream each."""
    return _concurrent(setting, CALLERS, f"{CALLERS} concurrent callers, a stream each, one event a persist")


def concurrent_persists_to_one_stream(setting: Setting) -> Table:
    """Measure 256 callers of one stream."""
    return _concurrent(setting, 1, f"{CALLERS} concurrent callers, one stream, one event a persist")


def _concurrent(setting: Setting, streams: int, title: str) -> Table:
    count = setting.count(102_400, CALLERS)
    ready = raw_sqlite.rows(count, streams, PAYLOAD)

    def ours(folder: Path) -> float:
        return asyncio.run(workload.persist_concurrently(folder, callers=CALLERS, streams=streams, count=count))

    def raw(connect: raw_sqlite.Connect, folder: Path) -> float:
        return raw_sqlite.append_in_batches(connect, folder, ready, CALLERS)

    return compare(
        setting,
        title,
        EVENTS_PER_SECOND,
        [
            Contender("calliope: await persist(event)", setting.in_folder(ours)),
            _raw(setting, "sqlite3.executemany, batches of 256", partial(raw, raw_sqlite.stdlib), target=0.6),
            _raw(setting, "apsw.executemany, batches of 256", partial(raw, raw_sqlite.with_apsw)),
        ],
        f"{count:,} ready-made events a round. Raw: ready-made rows of the same columns into a table with a unique"
        " index over (stream, sequence number), one transaction a batch. All: WAL, synchronous=FULL.",
    )


def one_caller(setting: Setting) -> Table:
    """Measure one caller that awaits each event before the next."""
    seconds = setting.duration(1.0)
    ready = raw_sqlite.rows(setting.count(200_000, 100), 1, PAYLOAD)

    def ours(folder: Path) -> float:
        return asyncio.run(workload.persist_alone(folder, seconds=seconds))

    def raw(connect: raw_sqlite.Connect, folder: Path) -> float:
        return raw_sqlite.append_one_by_one(connect, folder, ready, seconds)

    return compare(
        setting,
        "One caller, one event a persist",
        EVENTS_PER_SECOND,
        [
            Contender("calliope: await persist(event)", setting.in_folder(ours)),
            _raw(setting, "sqlite3: BEGIN, INSERT, COMMIT", partial(raw, raw_sqlite.stdlib), target=0.6),
            _raw(setting, "apsw: BEGIN, INSERT, COMMIT", partial(raw, raw_sqlite.with_apsw)),
        ],
        "Each event is durable before the next begins, so a sync of the disk is in every figure. Ours hands each commit"
        " to another thread and back, which leaves the event loop free meanwhile; raw blocks its thread.",
    )


def lists(setting: Setting) -> Table:
    """Measure one caller that persists 1,000 events at a time."""
    count = setting.count(200_000, LIST_LENGTH)
    ready = raw_sqlite.rows(count, 1, PAYLOAD)

    def ours(folder: Path) -> float:
        return asyncio.run(workload.persist_lists(folder, count=count, length=LIST_LENGTH))

    def raw(connect: raw_sqlite.Connect, folder: Path) -> float:
        return raw_sqlite.append_in_batches(connect, folder, ready, LIST_LENGTH)

    return compare(
        setting,
        f"One caller, lists of {LIST_LENGTH:,} events",
        EVENTS_PER_SECOND,
        [
            Contender("calliope: await persist(events)", setting.in_folder(ours)),
            _raw(setting, f"sqlite3.executemany, batches of {LIST_LENGTH:,}", partial(raw, raw_sqlite.stdlib)),
            _raw(setting, f"apsw.executemany, batches of {LIST_LENGTH:,}", partial(raw, raw_sqlite.with_apsw)),
        ],
        "The event objects are ready-made. Encoding them, checking that they read back and their checksums are ours.",
    )


def replay(setting: Setting) -> Table:
    """Measure one stream of 100,000 dataclass events, read into a fold."""
    with _stored(setting) as (count, journal, raw):
        return compare(
            setting,
            f"Replay of one stream of {count:,} dataclass events into a fold",
            EVENTS_PER_SECOND,
            [
                Contender("calliope: query().run_fold(…)", _replaying(journal, workload.into_fold, count)),
                _raw_fetch(raw),
                Contender("raw fetchmany, msgspec decode, fold", lambda: _raw_fold(raw)),
            ],
            "Raw fetches rows through an ordinary index and makes nothing of them. Ours checks each record's checksum"
            " and place, makes a dataclass of it and calls a Python function. Opening is not measured. The events were"
            " written in lists, so that up to 256 of them stand in a row.",
        )


def replay_of_single_events(setting: Setting) -> Table:
    """Measure the same with a stream whose events were written one by one."""
    with _stored(setting, workload.fill_one_by_one) as (count, journal, raw):
        return compare(
            setting,
            f"Replay of {count:,} events that were written one by one into a fold",
            EVENTS_PER_SECOND,
            [
                Contender("calliope: query().run_fold(…)", _replaying(journal, workload.into_fold, count)),
                _raw_fetch(raw, target=None),
            ],
            "As above, but each event has a row of its own, as raw's have.",
        )


def replay_through_stages(setting: Setting) -> Table:
    """Measure the same through map and filter."""
    with _stored(setting) as (count, journal, raw):
        reading = _replaying(journal, workload.through_map_and_filter, count)
        return compare(
            setting,
            f"Replay of {count:,} events through map, filter and fold",
            EVENTS_PER_SECOND,
            [Contender("calliope: query().map(…).filter(…).run_fold(…)", reading), _raw_fetch(raw)],
            "As above, with two more Python functions an event.",
        )


def replay_of_records(setting: Setting) -> Table:
    """Measure a plain loop over recorded events."""
    with _stored(setting) as (count, journal, raw):
        reading = _replaying(journal, workload.record_by_record, count)
        return compare(
            setting,
            f"Replay of {count:,} records in a plain loop",
            EVENTS_PER_SECOND,
            [Contender("calliope: async for record in records()", reading), _raw_fetch(raw, target=None)],
            "Each event with its place and context, one `async for` step each.",
        )


def wake_up(setting: Setting) -> Table:
    """Measure how soon a live reader has what was persisted."""
    samples = setting.count(300, 3)
    return compare(
        setting,
        "From the return of persist to a waiting live reader",
        MILLISECONDS,
        [
            Contender(
                "calliope: same process",
                setting.in_folder(
                    lambda folder: asyncio.run(waiting.wake_up(folder, samples=samples, since_call=False))
                ),
                bound=1.0,
            )
        ],
        f"Median of {samples} events a round, one every {1000 * waiting.PAUSE_SECONDS:g} ms. Below zero: the reader"
        " had the event before the caller resumed.",
    )


def wake_up_across_processes(setting: Setting) -> Table:
    """Measure how soon a live reader has what another process persisted."""
    samples = setting.count(100, 3)
    return compare(
        setting,
        "From the return of persist to a live reader in another process",
        MILLISECONDS,
        [
            Contender(
                "calliope: two processes, one file",
                setting.in_folder(
                    lambda folder: asyncio.run(waiting.wake_up_across_processes(folder, samples=samples))
                ),
                bound=100.0,
            )
        ],
        f"Median of {samples} events a round.",
    )


def many_live_queries_of_one_stream(setting: Setting) -> Table:
    """Measure 10,000 live queries that wait for the same stream."""
    readers = setting.count(LIVE_QUERIES, 10)
    return _crowd(setting, readers, 1, f"One commit to all of {readers:,} live queries of its stream")


def many_live_queries_of_many_streams(setting: Setting) -> Table:
    """Measure 10,000 live queries of which one has to be woken."""
    readers = setting.count(LIVE_QUERIES, 10)
    return _crowd(setting, readers, readers, f"One commit to the one of {readers:,} live queries that waits for it")


def _crowd(setting: Setting, readers: int, streams: int, title: str) -> Table:
    samples = setting.count(20, 2)

    def measure(folder: Path) -> float:
        return asyncio.run(waiting.wake_up_crowd(folder, readers=readers, streams=streams, samples=samples))

    return compare(
        setting,
        title,
        MILLISECONDS,
        [Contender("calliope: persist to last receipt", setting.in_folder(measure))],
        f"Median of {samples} events a round, from the call of persist, so with its sync, until all have it.",
    )


def memory_of_live_queries(setting: Setting) -> Table:
    """Measure what a waiting live query takes."""
    readers = setting.count(LIVE_QUERIES, 100)

    def measure(folder: Path) -> float:
        return asyncio.run(waiting.memory_of_live_queries(folder, readers=readers))

    return compare(
        setting.once(),
        f"Memory of each of {readers:,} waiting live queries",
        BYTES,
        [Contender("calliope: live_query().run_for_each(…)", setting.in_folder(measure))],
        "By tracemalloc. Each waits for a stream of its own; its asyncio task and its handle's share are counted.",
    )


@contextmanager
def _stored(setting: Setting, fill: workload.Fill = workload.fill) -> Iterator[tuple[int, Path, Path]]:
    """Lend a journal and a raw file that hold the same stream, and say of how many events."""
    count = setting.count(100_000, 100)
    with setting.folder() as folder:
        asyncio.run(fill(folder / "journal.db", count))
        raw_sqlite.fill(folder / "raw.db", raw_sqlite.rows(count, 1, PAYLOAD))
        yield count, folder / "journal.db", folder / "raw.db"


def _replaying(path: Path, read: workload.Read, count: int) -> Callable[[], float]:
    return lambda: asyncio.run(workload.replay(path, read, count))


def _raw(setting: Setting, name: str, measure: Callable[[Path], float], target: float | None = None) -> Contender:
    return Contender(f"raw {name}", setting.in_folder(measure), target)


def _raw_fetch(path: Path, target: float | None = 0.4) -> Contender:
    return Contender("raw sqlite3.fetchmany of the rows", lambda: raw_sqlite.fetch(path, 1), target)


def _raw_fold(path: Path) -> float:
    return raw_sqlite.fetch(path, 1, RawFold().consume)


BENCHMARKS: tuple[Benchmark, ...] = (
    concurrent_persists,
    concurrent_persists_to_one_stream,
    one_caller,
    lists,
    replay,
    replay_of_single_events,
    replay_through_stages,
    replay_of_records,
    wake_up,
    wake_up_across_processes,
    many_live_queries_of_one_stream,
    many_live_queries_of_many_streams,
    memory_of_live_queries,
)
