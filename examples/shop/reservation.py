"""A reservation, the noun of Sales: products are reserved, then it is confirmed, and at last closed or cancelled."""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from calliope import event
from calliope.domain import Decider, Rejection, Specification, specification
from examples.shop.line import Line, total_of
from examples.shop.money import checked_amount

LINES_MAX = 100
QUANTITY_MAX = 1_000
TEXT_MAX = 200


@event("shop.reservation-created")
@dataclass(frozen=True)
class ReservationCreated:
    customer: str


@event("shop.product-reserved")
@dataclass(frozen=True)
class ProductReserved:
    line: Line


@event("shop.reservation-confirmed")
@dataclass(frozen=True)
class ReservationConfirmed:
    customer: str
    lines: tuple[Line, ...]
    total: Decimal


@event("shop.reservation-closed")
@dataclass(frozen=True)
class ReservationClosed:
    pass


@event("shop.reservation-cancelled")
@dataclass(frozen=True)
class ReservationCancelled:
    reason: str


ReservationEvent = (
    ReservationCreated | ProductReserved | ReservationConfirmed | ReservationClosed | ReservationCancelled
)


@dataclass(frozen=True)
class CreateReservation:
    customer: str


@dataclass(frozen=True)
class ReserveProduct:
    product: str
    price: Decimal
    quantity: int


@dataclass(frozen=True)
class ConfirmReservation:
    pass


@dataclass(frozen=True)
class CloseReservation:
    pass


@dataclass(frozen=True)
class CancelReservation:
    reason: str


ReservationCommand = CreateReservation | ReserveProduct | ConfirmReservation | CloseReservation | CancelReservation


class ReservationStatus(StrEnum):
    UNKNOWN = "unknown"
    OPEN = "open"
    CONFIRMED = "confirmed"
    CLOSED = "closed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Reservation:
    status: ReservationStatus = ReservationStatus.UNKNOWN
    customer: str = ""
    lines: tuple[Line, ...] = ()
    reason: str = ""


exists: Specification[Reservation] = specification(
    lambda reservation: reservation.status is not ReservationStatus.UNKNOWN,
    "the reservation does not exist",
    opposite="the reservation exists already",
)
is_open: Specification[Reservation] = specification(
    lambda reservation: reservation.status in (ReservationStatus.UNKNOWN, ReservationStatus.OPEN),
    lambda reservation: f"the reservation is {reservation.status} already",
)
confirmed: Specification[Reservation] = specification(
    lambda reservation: reservation.status is ReservationStatus.CONFIRMED,
    lambda reservation: f"the reservation is {reservation.status}, not confirmed",
)


def decide(command: ReservationCommand, reservation: Reservation) -> ReservationEvent:
    match command:
        case CreateReservation(customer):
            (~exists).check(reservation)
            return ReservationCreated(_checked_text("customer", customer))
        case ReserveProduct():
            (exists & is_open).check(reservation)
            return ProductReserved(_checked_line(command, reservation))
        case ConfirmReservation():
            (exists & is_open).check(reservation)
            if not reservation.lines:
                raise Rejection("nothing is reserved")
            return ReservationConfirmed(reservation.customer, reservation.lines, total_of(reservation.lines))
        case CloseReservation():
            confirmed.check(reservation)
            return ReservationClosed()
        case CancelReservation(reason):
            confirmed.check(reservation)
            return ReservationCancelled(reason)


def evolve(reservation: Reservation, happened: ReservationEvent) -> Reservation:
    match happened:
        case ReservationCreated(customer):
            return Reservation(ReservationStatus.OPEN, customer)
        case ProductReserved(line):
            return replace(reservation, lines=(*reservation.lines, line))
        case ReservationConfirmed():
            return replace(reservation, status=ReservationStatus.CONFIRMED)
        case ReservationClosed():
            return replace(reservation, status=ReservationStatus.CLOSED)
        case ReservationCancelled(reason):
            return replace(reservation, status=ReservationStatus.CANCELLED, reason=reason)


RESERVATION = Decider[Reservation, ReservationCommand, ReservationEvent](Reservation(), decide, evolve)


def _checked_line(command: ReserveProduct, reservation: Reservation) -> Line:
    if not 1 <= command.quantity <= QUANTITY_MAX:
        raise Rejection(f"quantity must be from 1 to {QUANTITY_MAX}, not {command.quantity}")
    if len(reservation.lines) == LINES_MAX:
        raise Rejection(f"a reservation has at most {LINES_MAX} lines")
    price = checked_amount("price", command.price)
    return Line(_checked_text("product", command.product), price, command.quantity)


def _checked_text(name: str, text: str) -> str:
    if not text.strip() or len(text) > TEXT_MAX:
        raise Rejection(f"{name} must have 1 to {TEXT_MAX} characters")
    return text
