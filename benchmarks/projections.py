"""Projections into SQLite beside `executemany` by hand: what it costs to read, dispatch and keep an offset."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks import workload
from benchmarks.ordering import ItemAdded
from benchmarks.setting import Setting
from benchmarks.table import EVENTS_PER_SECOND, Benchmark, Contender, Table, compare
from calliope import Journal, RecordedEvent
from calliope.domain.projection import BATCH_RECORDS, Projection
from calliope.domain.projection_target import InMemory
from calliope.domain.sql_transaction import SqlTransaction
from calliope.domain.sql_view import SqlView

CREATE = "CREATE TABLE IF NOT EXISTS item (position INTEGER PRIMARY KEY, sku TEXT NOT NULL, quantity INTEGER NOT NULL)"
INSERT = "INSERT INTO item VALUES (:position, :sku, :quantity)"


def into_sqlite(setting: Setting) -> Table:
    """Measure a row an event, from a journal into a table."""
    with _stored(setting) as (count, journal):
        return compare(
            setting,
            f"A projection of {count:,} events into a table of SQLite, a row an event",
            EVENTS_PER_SECOND,
            [
                Contender("calliope: rows.write(…)", _projecting(setting, journal, count, _writing)),
                Contender("calliope: await rows.execute(…)", _projecting(setting, journal, count, _executing)),
                Contender("calliope: into a list in memory", lambda: asyncio.run(_into_memory(journal, count))),
                Contender("raw sqlite3.executemany", setting.in_folder(lambda folder: _raw(folder, count))),
            ],
            "Ours reads the journal, makes a dataclass of each record, calls its handler, and keeps the offset in the"
            f" transaction of up to {BATCH_RECORDS} events. Raw writes ready-made rows, as many a transaction. Both:"
            " WAL, synchronous=NORMAL. Opening is not measured.",
        )


Register = Callable[[Projection[SqlTransaction]], object]


def _writing(projection: Projection[SqlTransaction]) -> None:
    @projection.on(ItemAdded)
    def added(record: RecordedEvent[ItemAdded], rows: SqlTransaction) -> None:
        rows.write(INSERT, position=record.position, sku=record.data.sku, quantity=record.data.quantity)


def _executing(projection: Projection[SqlTransaction]) -> None:
    @projection.on(ItemAdded)
    async def added(record: RecordedEvent[ItemAdded], rows: SqlTransaction) -> None:
        await rows.execute(INSERT, position=record.position, sku=record.data.sku, quantity=record.data.quantity)


def _projecting(setting: Setting, journal: Path, count: int, register: Register) -> Callable[[], float]:
    return setting.in_folder(lambda folder: asyncio.run(_project(journal, folder, count, register)))


async def _project(path: Path, folder: Path, count: int, register: Register) -> float:
    async with Journal.open(path) as journal, SqlView(folder / "view.db", CREATE) as view:
        projection = Projection("items", journal, view)
        register(projection)
        began = time.perf_counter()
        await projection.catch_up()
        elapsed = time.perf_counter() - began
        rows = await view.fetch("SELECT count(*) AS n FROM item")
    _check(rows[0].n, count)
    return count / elapsed


async def _into_memory(path: Path, count: int) -> float:
    async with Journal.open(path) as journal:
        target = InMemory[list[str]](list)
        projection = Projection("items", journal, target)
        projection.on(ItemAdded)(lambda record, skus: skus.append(record.data.sku))
        began = time.perf_counter()
        await projection.catch_up()
        elapsed = time.perf_counter() - began
    _check(len(target.view), count)
    return count / elapsed


def _raw(folder: Path, count: int) -> float:
    rows = [{"position": number, "sku": f"sku-{number % 1000}", "quantity": 1} for number in range(count)]
    with closing(sqlite3.connect(folder / "raw.db", isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", CREATE):
            connection.execute(statement)
        began = time.perf_counter()
        for start in range(0, count, BATCH_RECORDS):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, rows[start : start + BATCH_RECORDS])
            connection.execute("COMMIT")
        return count / (time.perf_counter() - began)


@contextmanager
def _stored(setting: Setting) -> Iterator[tuple[int, Path]]:
    """Lend a journal that holds a stream, and say of how many events."""
    count = setting.count(50_000, 100)
    with setting.folder() as folder:
        asyncio.run(workload.fill(folder / "journal.db", count))
        yield count, folder / "journal.db"


def _check(found: int, expected: int) -> None:
    if found != expected:
        raise RuntimeError(f"the view has {found} rows, not {expected}")


BENCHMARKS: tuple[Benchmark, ...] = (into_sqlite,)
