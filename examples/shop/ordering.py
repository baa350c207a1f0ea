"""The ordering process: from the invoice to the end of the order, with a deadline for the payment. Pure.

    invoice created   -> the deadline is set
    invoice paid      -> the deadline is cancelled, the order is paid
    deadline passed   -> the order expires, which asks Invoicing to cancel the invoice
    invoice cancelled -> the order is cancelled; the process ends
    shipment delivered -> the order is completed; the process ends

A payment and the deadline may come at one moment. The invoice decides which was first, and whichever it was, the
process hears of exactly one of the two: `InvoicePaid` or `InvoiceCancelled`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from calliope import RecordedEvent, event
from calliope.domain import CancelDeadline, Complete, Effect, Process, Send, SetDeadline
from examples.shop.identities import OrderId
from examples.shop.invoice import InvoiceCancelled, InvoiceCreated, InvoicePaid
from examples.shop.order import AcceptPayment, CancelOrder, CompleteOrder, ExpireOrder
from examples.shop.shipment import ShipmentDelivered


@event("shop.payment-missed")
@dataclass(frozen=True)
class PaymentMissed:
    """What the deadline says."""

    order: OrderId


OrderingEvent = InvoiceCreated | InvoicePaid | InvoiceCancelled | ShipmentDelivered | PaymentMissed
OrderingCommand = AcceptPayment | ExpireOrder | CancelOrder | CompleteOrder


def correlate(record: RecordedEvent[OrderingEvent]) -> str:
    return str(record.data.order.uuid)


def react(state: str, happened: OrderingEvent) -> Effect | Sequence[Effect]:
    order = str(happened.order)
    match happened:
        case InvoiceCreated(pay_within=pay_within):
            return SetDeadline("payment", PaymentMissed(happened.order), after=pay_within)
        case InvoicePaid():
            return [CancelDeadline("payment"), Send(AcceptPayment(), to=order)]
        case PaymentMissed():
            return Send(ExpireOrder(), to=order)
        case InvoiceCancelled(reason=reason):
            return [Send(CancelOrder(reason), to=order), Complete()]
        case ShipmentDelivered():
            return [Send(CompleteOrder(), to=order), Complete()]


def evolve(state: str, happened: OrderingEvent) -> str:
    return type(happened).__name__


ORDERING = Process[str, OrderingEvent]("", correlate, react, evolve)
