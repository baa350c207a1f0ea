"""Whatever happens to projections, their views equal a fold of the journal."""

import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import anyio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calliope import Backoff, Journal, RecordedEvent, event
from calliope.domain.projection import Projection
from calliope.domain.projection_offsets import JournalOffsets
from calliope.domain.projection_target import AtLeastOnce
from calliope.domain.sql_transaction import SqlTransaction
from calliope.domain.sql_view import SqlView

TABLE = "CREATE TABLE IF NOT EXISTS account (id TEXT PRIMARY KEY, balance INTEGER NOT NULL)"
ADD = "INSERT INTO account VALUES (:id, :n) ON CONFLICT (id) DO UPDATE SET balance = balance + :n"


@event("projection-model-added")
@dataclass(frozen=True)
class Added:
    n: int


@event("projection-model-other")
@dataclass(frozen=True)
class Other:
    pass


small = st.integers(1, 12)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), small),
        st.tuples(st.just("ignore"), small),
        st.tuples(st.just("run"), small),
        st.tuples(st.just("crash"), small),
        st.tuples(st.just("fail"), small),
        st.tuples(st.just("live"), small),
        st.tuples(st.just("rebuild"), small),
    ),
    max_size=10,
)


class Accounts:
    """Two projections of one journal: balances into SQLite, positions into a list, both with what may befall them."""

    def __init__(self, journal: Journal, view: SqlView, batch: int) -> None:
        self.journal = journal
        self.view = view
        self.batch = batch
        self.handled: list[int] = []
        self.written = count()

    def sql(self, scope: anyio.CancelScope | None = None, at: int = 0, fails: int = 0) -> Projection[SqlTransaction]:
        """Return the projection of balances; in the given call it is cancelled, or fails a few times."""
        projection = Projection("balances", self.journal, self.view, batch=self.batch, backoff=Backoff(0, 0))
        calls, failures = count(1), count()

        @projection.on(Added)
        async def added(record: RecordedEvent[Added], rows: SqlTransaction) -> None:
            if record.position % 2:
                await rows.execute(ADD, id=record.stream_id, n=record.data.n)
            else:
                rows.write(ADD, id=record.stream_id, n=record.data.n)
            if next(calls) >= at > 0 and scope is not None:
                scope.cancel()
                await anyio.lowlevel.checkpoint()
            if at and scope is None and record.position % 3 == 0 and next(failures) < fails:
                raise RuntimeError("not now")

        return projection

    def plain(self) -> Projection[list[int]]:
        """Return the projection of positions."""
        target = AtLeastOnce(self.handled, JournalOffsets(self.journal))
        projection = Projection("positions", self.journal, target, batch=self.batch)
        projection.on(Added)(lambda record, handled: handled.append(record.position))
        return projection

    async def write(self, length: int) -> int:
        """Persist events of three accounts."""
        for _ in range(length):
            n = next(self.written)
            reply = await self.journal.event_stream(f"account-{n % 3}", Added).persist(Added(n + 1))
        return reply.position

    async def step(self, what: str, n: int) -> None:
        """Let something happen."""
        match what:
            case "write":
                await self.write(n)
            case "ignore":
                await self.journal.event_stream("other", Other).persist([Other()] * n)
            case "run":
                await self.sql().catch_up()
                await self.plain().catch_up()
            case "crash":
                with anyio.CancelScope() as scope:
                    await self.sql(scope, at=n).catch_up()
            case "fail":
                await self.sql(at=1, fails=n % 4).catch_up()
            case "live":
                sql, plain = self.sql(), self.plain()
                async with sql.running(), plain.running():
                    position = await self.write(n)
                    await sql.wait_for(position, timeout=20)
                    await plain.wait_for(position, timeout=20)
            case "rebuild":
                async with self.view.reading() as connection:
                    await connection.exec_driver_sql("UPDATE account SET balance = balance + 1000")  # to be mended
                projection = self.sql()
                async with projection.running(), anyio.create_task_group() as tasks:
                    tasks.start_soon(projection.rebuild)
                    await self.write(n)

    async def check(self) -> None:
        """Compare the views with a fold of the journal."""
        await self.step("run", 1)
        records = await self.journal.records(types=Added, event_type=Added).run_collect()
        balances = Counter()
        for record in records:
            balances[record.stream_id] += record.data.n
        rows = await self.view.fetch("SELECT id, balance FROM account")
        assert {row.id: row.balance for row in rows} == balances
        assert self.handled == [record.position for record in records]


@settings(max_examples=25, deadline=None)
@given(steps, st.integers(1, 6))
@example([("write", 12), ("run", 1), ("crash", 5), ("live", 6), ("rebuild", 4), ("fail", 3), ("write", 9)], 5)
@example([("write", 7), ("fail", 2), ("ignore", 3), ("crash", 2), ("rebuild", 12), ("live", 12)], 3)
def test_views_equal_a_fold_of_the_journal_whatever_happened(story, batch):
    async def tell():
        with tempfile.TemporaryDirectory() as folder:
            async with Journal.open("memory://") as journal, SqlView(Path(folder) / "view.db", TABLE) as view:
                accounts = Accounts(journal, view, batch)
                for what, n in story:
                    await accounts.step(what, n)
                await accounts.check()

    asyncio.run(tell())
