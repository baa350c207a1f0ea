"""What Invoicing shows: invoices, until when they are to be paid, and what was received and given back."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from calliope import Journal, RecordedEvent
from calliope.domain import Projection
from calliope.domain.sql_transaction import SqlTransaction
from calliope.domain.sql_view import SqlView
from examples.shop.invoice import (
    InvoiceCancelled,
    InvoiceCreated,
    InvoicePaid,
    LatePaymentReceived,
    PaymentRefunded,
)
from examples.shop.money import amount_of, cents_of

TABLES = (
    """CREATE TABLE IF NOT EXISTS invoice (
        id TEXT PRIMARY KEY, customer TEXT NOT NULL, status TEXT NOT NULL, pay_until TEXT NOT NULL,
        amount INTEGER NOT NULL, received INTEGER NOT NULL, refunded INTEGER NOT NULL, created INTEGER NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS invoice_created ON invoice (created)",
)

RECEIVE = "UPDATE invoice SET received = received + :amount WHERE id = :id"
REFUND = "UPDATE invoice SET refunded = refunded + :amount WHERE id = :id"


@dataclass(frozen=True)
class InvoiceDetails:
    id: str
    customer: str
    status: str
    pay_until: str
    amount: Decimal
    received: Decimal
    refunded: Decimal


def invoice_projection(journal: Journal, view: SqlView) -> Projection[SqlTransaction]:
    """Return what keeps the table up to date."""
    projection = Projection("invoices", journal, view)

    @projection.on(InvoiceCreated)
    def created(record: RecordedEvent[InvoiceCreated], rows: SqlTransaction) -> None:
        rows.write(
            "INSERT INTO invoice VALUES (:id, :customer, 'open', :pay_until, :amount, 0, 0, :created)",
            id=record.stream_id,
            customer=record.data.customer,
            pay_until=(record.timestamp + record.data.pay_within).isoformat(),
            amount=cents_of(record.data.amount),
            created=record.position,
        )

    @projection.on(InvoicePaid)
    def paid(record: RecordedEvent[InvoicePaid], rows: SqlTransaction) -> None:
        rows.write("UPDATE invoice SET status = 'paid' WHERE id = :id", id=record.stream_id)
        rows.write(RECEIVE, id=record.stream_id, amount=cents_of(record.data.amount))

    @projection.on(InvoiceCancelled)
    def cancelled(record: RecordedEvent[InvoiceCancelled], rows: SqlTransaction) -> None:
        rows.write("UPDATE invoice SET status = 'cancelled' WHERE id = :id", id=record.stream_id)

    @projection.on(LatePaymentReceived)
    def received_late(record: RecordedEvent[LatePaymentReceived], rows: SqlTransaction) -> None:
        rows.write(RECEIVE, id=record.stream_id, amount=cents_of(record.data.amount))

    @projection.on(PaymentRefunded)
    def refunded(record: RecordedEvent[PaymentRefunded], rows: SqlTransaction) -> None:
        rows.write(REFUND, id=record.stream_id, amount=cents_of(record.data.amount))

    return projection


class Invoices:
    """Questions to the view."""

    def __init__(self, view: SqlView) -> None:
        self._view = view

    async def newest(self) -> list[InvoiceDetails]:
        rows = await self._view.fetch("SELECT * FROM invoice ORDER BY created DESC LIMIT 100")
        return list(map(_details, rows))

    async def one(self, id: str) -> InvoiceDetails | None:  # noqa: A002 - it is called so in the path
        rows = await self._view.fetch("SELECT * FROM invoice WHERE id = :id", id=id)
        return _details(rows[0]) if rows else None


def _details(row: Row[Any]) -> InvoiceDetails:
    amounts = map(amount_of, (row.amount, row.received, row.refunded))
    return InvoiceDetails(row.id, row.customer, row.status, row.pay_until, *amounts)
