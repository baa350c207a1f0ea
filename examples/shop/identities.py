"""The ids of the shop. A reservation, its order, invoice and shipment share one UUID, so each names the others."""

from typing import TypeVar

from calliope.domain import Identifier

Id = TypeVar("Id", bound=Identifier)


class ReservationId(Identifier):
    prefix = "reservation"


class OrderId(Identifier):
    prefix = "order"


class InvoiceId(Identifier):
    prefix = "invoice"


class ShipmentId(Identifier):
    prefix = "shipment"


def sibling(kind: type[Id], identifier: Identifier) -> Id:
    """Return the id of another kind that belongs to the same order."""
    return kind(f"{kind.prefix}-{identifier.uuid}")
