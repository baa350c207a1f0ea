"""What Shipping shows: what is to be delivered to whom, and whether it was."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from calliope import Journal, RecordedEvent
from calliope.domain import Projection
from calliope.domain.sql_transaction import SqlTransaction
from calliope.domain.sql_view import SqlView
from examples.shop.shipment import ShipmentCreated, ShipmentDelivered

TABLES = (
    """CREATE TABLE IF NOT EXISTS shipment (
        id TEXT PRIMARY KEY, customer TEXT NOT NULL, status TEXT NOT NULL, pieces INTEGER NOT NULL,
        created INTEGER NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS shipment_created ON shipment (created)",
)


@dataclass(frozen=True)
class ShipmentDetails:
    id: str
    customer: str
    status: str
    pieces: int


def shipment_projection(journal: Journal, view: SqlView) -> Projection[SqlTransaction]:
    """Return what keeps the table up to date."""
    projection = Projection("shipments", journal, view)

    @projection.on(ShipmentCreated)
    def created(record: RecordedEvent[ShipmentCreated], rows: SqlTransaction) -> None:
        rows.write(
            "INSERT INTO shipment VALUES (:id, :customer, 'created', :pieces, :created)",
            id=record.stream_id,
            customer=record.data.customer,
            pieces=sum(line.quantity for line in record.data.lines),
            created=record.position,
        )

    @projection.on(ShipmentDelivered)
    def delivered(record: RecordedEvent[ShipmentDelivered], rows: SqlTransaction) -> None:
        rows.write("UPDATE shipment SET status = 'delivered' WHERE id = :id", id=record.stream_id)

    return projection


class Shipments:
    """Questions to the view."""

    def __init__(self, view: SqlView) -> None:
        self._view = view

    async def newest(self) -> list[ShipmentDetails]:
        rows = await self._view.fetch("SELECT * FROM shipment ORDER BY created DESC LIMIT 100")
        return list(map(_details, rows))

    async def one(self, id: str) -> ShipmentDetails | None:  # noqa: A002 - it is called so in the path
        rows = await self._view.fetch("SELECT * FROM shipment WHERE id = :id", id=id)
        return _details(rows[0]) if rows else None


def _details(row: Row[Any]) -> ShipmentDetails:
    return ShipmentDetails(row.id, row.customer, row.status, row.pieces)
