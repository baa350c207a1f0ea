"""A projection into SQLite: rows and offset in one transaction, whatever happens in between."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import create_async_engine

from calliope import Backoff, Journal, RecordedEvent, event
from calliope.domain.projection import Projection
from calliope.domain.projection_errors import OffsetMovedError, ProjectionParkedError
from calliope.domain.projection_progress import ProjectionState
from calliope.domain.sql_transaction import SqlTransaction
from calliope.domain.sql_view import SqlView

pytestmark = pytest.mark.anyio

TABLE = "CREATE TABLE IF NOT EXISTS number (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, text TEXT)"


@event("projection-sql-test-counted")
@dataclass(frozen=True)
class Counted:
    n: int


@pytest.fixture
def anyio_backend():
    return "asyncio"  # SQLAlchemy's asynchronous side knows no other


@pytest.fixture
async def journal(tmp_path, anyio_backend):
    async with Journal.open(tmp_path / "journal.db") as journal:
        yield journal


@pytest.fixture
async def view(tmp_path, anyio_backend):
    async with SqlView(tmp_path / "view.db", TABLE, "CREATE INDEX IF NOT EXISTS by_n ON number (n)") as view:
        yield view


def counted(*numbers):
    return [Counted(number) for number in numbers]


def inserting(journal, view, fail_at=None, **settings):
    projection = Projection("numbers", journal, view, backoff=Backoff(0, 0), **settings)

    @projection.on(Counted)
    async def count(record: RecordedEvent[Counted], rows: SqlTransaction) -> None:
        await rows.execute("INSERT INTO number (n, text) VALUES (:n, :text)", n=record.data.n, text="as it was")
        if record.data.n == fail_at:
            raise RuntimeError("after the row was written")

    return projection


async def numbers(view):
    return [row.n for row in await view.fetch("SELECT n FROM number ORDER BY id")]


async def test_rows_are_there_when_the_position_is(journal, view):
    projection = inserting(journal, view)
    stream = journal.event_stream("a", Counted)
    await stream.persist(counted(1, 2))
    async with projection.running():
        reply = await stream.persist(Counted(3))
        await projection.wait_for(reply.position, timeout=10)

        assert await numbers(view) == [1, 2, 3]
    assert await view.offset("numbers") == 3


async def test_a_handler_that_fails_after_writing_leaves_no_row(journal, view):
    projection = inserting(journal, view, fail_at=3, attempts=3)
    await journal.event_stream("a", Counted).persist(counted(1, 2, 3, 4))

    with pytest.raises(ProjectionParkedError, match="after the row was written") as caught:
        await projection.catch_up()

    assert caught.value.position == 3
    assert await numbers(view) == [1, 2]
    assert await view.offset("numbers") == 2


async def test_a_parked_projection_goes_on_when_it_is_skipped(journal, view):
    projection = inserting(journal, view, fail_at=3, attempts=2)
    await journal.event_stream("a", Counted).persist(counted(1, 2, 3, 4))
    async with projection.running():
        with pytest.raises(ProjectionParkedError):
            await projection.wait_for(4, timeout=10)
        await projection.skip(3)
        await projection.wait_for(4, timeout=10)

    assert await numbers(view) == [1, 2, 4]


async def test_writes_are_sent_together_and_a_wrong_one_is_found_among_many(journal, view):
    projection = Projection("numbers", journal, view, attempts=2, backoff=Backoff(0, 0))

    @projection.on(Counted)
    def count(record: RecordedEvent[Counted], rows: SqlTransaction) -> None:
        rows.write("INSERT INTO number (id, n) VALUES (:id, :n)", id=record.data.n, n=record.data.n)

    await journal.event_stream("a", Counted).persist(counted(*range(100), 50, *range(100, 110)))

    with pytest.raises(ProjectionParkedError, match="UNIQUE") as caught:
        await projection.catch_up()

    assert caught.value.position == 101
    assert await numbers(view) == list(range(100))


async def test_what_was_written_is_seen_by_what_is_executed_later(journal, view):
    projection = Projection("numbers", journal, view)

    @projection.on(Counted)
    async def count(record: RecordedEvent[Counted], rows: SqlTransaction) -> None:
        total = (await rows.execute("SELECT coalesce(sum(n), 0) FROM number")).scalar_one()
        rows.write("INSERT INTO number (n, text) VALUES (:n, :total)", n=record.data.n, total=str(total))

    await journal.event_stream("a", Counted).persist(counted(1, 2, 3))
    await projection.catch_up()

    assert [row.text for row in await view.fetch("SELECT text FROM number ORDER BY id")] == ["0", "1", "3"]


async def test_tables_and_statements_of_sqlalchemy_do_as_well_as_text(journal, tmp_path):
    totals = Table("total", MetaData(), Column("name", String, primary_key=True), Column("n", Integer, index=True))
    add = update(totals).where(totals.c.name == "all").values(n=totals.c.n + bindparam("more"))
    async with SqlView(tmp_path / "totals.db", totals) as view:
        projection = Projection("totals", journal, view)

        @projection.on(Counted)
        async def count(record: RecordedEvent[Counted], rows: SqlTransaction) -> None:
            if record.position == 1:
                connection = await rows.connection()
                await connection.execute(insert(totals).values(name="all", n=0))
            rows.write(add, more=record.data.n)

        await journal.event_stream("a", Counted).persist(counted(1, 2, 3))
        await projection.catch_up()

        assert (await view.fetch(select(totals.c.n)))[0].n == 6


async def test_cancelling_in_the_middle_of_a_batch_leaves_the_last_commit(journal, view):
    reached = anyio.Event()
    projection = Projection("numbers", journal, view, batch=2)

    @projection.on(Counted)
    async def count(record: RecordedEvent[Counted], rows: SqlTransaction) -> None:
        await rows.execute("INSERT INTO number (n) VALUES (:n)", n=record.data.n)
        if record.data.n == 4:
            reached.set()
            await anyio.sleep_forever()

    await journal.event_stream("a", Counted).persist(counted(1, 2, 3, 4))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(projection.run)
        await reached.wait()
        tasks.cancel_scope.cancel()

    assert await numbers(view) == [1, 2]
    await inserting(journal, view).catch_up()
    assert await numbers(view) == [1, 2, 3, 4]


async def test_cancelling_at_any_moment_loses_and_repeats_nothing(journal, view):
    stream = journal.event_stream("a", Counted)
    await stream.persist(counted(*range(300)))
    for round_ in range(30):
        projection = inserting(journal, view, batch=7)
        with anyio.move_on_after(0.001 * (round_ % 7) + 0.002):
            await projection.run()
    await inserting(journal, view).catch_up()

    assert await numbers(view) == list(range(300))


async def test_two_that_run_the_same_projection_count_each_event_once(journal, view, tmp_path):
    stream = journal.event_stream("a", Counted)
    await stream.persist(counted(*range(100)))
    async with SqlView(tmp_path / "view.db", TABLE) as other_view:
        one, other = inserting(journal, view, batch=5), inserting(journal, other_view, batch=3)
        async with one.running(), other.running():
            reply = await stream.persist(counted(*range(100, 200)))
            await one.wait_for(reply.position, timeout=30)
            await other.wait_for(reply.position, timeout=30)

    assert await numbers(view) == list(range(200))


async def test_an_offset_that_somebody_else_moved_writes_nothing(view):
    async with view.transaction("numbers", 0) as batch:
        batch.reached = 5
    with pytest.raises(OffsetMovedError):
        async with view.transaction("numbers", 4):
            pytest.fail("entered")

    assert await view.offset("numbers") == 5


async def test_several_projections_fill_one_file(journal, tmp_path):
    other_table = "CREATE TABLE IF NOT EXISTS total (n INTEGER)"
    async with SqlView(tmp_path / "v.db", TABLE) as rows_view, SqlView(tmp_path / "v.db", other_table) as total_view:
        rows, totals = inserting(journal, rows_view), Projection("totals", journal, total_view)
        totals.on(Counted)(lambda record, view: view.write("INSERT INTO total VALUES (:n)", n=record.data.n))
        stream = journal.event_stream("a", Counted)
        async with rows.running(), totals.running():
            for number in range(20):
                reply = await stream.persist(Counted(number))
            await rows.wait_for(reply.position, timeout=10)
            await totals.wait_for(reply.position, timeout=10)

        assert await numbers(rows_view) == list(range(20))
        assert (await total_view.fetch("SELECT sum(n) AS n FROM total"))[0].n == sum(range(20))


async def test_a_rebuild_changes_one_projection_of_a_file_while_all_go_on(journal, tmp_path):
    other_table = "CREATE TABLE IF NOT EXISTS total (n INTEGER)"
    stream = journal.event_stream("a", Counted)
    await stream.persist(counted(*range(500)))
    async with SqlView(tmp_path / "v.db", TABLE) as view, SqlView(tmp_path / "v.db", other_table) as total_view:
        projection, totals = inserting(journal, view, batch=50), Projection("totals", journal, total_view)
        totals.on(Counted)(lambda record, rows: rows.write("INSERT INTO total VALUES (:n)", n=record.data.n))
        async with projection.running(), totals.running():
            await projection.wait_for(500, timeout=30)
            async with view.reading() as connection:
                await connection.exec_driver_sql("SELECT count(*) FROM number")  # a reader that holds the old view
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(projection.rebuild)
                    for number in range(500, 600):
                        reply = await stream.persist(Counted(number))
                        await projection.wait_for(reply.position, timeout=30)
                        assert (await view.fetch("SELECT max(n) AS n FROM number"))[0].n >= number
                old = (await connection.exec_driver_sql("SELECT count(*) FROM number")).scalar_one()
            reply = await stream.persist(Counted(600))
            await projection.wait_for(reply.position, timeout=30)
            await totals.wait_for(reply.position, timeout=30)

            assert old == 500
            assert await numbers(view) == list(range(601))
            assert (await total_view.fetch("SELECT sum(n) AS n FROM total"))[0].n == sum(range(601))
    assert [path.name for path in tmp_path.iterdir() if "rebuild" in path.name] == []


async def test_a_rebuild_brings_indexes_triggers_views_and_generated_columns(journal, tmp_path):
    definitions = (
        "CREATE TABLE IF NOT EXISTS number (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER, d INTEGER AS (n * 2))",
        "CREATE TABLE IF NOT EXISTS log (n INTEGER)",
        "CREATE INDEX IF NOT EXISTS by_n ON number (n)",
        "CREATE VIEW IF NOT EXISTS doubled AS SELECT d FROM number",
        "CREATE TRIGGER IF NOT EXISTS logged AFTER INSERT ON number BEGIN INSERT INTO log VALUES (new.n); END",
    )
    stream = journal.event_stream("a", Counted)
    await stream.persist(counted(1, 2, 3))
    async with SqlView(tmp_path / "v.db", *definitions) as view:
        projection = Projection("numbers", journal, view)
        projection.on(Counted)(lambda record, rows: rows.write("INSERT INTO number (n) VALUES (:n)", n=record.data.n))
        await projection.catch_up()
        await projection.rebuild()
        await stream.persist(Counted(4))
        await projection.catch_up()

        assert [row.d for row in await view.fetch("SELECT d FROM doubled")] == [2, 4, 6, 8]
        assert [row.n for row in await view.fetch("SELECT n FROM log")] == [1, 2, 3, 4]
    with closing(sqlite3.connect(tmp_path / "v.db")) as connection:
        kinds = connection.execute("SELECT type FROM sqlite_master WHERE name IN ('by_n', 'logged', 'doubled')")
        assert sorted(kind for (kind,) in kinds) == ["index", "trigger", "view"]


async def test_a_rebuild_mends_a_parked_projection(journal, view):
    await journal.event_stream("a", Counted).persist(counted(1, 2, 3))
    broken = inserting(journal, view, fail_at=2, attempts=1)
    with pytest.raises(ProjectionParkedError):
        await broken.catch_up()
    with pytest.raises(ProjectionParkedError):
        await broken.rebuild()
    assert await numbers(view) == [1]

    mended = inserting(journal, view)
    await mended.rebuild()

    assert await numbers(view) == [1, 2, 3]
    assert (await mended.status()).lag == 0


async def test_a_rebuild_that_was_killed_is_begun_anew(journal, view, tmp_path):
    async with view.rebuilding("numbers") as beside:
        left = [(beside.path, b"half a rebuild"), (Path(f"{beside.path}-wal"), b"and its log")]
    for path, content in left:
        path.write_bytes(content)
    await journal.event_stream("a", Counted).persist(counted(1, 2))
    projection = inserting(journal, view)
    await projection.rebuild()

    assert await numbers(view) == [1, 2]


async def test_a_view_that_was_deleted_is_filled_again_by_the_same_projection(journal, tmp_path):
    reply = await journal.event_stream("a", Counted).persist(counted(1, 2))
    view = SqlView(tmp_path / "v.db", TABLE)
    projection = inserting(journal, view)
    for _ in range(2):
        async with view, projection.running():
            await projection.wait_for(reply.position, timeout=10)
            assert await numbers(view) == [1, 2]
        for path in tmp_path.glob("v.db*"):
            path.unlink()


async def test_a_rebuild_that_is_cancelled_leaves_the_old_view_and_nothing_else(journal, view, tmp_path):
    await journal.event_stream("a", Counted).persist(counted(*range(200)))
    projection = inserting(journal, view, batch=3)
    await projection.catch_up()
    with anyio.move_on_after(0.05) as scope:
        await projection.rebuild()

    assert await numbers(view) == list(range(200))
    assert scope.cancelled_caught
    assert [path.name for path in tmp_path.iterdir() if "rebuild" in path.name] == []


async def test_an_engine_of_ones_own_does_as_well_and_stays_open(journal, tmp_path):
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'own.db'}")
    try:
        async with SqlView(engine, TABLE) as view:
            await journal.event_stream("a", Counted).persist(counted(1, 2))
            projection = inserting(journal, view)
            await projection.catch_up()
            assert await numbers(view) == [1, 2]
            with pytest.raises(TypeError, match="in a file of SQLite"):
                await projection.rebuild()
        async with engine.connect() as connection:
            assert (await connection.exec_driver_sql("SELECT count(*) FROM number")).scalar_one() == 2
    finally:
        await engine.dispose()


async def test_a_view_that_is_not_open_says_so(tmp_path):
    with pytest.raises(RuntimeError, match="async with"):
        await SqlView(tmp_path / "v.db").offset("numbers")


@pytest.mark.parametrize("database", ["", ":memory:", "postgresql://host/database"])
def test_what_is_no_file_is_refused(database):
    with pytest.raises(ValueError, match="is no path of a file of SQLite"):
        SqlView(database)


def test_what_is_no_definition_is_refused(tmp_path):
    with pytest.raises(TypeError, match="a definition must be a Table or SQL"):
        SqlView(tmp_path / "v.db", 7)


async def test_a_projection_that_waits_is_idle(journal, view):
    projection = inserting(journal, view)
    reply = await journal.event_stream("a", Counted).persist(Counted(1))
    async with projection.running():
        await projection.wait_for(reply.position, timeout=10)
        await anyio.wait_all_tasks_blocked()
        status = await projection.status()

    assert (status.state, status.lag) == (ProjectionState.IDLE, 0)
