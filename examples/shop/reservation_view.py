"""What Sales shows: reservations with their lines. The totals are added up by SQL, in cents."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from calliope import Journal, RecordedEvent
from calliope.domain import Projection
from calliope.domain.sql_transaction import SqlTransaction
from calliope.domain.sql_view import SqlView
from examples.shop.money import amount_of, cents_of
from examples.shop.reservation import (
    ProductReserved,
    ReservationCancelled,
    ReservationClosed,
    ReservationConfirmed,
    ReservationCreated,
)

TABLES = (
    """CREATE TABLE IF NOT EXISTS reservation (
        id TEXT PRIMARY KEY, customer TEXT NOT NULL, status TEXT NOT NULL, created INTEGER NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS reservation_line (
        reservation TEXT NOT NULL, number INTEGER NOT NULL,
        product TEXT NOT NULL, price INTEGER NOT NULL, quantity INTEGER NOT NULL,
        PRIMARY KEY (reservation, number)
    )""",
    "CREATE INDEX IF NOT EXISTS reservation_created ON reservation (created)",
)

SET_STATUS = "UPDATE reservation SET status = :status WHERE id = :id"


@dataclass(frozen=True)
class ReservationLine:
    product: str
    price: Decimal
    quantity: int


@dataclass(frozen=True)
class ReservationSummary:
    id: str
    customer: str
    status: str
    total: Decimal


@dataclass(frozen=True)
class ReservationDetails:
    id: str
    customer: str
    status: str
    total: Decimal
    lines: list[ReservationLine]


def reservation_projection(journal: Journal, view: SqlView) -> Projection[SqlTransaction]:
    """Return what keeps the tables up to date."""
    projection = Projection("reservations", journal, view)

    @projection.on(ReservationCreated)
    def created(record: RecordedEvent[ReservationCreated], rows: SqlTransaction) -> None:
        rows.write(
            "INSERT INTO reservation VALUES (:id, :customer, 'open', :created)",
            id=record.stream_id,
            customer=record.data.customer,
            created=record.position,
        )

    @projection.on(ProductReserved)
    def reserved(record: RecordedEvent[ProductReserved], rows: SqlTransaction) -> None:
        line = record.data.line
        rows.write(
            "INSERT INTO reservation_line VALUES (:id, :number, :product, :price, :quantity)",
            id=record.stream_id,
            number=record.sequence_number,
            product=line.product,
            price=cents_of(line.price),
            quantity=line.quantity,
        )

    @projection.on(ReservationConfirmed)
    def confirmed(record: RecordedEvent[ReservationConfirmed], rows: SqlTransaction) -> None:
        rows.write(SET_STATUS, id=record.stream_id, status="confirmed")

    @projection.on(ReservationClosed)
    def closed(record: RecordedEvent[ReservationClosed], rows: SqlTransaction) -> None:
        rows.write(SET_STATUS, id=record.stream_id, status="closed")

    @projection.on(ReservationCancelled)
    def cancelled(record: RecordedEvent[ReservationCancelled], rows: SqlTransaction) -> None:
        rows.write(SET_STATUS, id=record.stream_id, status="cancelled")

    return projection


_SUMMARY = """SELECT id, customer, status, COALESCE(SUM(price * quantity), 0) AS total
    FROM reservation LEFT JOIN reservation_line ON reservation = id"""


class Reservations:
    """Questions to the view."""

    def __init__(self, view: SqlView) -> None:
        self._view = view

    async def newest(self) -> list[ReservationSummary]:
        rows = await self._view.fetch(f"{_SUMMARY} GROUP BY id ORDER BY created DESC LIMIT 100")
        return [ReservationSummary(*_summary(row)) for row in rows]

    async def one(self, id: str) -> ReservationDetails | None:  # noqa: A002 - it is called so in the path
        rows = await self._view.fetch(f"{_SUMMARY} WHERE id = :id GROUP BY id", id=id)
        if not rows:
            return None
        lines = await self._view.fetch(
            "SELECT product, price, quantity FROM reservation_line WHERE reservation = :id ORDER BY number", id=id
        )
        return ReservationDetails(
            *_summary(rows[0]),
            [ReservationLine(line.product, amount_of(line.price), line.quantity) for line in lines],
        )


def _summary(row: Row[Any]) -> tuple[str, str, str, Decimal]:
    return row.id, row.customer, row.status, amount_of(row.total)
