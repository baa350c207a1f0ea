"""Many orders at once in `examples/shop`: each ends completed or cancelled, and the views are a fold of the journal."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples.shop.http_interface import ViewEndpoint
from tests.acceptance.shop_customers import Customers, Habit
from tests.acceptance.shop_folds import folded, shown, stories
from tests.acceptance.shop_in_process import ShopInProcess, shop_in_process

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"  # SQLAlchemy's asynchronous side knows no other


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_every_order_ends_completed_or_cancelled_and_the_views_are_a_fold_of_the_journal(tmp_path, count):
    async with rare_garbage_collections(), shop_in_process(tmp_path) as shop:
        customers = Customers(shop, count)
        await customers.buy()
        await views_reach(customers.position, shop)

        expected = customers.expected
        assert await stories(shop.journal) == {
            "completed": expected[Habit.PAYS],
            "refunded": expected[Habit.PAYS_LATE],
            "cancelled": expected[Habit.NEVER_PAYS] + expected[Habit.WITHDRAWS],
        }
        await check_views(shop, tmp_path)


@asynccontextmanager
async def rare_garbage_collections() -> AsyncIterator[None]:
    """Do not look again and again at what was imported; it is a sixth of the whole time."""
    threshold = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()


async def views_reach(position: int, shop: ShopInProcess) -> None:
    for subsystem in shop.subsystems.values():
        for endpoint in subsystem.endpoints:
            if isinstance(endpoint, ViewEndpoint):
                await endpoint.projection.wait_for(position)


async def check_views(shop: ShopInProcess, directory: Path) -> None:
    for part in shop.subsystems:
        rows = shown(part, directory)
        assert rows
        assert rows == await folded(part, shop.journal)
