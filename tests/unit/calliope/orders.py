"""The events that these tests are about."""

from dataclasses import dataclass

from calliope import event


@dataclass(frozen=True, slots=True)
class ItemAdded:
    sku: str
    quantity: int = 1


@event("order-paid")
@dataclass(frozen=True, slots=True)
class Paid:
    amount: int = 0


OrderEvent = ItemAdded | Paid


def added(*skus: str) -> list[ItemAdded | Paid]:
    return [ItemAdded(sku) for sku in skus]
