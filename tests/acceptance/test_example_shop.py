"""What the parts of `examples/shop` decide, in scenarios: no journal, no time, no network."""

from datetime import timedelta
from decimal import Decimal

import pytest

from calliope.domain import CancelDeadline, Complete, Send, SetDeadline
from calliope.domain.testing import DeadlinePassed, ProcessSubject, Scenario
from examples.shop.identities import InvoiceId, OrderId, ReservationId, sibling
from examples.shop.invoice import (
    INVOICE,
    CancelInvoice,
    CreateInvoice,
    InvoiceCancelled,
    InvoiceCreated,
    InvoicePaid,
    LatePaymentReceived,
    PaymentRefunded,
    ReceivePayment,
)
from examples.shop.line import Line, total_of
from examples.shop.money import amount_of, cents_of
from examples.shop.order import (
    ORDER,
    AcceptPayment,
    CancellationRequested,
    CancelOrder,
    CompleteOrder,
    ExpireOrder,
    OrderCancelled,
    OrderCompleted,
    OrderPaid,
    OrderPlaced,
    PlaceOrder,
    WithdrawOrder,
)
from examples.shop.ordering import ORDERING, PaymentMissed
from examples.shop.reservation import (
    LINES_MAX,
    RESERVATION,
    CancelReservation,
    CloseReservation,
    ConfirmReservation,
    CreateReservation,
    ProductReserved,
    ReservationCancelled,
    ReservationClosed,
    ReservationConfirmed,
    ReservationCreated,
    ReserveProduct,
)
from examples.shop.shipment import SHIPMENT, CreateShipment, DeliverShipment, ShipmentCreated, ShipmentDelivered

ID = OrderId.from_name("the order")
HOUR = timedelta(hours=1)
LAMPS, CHAIRS = Line("lamp", Decimal("19.90"), 3), Line("chair", Decimal("49.50"), 2)
TOTAL = Decimal("158.70")
MISSED = "not paid in time"

reservation, order, invoice, shipment = map(Scenario, (RESERVATION, ORDER, INVOICE, SHIPMENT))
ordering = Scenario(ProcessSubject(ORDERING))

CONFIRMED = (
    ReservationCreated("Ada"),
    ProductReserved(LAMPS),
    ProductReserved(CHAIRS),
    ReservationConfirmed("Ada", (LAMPS, CHAIRS), TOTAL),
)
PLACED = OrderPlaced("Ada", (LAMPS, CHAIRS), TOTAL, HOUR)
PAID = OrderPaid("Ada", (LAMPS, CHAIRS))
INVOICED = InvoiceCreated(ID, "Ada", TOTAL, HOUR)


def test_a_total_takes_quantities_into_account():
    assert total_of([LAMPS, CHAIRS]) == TOTAL
    made = reservation.given(*CONFIRMED[:3])
    made.when(ConfirmReservation()).then(CONFIRMED[3])


@pytest.mark.parametrize("cents", [0, 1, 99, 100, 1990, 10**14 + 1])
def test_an_amount_is_the_same_in_cents_and_back(cents):
    assert cents_of(amount_of(cents)) == cents
    assert amount_of(cents).as_tuple().exponent == -2


def test_the_ids_of_an_order_name_one_another():
    assert sibling(OrderId, sibling(InvoiceId, ID)) == ID
    assert str(sibling(ReservationId, ID)) == f"reservation-{ID.uuid}"


def test_a_reservation_grows_until_it_is_confirmed():
    reservation.when(CreateReservation("Ada")).then(ReservationCreated("Ada"))
    reservation.given(CONFIRMED[0]).when(CreateReservation("Eve")).rejected("the reservation exists already")
    reservation.given(CONFIRMED[0]).when(ReserveProduct("lamp", Decimal("19.9"), 3)).then(ProductReserved(LAMPS))
    full = [ProductReserved(LAMPS)] * LINES_MAX
    one_more = ReserveProduct("lamp", Decimal("19.90"), 3)
    reservation.given(CONFIRMED[0], *full).when(one_more).rejected("a reservation has at most 100 lines")
    reservation.given(*CONFIRMED).when(one_more).rejected("the reservation is confirmed already")
    reservation.given(*CONFIRMED).when(ConfirmReservation()).rejected("the reservation is confirmed already")
    reservation.given(CONFIRMED[0]).when(ConfirmReservation()).rejected("nothing is reserved")


