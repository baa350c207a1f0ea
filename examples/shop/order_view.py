"""What Headquarters shows: orders, and how they ended."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from calliope import Journal, RecordedEvent
from calliope.domain import Projection
from calliope.domain.sql_transaction import SqlTransaction
from calliope.domain.sql_view import SqlView
from examples.shop.money import amount_of, cents_of
from examples.shop.order import CancellationRequested, OrderCancelled, OrderCompleted, OrderPaid, OrderPlaced

TABLES = (
    """CREATE TABLE IF NOT EXISTS "order" (
        id TEXT PRIMARY KEY, customer TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
        total INTEGER NOT NULL, created INTEGER NOT NULL
    )""",
    'CREATE INDEX IF NOT EXISTS order_created ON "order" (created)',
)

SET_STATUS = 'UPDATE "order" SET status = :status, reason = :reason WHERE id = :id'


@dataclass(frozen=True)
class OrderDetails:
    id: str
    customer: str
    status: str
    reason: str
    total: Decimal


def order_projection(journal: Journal, view: SqlView) -> Projection[SqlTransaction]:
    """Return what keeps the table up to date."""
    projection = Projection("orders", journal, view)

    @projection.on(OrderPlaced)
    def placed(record: RecordedEvent[OrderPlaced], rows: SqlTransaction) -> None:
        rows.write(
            """INSERT INTO "order" VALUES (:id, :customer, 'placed', '', :total, :created)""",
            id=record.stream_id,
            customer=record.data.customer,
            total=cents_of(record.data.total),
            created=record.position,
        )

    @projection.on(CancellationRequested)
    def cancelling(record: RecordedEvent[CancellationRequested], rows: SqlTransaction) -> None:
        rows.write(SET_STATUS, id=record.stream_id, status="being cancelled", reason=record.data.reason)

    @projection.on(OrderPaid)
    def paid(record: RecordedEvent[OrderPaid], rows: SqlTransaction) -> None:
        rows.write(SET_STATUS, id=record.stream_id, status="paid", reason="")

    @projection.on(OrderCancelled)
    def cancelled(record: RecordedEvent[OrderCancelled], rows: SqlTransaction) -> None:
        rows.write(SET_STATUS, id=record.stream_id, status="cancelled", reason=record.data.reason)

    @projection.on(OrderCompleted)
    def completed(record: RecordedEvent[OrderCompleted], rows: SqlTransaction) -> None:
        rows.write(SET_STATUS, id=record.stream_id, status="completed", reason="")

    return projection


class Orders:
    """Questions to the view."""

    def __init__(self, view: SqlView) -> None:
        self._view = view

    async def newest(self) -> list[OrderDetails]:
        return list(map(_details, await self._view.fetch('SELECT * FROM "order" ORDER BY created DESC LIMIT 100')))

    async def one(self, id: str) -> OrderDetails | None:  # noqa: A002 - it is called so in the path
        rows = await self._view.fetch('SELECT * FROM "order" WHERE id = :id', id=id)
        return _details(rows[0]) if rows else None


def _details(row: Row[Any]) -> OrderDetails:
    return OrderDetails(row.id, row.customer, row.status, row.reason, amount_of(row.total))
