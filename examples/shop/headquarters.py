"""Headquarters: places an order for every confirmed reservation, and sees it through with the ordering process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from calliope import RecordedEvent
from calliope.domain import ProcessManager, Receptor, Repository, Send
from calliope.domain.sql_view import SqlView
from examples.shop.http_interface import CommandEndpoint, ViewEndpoint
from examples.shop.identities import OrderId, ReservationId, sibling
from examples.shop.order import ORDER, OrderEvent, PlaceOrder, WithdrawOrder
from examples.shop.order_view import TABLES, OrderDetails, Orders, order_projection
from examples.shop.ordering import ORDERING, OrderingCommand, OrderingEvent
from examples.shop.reservation import ReservationConfirmed
from examples.shop.subsystem import Subsystem, Surroundings


@asynccontextmanager
async def headquarters(around: Surroundings) -> AsyncIterator[Subsystem]:
    """Run Headquarters while the block lasts."""

    def place_order(record: RecordedEvent[ReservationConfirmed]) -> Send:
        wanted = record.data
        order = sibling(OrderId, ReservationId(record.stream_id))
        return Send(PlaceOrder(wanted.customer, wanted.lines, wanted.total, around.pay_within), to=str(order))

    repository = Repository(around.journal, ORDER, OrderEvent)
    receptor = Receptor(
        around.journal,
        "headquarters",
        place_order,
        events=ReservationConfirmed,
        commands=PlaceOrder,
        deliver=repository.execute,
        clock=around.clock,
    )
    ordering = ProcessManager(
        around.journal,
        "ordering",
        ORDERING,
        events=OrderingEvent,
        commands=OrderingCommand,
        deliver=repository.execute,
        instance="headquarters",
        wall_clock=around.wall_clock,
        clock=around.clock,
    )
    async with SqlView(around.directory / "headquarters.db", *TABLES) as view:
        projection, orders = order_projection(around.journal, view), Orders(view)
        async with projection.running(), receptor.running(), ordering.running():
            yield Subsystem(
                "Headquarters",
                (
                    CommandEndpoint("/orders/{id}", OrderId, (WithdrawOrder,), repository.execute),
                    ViewEndpoint("/orders/{id}", OrderDetails, orders.one, projection),
                    ViewEndpoint("/orders", list[OrderDetails], orders.newest, projection),
                ),
            )