def test_a_confirmed_reservation_is_closed_or_cancelled_once():
    reservation.given(*CONFIRMED).when(CloseReservation()).then(ReservationClosed())
    reservation.given(*CONFIRMED).when(CancelReservation(MISSED)).then(ReservationCancelled(MISSED))
    reservation.given(*CONFIRMED[:3]).when(CloseReservation()).rejected("the reservation is open, not confirmed")
    closed = reservation.given(*CONFIRMED, ReservationClosed())
    closed.when(CancelReservation(MISSED)).rejected("the reservation is closed, not confirmed")


def test_an_invoice_is_paid_or_cancelled_whichever_comes_first():
    invoice.when(CreateInvoice(ID, "Ada", TOTAL, HOUR)).then(INVOICED)
    invoice.given(INVOICED).when(ReceivePayment(TOTAL)).then(InvoicePaid(ID, TOTAL))
    invoice.given(INVOICED).when(CancelInvoice(MISSED)).then(InvoiceCancelled(ID, MISSED))
    invoice.given(INVOICED, InvoicePaid(ID, TOTAL)).when(CancelInvoice(MISSED)).rejected("the invoice is paid already")
    invoice.given(INVOICED).when(ReceivePayment(Decimal(1))).rejected("the invoice is over 158.70, not 1.00")
    invoice.when(ReceivePayment(TOTAL)).rejected("the invoice does not exist")


def test_a_payment_after_the_cancellation_is_recorded_and_given_back():
    late = invoice.given(INVOICED, InvoiceCancelled(ID, MISSED)).when(ReceivePayment(TOTAL))
    late.then(LatePaymentReceived(TOTAL), PaymentRefunded(TOTAL))


def test_an_order_ends_completed_or_cancelled():
    order.when(PlaceOrder("Ada", (LAMPS, CHAIRS), TOTAL, HOUR)).then(PLACED)
    order.given(PLACED).when(AcceptPayment()).then(PAID)
    order.given(PLACED, PAID).when(CompleteOrder()).then(OrderCompleted())
    order.given(PLACED).when(ExpireOrder()).then(CancellationRequested(MISSED))
    order.given(PLACED, CancellationRequested(MISSED)).when(CancelOrder(MISSED)).then(OrderCancelled(MISSED))
    for end in ((PAID, OrderCompleted()), (OrderCancelled(MISSED),)):
        ended = order.given(PLACED, *end)
        ended.when(ExpireOrder()).then()
        for command in (WithdrawOrder(), AcceptPayment(), CancelOrder(MISSED), CompleteOrder()):
            ended.when(command).rejected()


def test_a_payment_that_was_quicker_than_the_cancellation_counts():
    order.given(PLACED, CancellationRequested(MISSED)).when(AcceptPayment()).then(PAID)
    order.given(PLACED, CancellationRequested(MISSED)).when(ExpireOrder()).then()


def test_a_shipment_is_delivered_once():
    created = ShipmentCreated(ID, "Ada", (LAMPS, CHAIRS))
    shipment.when(CreateShipment(ID, "Ada", (LAMPS, CHAIRS))).then(created)
    shipment.given(created).when(CreateShipment(ID, "Ada", (LAMPS,))).rejected("the shipment exists already")
    shipment.given(created).when(DeliverShipment()).then(ShipmentDelivered(ID))
    shipment.given(created, ShipmentDelivered(ID)).when(DeliverShipment()).rejected("the shipment is delivered already")


def test_the_process_waits_for_the_payment_and_then_for_the_delivery():
    deadline = SetDeadline("payment", PaymentMissed(ID), after=HOUR)
    ordering.when(INVOICED).then(deadline)
    paid = InvoicePaid(ID, TOTAL)
    ordering.given(INVOICED).when(paid).then(CancelDeadline("payment"), Send(AcceptPayment(), to=str(ID)))
    ordering.given(INVOICED, paid).when(DeadlinePassed("payment")).then()
    delivered = ordering.given(INVOICED, paid).when(ShipmentDelivered(ID))
    delivered.then(Send(CompleteOrder(), to=str(ID)), Complete())


def test_the_process_lets_the_order_expire_and_the_invoice_decide():
    ordering.given(INVOICED).when(DeadlinePassed("payment")).then(Send(ExpireOrder(), to=str(ID)))
    expiring = ordering.given(INVOICED, DeadlinePassed("payment"))
    expiring.when(InvoiceCancelled(ID, MISSED)).then(Send(CancelOrder(MISSED), to=str(ID)), Complete())
    quicker = expiring.when(InvoicePaid(ID, TOTAL))
    quicker.then(CancelDeadline("payment"), Send(AcceptPayment(), to=str(ID)))
