"""What the views of the shop must show: a fold of the journal, made without them; and that nothing happened twice."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from calliope import Journal, RecordedEvent
from calliope.domain import Decider
from examples.shop.invoice import INVOICE, InvoiceEvent, InvoicePaid, LatePaymentReceived
from examples.shop.line import total_of
from examples.shop.order import ORDER, OrderEvent
from examples.shop.reservation import RESERVATION, ReservationEvent
from examples.shop.shipment import SHIPMENT, ShipmentEvent

Rows = dict[str, dict[str, Any]]

QUERIES = {
    "sales": """SELECT id, customer, status, COALESCE(SUM(price * quantity), 0) AS total, COUNT(number) AS lines
        FROM reservation LEFT JOIN reservation_line ON reservation = id GROUP BY id""",
    "invoicing": "SELECT id, customer, status, amount, received, refunded FROM invoice",
    "shipping": "SELECT id, customer, status, pieces FROM shipment",
    "headquarters": 'SELECT id, customer, status, reason, total FROM "order"',
}

PAID = (
    ("shop.reservation-created", "shop.reservation-confirmed", "shop.reservation-closed"),
    ("shop.order-placed", "shop.order-paid", "shop.order-completed"),
    ("shop.invoice-created", "shop.invoice-paid"),
    ("shop.shipment-created", "shop.shipment-delivered"),
)
CANCELLED = (
    ("shop.reservation-created", "shop.reservation-confirmed", "shop.reservation-cancelled"),
    ("shop.order-placed", "shop.order-cancellation-requested", "shop.order-cancelled"),
    ("shop.invoice-created", "shop.invoice-cancelled"),
    (),
)
REFUND = ("shop.late-payment-received", "shop.payment-refunded")


def shown(part: str, directory: Path) -> Rows:
    """Return all rows of a part's view, by their ids."""
    with closing(sqlite3.connect(f"{(directory / f'{part}.db').as_uri()}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        return {row["id"]: dict(row) for row in database.execute(QUERIES[part])}


async def folded(part: str, journal: Journal) -> Rows:
    """Return the rows that a part's view must have."""
    event_type, decider, row_of = FOLDS[part]
    streams: dict[str, list[RecordedEvent[Any]]] = defaultdict(list)
    async for record in journal.records(types=get_args(event_type), event_type=event_type):
        streams[record.stream_id].append(record)
    return {
        stream_id: {"id": stream_id} | row_of(decider.state_of(r.data for r in records), records)
        for stream_id, records in streams.items()
    }


async def stories(journal: Journal) -> Counter[str]:
    """Count how orders ended; fail if anything of an order is missing or happened twice."""
    happened: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    event_type = ReservationEvent | OrderEvent | InvoiceEvent | ShipmentEvent
    async for record in journal.records(types=get_args(event_type)):
        noun, _, order = record.stream_id.partition("-")
        if record.type != "shop.product-reserved":
            happened[order][noun].append(record.type)
    return Counter(_ending(order, story) for order, story in happened.items())


def _ending(order: str, story: dict[str, list[str]]) -> str:
    told = tuple(tuple(story[noun]) for noun in ("reservation", "order", "invoice", "shipment"))
    if told == PAID:
        return "completed"
    reservation, placed, invoice, shipment = told
    refunds = (len(invoice) - 2) // 2
    assert (reservation, placed, invoice, shipment) == (
        *CANCELLED[:2],
        (*CANCELLED[2], *REFUND * refunds),
        (),
    ), f"order {order}: {told}"
    return "refunded" if refunds else "cancelled"


def _cents(amount: Decimal) -> int:
    return int(amount * 100)


def _reservation(state: Any, records: Iterable[RecordedEvent[Any]]) -> dict[str, Any]:
    total = _cents(total_of(state.lines))
    return {"customer": state.customer, "status": state.status.value, "total": total, "lines": len(state.lines)}


def _invoice(state: Any, records: Iterable[RecordedEvent[Any]]) -> dict[str, Any]:
    payments = [r.data.amount for r in records if isinstance(r.data, InvoicePaid | LatePaymentReceived)]
    return {
        "customer": state.customer,
        "status": state.status.value,
        "amount": _cents(state.amount),
        "received": _cents(sum(payments, Decimal(0))),
        "refunded": _cents(state.refunded),
    }


def _shipment(state: Any, records: Iterable[RecordedEvent[Any]]) -> dict[str, Any]:
    pieces = sum(line.quantity for line in state.lines)
    return {"customer": state.customer, "status": state.status.value, "pieces": pieces}


def _order(state: Any, records: Iterable[RecordedEvent[Any]]) -> dict[str, Any]:
    total = _cents(state.total)
    return {"customer": state.customer, "status": state.status.value, "reason": state.reason, "total": total}


FOLDS: dict[str, tuple[Any, Decider[Any, Any, Any], Any]] = {
    "sales": (ReservationEvent, RESERVATION, _reservation),
    "invoicing": (InvoiceEvent, INVOICE, _invoice),
    "shipping": (ShipmentEvent, SHIPMENT, _shipment),
    "headquarters": (OrderEvent, ORDER, _order),
}
