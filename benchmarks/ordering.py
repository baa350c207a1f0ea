"""The events that are written and read: of a customer's order, as plain dataclasses."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class ItemAdded:
    """Something was put into the order."""

    sku: str
    quantity: int
    price_cents: int


def item(number: int) -> ItemAdded:
    """Return an event, one like the next."""
    return ItemAdded(f"sku-{number % 1000}", 1 + number % 3, 1999)


PAYLOAD: bytes = msgspec.msgpack.encode(item(123))
"""Such an event as it is stored."""


def add_up(total: int, event: ItemAdded) -> int:
    """Fold: what the order costs."""
    return total + event.quantity * event.price_cents


decode_payload = msgspec.msgpack.Decoder(ItemAdded).decode


class RawFold:
    """Adds up rows that were fetched by hand."""

    def __init__(self) -> None:
        self.total = 0

    def consume(self, fetched: Any) -> None:
        """Decode the payloads (the last but one column) and fold them."""
        self.total = reduce(add_up, [decode_payload(row[5]) for row in fetched], self.total)
