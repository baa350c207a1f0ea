"""A line of an order: so many of a product at a price."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Line:
    product: str
    price: Decimal
    quantity: int

    @property
    def amount(self) -> Decimal:
        """What the whole line costs."""
        return self.price * self.quantity


def total_of(lines: Iterable[Line]) -> Decimal:
    """Return what all lines cost together."""
    return sum((line.amount for line in lines), Decimal("0.00"))
