"""An order, the noun of Headquarters: what the shop as a whole has decided. The other parts act on its events.

An order ends completed or cancelled. Cancelling is asked for and granted by the invoice, because only the invoice
knows whether a payment was quicker.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from calliope import event
from calliope.domain import Decider, Specification, specification
from examples.shop.line import Line


@event("shop.order-placed")
@dataclass(frozen=True)
class OrderPlaced:
    customer: str
    lines: tuple[Line, ...]
    total: Decimal
    pay_within: timedelta


@event("shop.order-cancellation-requested")
@dataclass(frozen=True)
class CancellationRequested:
    reason: str


@event("shop.order-paid")
@dataclass(frozen=True)
class OrderPaid:
    customer: str
    lines: tuple[Line, ...]


@event("shop.order-cancelled")
@dataclass(frozen=True)
class OrderCancelled:
    reason: str


@event("shop.order-completed")
@dataclass(frozen=True)
class OrderCompleted:
    pass


OrderEvent = OrderPlaced | CancellationRequested | OrderPaid | OrderCancelled | OrderCompleted


@dataclass(frozen=True)
class PlaceOrder:
    customer: str
    lines: tuple[Line, ...]
    total: Decimal
    pay_within: timedelta


@dataclass(frozen=True)
class WithdrawOrder:
    """The customer does not want it any more."""


@dataclass(frozen=True)
class ExpireOrder:
    """The payment did not come in time."""


@dataclass(frozen=True)
class AcceptPayment:
    pass


@dataclass(frozen=True)
class CancelOrder:
    reason: str


@dataclass(frozen=True)
class CompleteOrder:
    pass


OrderCommand = PlaceOrder | WithdrawOrder | ExpireOrder | AcceptPayment | CancelOrder | CompleteOrder


class OrderStatus(StrEnum):
    UNKNOWN = "unknown"
    PLACED = "placed"
    CANCELLING = "being cancelled"
    PAID = "paid"
    CANCELLED = "cancelled"
    COMPLETED = "completed"


@dataclass(frozen=True)
class Order:
    status: OrderStatus = OrderStatus.UNKNOWN
    customer: str = ""
    lines: tuple[Line, ...] = ()
    total: Decimal = Decimal("0.00")
    reason: str = ""


def one_of(*statuses: OrderStatus) -> Specification[Order]:
    return specification(
        lambda order: order.status in statuses,
        lambda order: f"the order is {order.status}, not {' or '.join(statuses)}",
    )


unknown: Specification[Order] = specification(
    lambda order: order.status is OrderStatus.UNKNOWN, "the order is placed already"
)
placed = one_of(OrderStatus.PLACED)
unpaid = one_of(OrderStatus.PLACED, OrderStatus.CANCELLING)
paid = one_of(OrderStatus.PAID)


def decide(command: OrderCommand, order: Order) -> OrderEvent | None:
    match command:
        case PlaceOrder(customer, lines, total, pay_within):
            unknown.check(order)
            return OrderPlaced(customer, lines, total, pay_within)
        case WithdrawOrder():
            placed.check(order)
            return CancellationRequested("withdrawn by the customer")
        case ExpireOrder():
            return CancellationRequested("not paid in time") if placed.is_satisfied_by(order) else None
        case AcceptPayment():
            unpaid.check(order)
            return OrderPaid(order.customer, order.lines)
        case CancelOrder(reason):
            unpaid.check(order)
            return OrderCancelled(reason)
        case CompleteOrder():
            paid.check(order)
            return OrderCompleted()


def evolve(order: Order, happened: OrderEvent) -> Order:
    match happened:
        case OrderPlaced(customer, lines, total):
            return Order(OrderStatus.PLACED, customer, lines, total)
        case CancellationRequested(reason):
            return replace(order, status=OrderStatus.CANCELLING, reason=reason)
        case OrderPaid():
            return replace(order, status=OrderStatus.PAID, reason="")
        case OrderCancelled(reason):
            return replace(order, status=OrderStatus.CANCELLED, reason=reason)
        case OrderCompleted():
            return replace(order, status=OrderStatus.COMPLETED)


ORDER = Decider[Order, OrderCommand, OrderEvent](Order(), decide, evolve)
