"""An invoice, the noun of Invoicing: it is paid or cancelled, whichever comes first; a later payment goes back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from calliope import event
from calliope.domain import Decider, Rejection, Specification, specification
from examples.shop.identities import OrderId
from examples.shop.money import checked_amount


@event("shop.invoice-created")
@dataclass(frozen=True)
class InvoiceCreated:
    order: OrderId
    customer: str
    amount: Decimal
    pay_within: timedelta


@event("shop.invoice-paid")
@dataclass(frozen=True)
class InvoicePaid:
    order: OrderId
    amount: Decimal


@event("shop.invoice-cancelled")
@dataclass(frozen=True)
class InvoiceCancelled:
    order: OrderId
    reason: str


@event("shop.late-payment-received")
@dataclass(frozen=True)
class LatePaymentReceived:
    amount: Decimal


@event("shop.payment-refunded")
@dataclass(frozen=True)
class PaymentRefunded:
    amount: Decimal


InvoiceEvent = InvoiceCreated | InvoicePaid | InvoiceCancelled | LatePaymentReceived | PaymentRefunded


@dataclass(frozen=True)
class CreateInvoice:
    order: OrderId
    customer: str
    amount: Decimal
    pay_within: timedelta


@dataclass(frozen=True)
class ReceivePayment:
    amount: Decimal


@dataclass(frozen=True)
class CancelInvoice:
    reason: str


InvoiceCommand = CreateInvoice | ReceivePayment | CancelInvoice


class InvoiceStatus(StrEnum):
    UNKNOWN = "unknown"
    OPEN = "open"
    PAID = "paid"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Invoice:
    status: InvoiceStatus = InvoiceStatus.UNKNOWN
    order: OrderId | None = None
    customer: str = ""
    amount: Decimal = Decimal("0.00")
    refunded: Decimal = Decimal("0.00")
    reason: str = ""


exists: Specification[Invoice] = specification(
    lambda invoice: invoice.status is not InvoiceStatus.UNKNOWN,
    "the invoice does not exist",
    opposite="the invoice exists already",
)
is_paid: Specification[Invoice] = specification(
    lambda invoice: invoice.status is InvoiceStatus.PAID,
    "the invoice is not paid",
    opposite="the invoice is paid already",
)
is_cancelled: Specification[Invoice] = specification(
    lambda invoice: invoice.status is InvoiceStatus.CANCELLED,
    "the invoice is not cancelled",
    opposite="the invoice is cancelled already",
)


def decide(command: InvoiceCommand, invoice: Invoice) -> InvoiceEvent | Sequence[InvoiceEvent]:
    match command:
        case CreateInvoice(order, customer, amount, pay_within):
            (~exists).check(invoice)
            return InvoiceCreated(order, customer, amount, pay_within)
        case ReceivePayment(amount):
            (exists & ~is_paid).check(invoice)
            return _received(checked_amount("amount", amount), invoice)
        case CancelInvoice(reason):
            (exists & ~is_paid & ~is_cancelled).check(invoice)
            return InvoiceCancelled(_order_of(invoice), reason)


def evolve(invoice: Invoice, happened: InvoiceEvent) -> Invoice:
    match happened:
        case InvoiceCreated(order, customer, amount):
            return Invoice(InvoiceStatus.OPEN, order, customer, amount)
        case InvoicePaid():
            return replace(invoice, status=InvoiceStatus.PAID)
        case InvoiceCancelled(reason=reason):
            return replace(invoice, status=InvoiceStatus.CANCELLED, reason=reason)
        case LatePaymentReceived():
            return invoice
        case PaymentRefunded(amount):
            return replace(invoice, refunded=invoice.refunded + amount)


INVOICE = Decider[Invoice, InvoiceCommand, InvoiceEvent](Invoice(), decide, evolve)


def _received(amount: Decimal, invoice: Invoice) -> InvoiceEvent | Sequence[InvoiceEvent]:
    if invoice.status is InvoiceStatus.CANCELLED:
        return [LatePaymentReceived(amount), PaymentRefunded(amount)]
    if amount != invoice.amount:
        raise Rejection(f"the invoice is over {invoice.amount}, not {amount}")
    return InvoicePaid(_order_of(invoice), amount)


def _order_of(invoice: Invoice) -> OrderId:
    if invoice.order is None:
        raise Rejection("the invoice does not exist")
    return invoice.order
