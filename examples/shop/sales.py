"""Sales: reservations are made over HTTP, and closed or cancelled as Headquarters decides."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from calliope import RecordedEvent
from calliope.domain import Receptor, Repository, Send
from calliope.domain.sql_view import SqlView
from examples.shop.http_interface import CommandEndpoint, ViewEndpoint
from examples.shop.identities import OrderId, ReservationId, sibling
from examples.shop.order import OrderCancelled, OrderPaid
from examples.shop.reservation import (
    RESERVATION,
    CancelReservation,
    CloseReservation,
    ConfirmReservation,
    CreateReservation,
    ReservationEvent,
    ReserveProduct,
)
from examples.shop.reservation_view import (
    TABLES,
    ReservationDetails,
    Reservations,
    ReservationSummary,
    reservation_projection,
)
from examples.shop.subsystem import Subsystem, Surroundings


def end_reservation(record: RecordedEvent[OrderPaid | OrderCancelled]) -> Send:
    reservation = sibling(ReservationId, OrderId(record.stream_id))
    match record.data:
        case OrderPaid():
            return Send(CloseReservation(), to=str(reservation))
        case OrderCancelled(reason):
            return Send(CancelReservation(reason), to=str(reservation))


@asynccontextmanager
async def sales(around: Surroundings) -> AsyncIterator[Subsystem]:
    """Run Sales while the block lasts."""
    repository = Repository(around.journal, RESERVATION, ReservationEvent)
    receptor = Receptor(
        around.journal,
        "sales",
        end_reservation,
        events=OrderPaid | OrderCancelled,
        commands=CloseReservation | CancelReservation,
        deliver=repository.execute,
        clock=around.clock,
    )
    async with SqlView(around.directory / "sales.db", *TABLES) as view:
        projection, reservations = reservation_projection(around.journal, view), Reservations(view)
        commands = (CreateReservation, ReserveProduct, ConfirmReservation)
        async with projection.running(), receptor.running():
            yield Subsystem(
                "Sales",
                (
                    CommandEndpoint("/reservations/{id}", ReservationId, commands, repository.execute),
                    ViewEndpoint("/reservations/{id}", ReservationDetails, reservations.one, projection),
                    ViewEndpoint("/reservations", list[ReservationSummary], reservations.newest, projection),
                ),
            )
