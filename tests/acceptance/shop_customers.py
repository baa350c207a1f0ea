"""Many customers of the shop at once, each with a habit; they call its write side directly."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4, uuid5

import anyio

from calliope import RecordedEvent
from examples.shop.http_interface import CommandEndpoint
from examples.shop.identities import InvoiceId, OrderId, ReservationId, ShipmentId
from examples.shop.invoice import InvoiceCancelled, InvoiceCreated, PaymentRefunded, ReceivePayment
from examples.shop.order import OrderCancelled, OrderCompleted, WithdrawOrder
from examples.shop.reservation import (
    ConfirmReservation,
    CreateReservation,
    ReservationCancelled,
    ReservationClosed,
    ReserveProduct,
)
from examples.shop.shipment import DeliverShipment, ShipmentCreated
from tests.acceptance.shop_in_process import PAY_WITHIN, ShopInProcess

CUSTOMERS_AT_ONCE = 64

HUNG_SECONDS = 1200.0
"""Ends a run that hangs; nothing is decided by it."""


class Habit(StrEnum):
    PAYS = "completed"
    PAYS_LATE = "refunded"
    NEVER_PAYS = "cancelled"
    WITHDRAWS = "withdrawn"


HABITS = (Habit.PAYS, Habit.PAYS, Habit.PAYS_LATE, Habit.PAYS, Habit.NEVER_PAYS, Habit.PAYS, Habit.WITHDRAWS)
"""They come in this order, again and again."""

FOLLOWED = (
    InvoiceCreated,
    ShipmentCreated,
    InvoiceCancelled,
    PaymentRefunded,
    OrderCompleted,
    OrderCancelled,
    ReservationClosed,
    ReservationCancelled,
)


class Customers:
    """As many customers as there are orders.

    Args:
        shop: where they buy.
        count: how many there are.

    Attributes:
        expected: how many have which habit.
        position: the last event that concerned them.
    """

    def __init__(self, shop: ShopInProcess, count: int) -> None:
        self._shop = shop
        run = uuid4()
        self._habits = {uuid5(run, str(n)): HABITS[n % len(HABITS)] for n in range(count)}
        self.expected = Counter(self._habits.values())
        self.position = 0
        self._happened = Counter[type]()
        self._execute = {
            endpoint.identifier: endpoint.execute
            for subsystem in shop.subsystems.values()
            for endpoint in subsystem.endpoints
            if isinstance(endpoint, CommandEndpoint)
        }

    async def buy(self) -> None:
        """Return when all that these customers began has come to its end."""
        limiter = anyio.Semaphore(CUSTOMERS_AT_ONCE)
        with anyio.fail_after(HUNG_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow)
                for order in self._habits:
                    await limiter.acquire()
                    tasks.start_soon(self._order, order, limiter)

    async def _order(self, order: UUID, limiter: anyio.Semaphore) -> None:
        products = 1 + (order.int % 3 == 0)
        await self._do(ReservationId, order, CreateReservation(f"customer {order.int % 100}"))
        for number in range(products):
            price = Decimal(order.int % 10_000 + number + 1) / 100
            await self._do(ReservationId, order, ReserveProduct(f"product {number}", price, number + 1))
        await self._do(ReservationId, order, ConfirmReservation())
        limiter.release()

    async def _follow(self) -> None:
        """Do what customers do when something happens, until there is nothing more to come."""
        records = self._shop.journal.live_records(types=FOLLOWED)
        reactions = records.filter(lambda record: _order_of(record) in self._habits).map_async(
            self._react, parallelism=CUSTOMERS_AT_ONCE
        )
        expected = self.expected
        in_time = expected[Habit.PAYS] + expected[Habit.WITHDRAWS]
        async for record in reactions:
            event_class = type(record.data)
            self.position = record.position
            self._happened[event_class] += 1
            ended = self._happened[OrderCompleted] + self._happened[OrderCancelled]
            if event_class in (OrderCompleted, OrderCancelled) and ended == in_time:
                await self._shop.time.let_pass(PAY_WITHIN + timedelta(seconds=1))
            if self._is_over():
                return

    def _is_over(self) -> bool:
        happened, count = self._happened, len(self._habits)
        return (
            happened[OrderCompleted] + happened[OrderCancelled] == count
            and happened[ReservationClosed] + happened[ReservationCancelled] == count
            and happened[PaymentRefunded] == self.expected[Habit.PAYS_LATE]
        )

    async def _react(self, record: RecordedEvent[Any]) -> RecordedEvent[Any]:
        order = _order_of(record)
        match record.data, self._habits[order]:
            case InvoiceCreated(amount=amount), Habit.PAYS:
                await self._do(InvoiceId, order, ReceivePayment(amount))
            case InvoiceCreated(), Habit.WITHDRAWS:
                await self._do(OrderId, order, WithdrawOrder())
            case InvoiceCancelled(), Habit.PAYS_LATE:
                await self._do(InvoiceId, order, ReceivePayment(Decimal("9.99")))
            case ShipmentCreated(), _:
                await self._do(ShipmentId, order, DeliverShipment())
        return record

    async def _do(self, kind: type[Any], order: UUID, command: Any) -> None:
        identifier = kind(f"{kind.prefix}-{order}")
        await self._execute[kind](identifier, command, command_id=str(uuid4()), expected_version=None)


def _order_of(record: RecordedEvent[Any]) -> UUID:
    return UUID(record.stream_id.partition("-")[2])
