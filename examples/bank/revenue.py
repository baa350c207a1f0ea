"""What the bank earns: a view of the fees, kept by a projection."""

from dataclasses import dataclass
from decimal import Decimal

from calliope import Journal, RecordedEvent
from calliope.domain import InMemory, Projection
from examples.bank.account import FeesDeducted, FeesReturned
from examples.bank.money import NOTHING


@dataclass
class Revenue:
    """The fees of all transfers that were not undone.

    Attributes:
        total: their sum.
        transactions: how many they are.
    """

    total: Decimal = NOTHING
    transactions: int = 0


def revenue_of(journal: Journal) -> tuple[Projection[Revenue], InMemory[Revenue]]:
    """Return the projection that adds up fees, and its view, which begins with the first event in each program."""
    view = InMemory(Revenue)
    projection = Projection("revenue", journal, view, prefix="account-")

    @projection.on(FeesDeducted)
    def earned(record: RecordedEvent[FeesDeducted], revenue: Revenue) -> None:
        revenue.total += record.data.amount
        revenue.transactions += 1

    @projection.on(FeesReturned)
    def given_back(record: RecordedEvent[FeesReturned], revenue: Revenue) -> None:
        revenue.total -= record.data.amount
        revenue.transactions -= 1

    return projection, view
