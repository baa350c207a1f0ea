"""Shipping: makes a shipment of what was paid, and is told over HTTP when it was delivered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from calliope import RecordedEvent
from calliope.domain import Receptor, Repository, Send
from calliope.domain.sql_view import SqlView
from examples.shop.http_interface import CommandEndpoint, ViewEndpoint
from examples.shop.identities import OrderId, ShipmentId, sibling
from examples.shop.order import OrderPaid
from examples.shop.shipment import SHIPMENT, CreateShipment, DeliverShipment, ShipmentEvent
from examples.shop.shipment_view import TABLES, ShipmentDetails, Shipments, shipment_projection
from examples.shop.subsystem import Subsystem, Surroundings


def ship_order(record: RecordedEvent[OrderPaid]) -> Send:
    order = OrderId(record.stream_id)
    return Send(CreateShipment(order, record.data.customer, record.data.lines), to=str(sibling(ShipmentId, order)))


@asynccontextmanager
async def shipping(around: Surroundings) -> AsyncIterator[Subsystem]:
    """Run Shipping while the block lasts."""
    repository = Repository(around.journal, SHIPMENT, ShipmentEvent)
    receptor = Receptor(
        around.journal,
        "shipping",
        ship_order,
        events=OrderPaid,
        commands=CreateShipment,
        deliver=repository.execute,
        clock=around.clock,
    )
    async with SqlView(around.directory / "shipping.db", *TABLES) as view:
        projection, shipments = shipment_projection(around.journal, view), Shipments(view)
        async with projection.running(), receptor.running():
            yield Subsystem(
                "Shipping",
                (
                    CommandEndpoint("/shipments/{id}", ShipmentId, (DeliverShipment,), repository.execute),
                    ViewEndpoint("/shipments/{id}", ShipmentDetails, shipments.one, projection),
                    ViewEndpoint("/shipments", list[ShipmentDetails], shipments.newest, projection),
                ),
            )
