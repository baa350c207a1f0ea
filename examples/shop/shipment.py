"""A shipment, the noun of Shipping: made of what was paid, and delivered."""

from dataclasses import dataclass, replace
from enum import StrEnum

from calliope import event
from calliope.domain import Decider, Rejection
from examples.shop.identities import OrderId
from examples.shop.line import Line


@event("shop.shipment-created")
@dataclass(frozen=True)
class ShipmentCreated:
    order: OrderId
    customer: str
    lines: tuple[Line, ...]


@event("shop.shipment-delivered")
@dataclass(frozen=True)
class ShipmentDelivered:
    order: OrderId


ShipmentEvent = ShipmentCreated | ShipmentDelivered


@dataclass(frozen=True)
class CreateShipment:
    order: OrderId
    customer: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class DeliverShipment:
    pass


ShipmentCommand = CreateShipment | DeliverShipment


class ShipmentStatus(StrEnum):
    UNKNOWN = "unknown"
    CREATED = "created"
    DELIVERED = "delivered"


@dataclass(frozen=True)
class Shipment:
    status: ShipmentStatus = ShipmentStatus.UNKNOWN
    order: OrderId | None = None
    customer: str = ""
    lines: tuple[Line, ...] = ()


def decide(command: ShipmentCommand, shipment: Shipment) -> ShipmentEvent:
    match command:
        case CreateShipment(order, customer, lines):
            if shipment.status is not ShipmentStatus.UNKNOWN:
                raise Rejection("the shipment exists already")
            return ShipmentCreated(order, customer, lines)
        case DeliverShipment():
            if shipment.order is None:
                raise Rejection("the shipment does not exist")
            if shipment.status is ShipmentStatus.DELIVERED:
                raise Rejection("the shipment is delivered already")
            return ShipmentDelivered(shipment.order)


def evolve(shipment: Shipment, happened: ShipmentEvent) -> Shipment:
    match happened:
        case ShipmentCreated(order, customer, lines):
            return Shipment(ShipmentStatus.CREATED, order, customer, lines)
        case ShipmentDelivered():
            return replace(shipment, status=ShipmentStatus.DELIVERED)


SHIPMENT = Decider[Shipment, ShipmentCommand, ShipmentEvent](Shipment(), decide, evolve)
