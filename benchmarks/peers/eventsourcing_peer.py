"""`eventsourcing`, the best-known Python library of its kind: synchronous, aggregates saved by threads."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.peers import EventSourcingPeer, Use

THREADS = 16


class Order(Aggregate):
    """An order as the library's documentation would write it."""

    def __init__(self) -> None:
        self.total = 0

    @event("ItemAdded")
    def add_item(self, sku: str, quantity: int, price_cents: int) -> None:
        """Add an item."""
        self.total += quantity * price_cents


def _application(folder: Path) -> Application[UUID]:
    return Application(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(folder / "eventsourcing.db"),
            "SQLITE_LOCK_TIMEOUT": "60",
            "SQLITE_POOL_SIZE": str(THREADS),
        }
    )


def _append(folder: Path, count: int) -> float:
    each = -(-count // THREADS)
    with _application(folder) as application, ThreadPoolExecutor(THREADS) as pool:

        def write(order: Order) -> None:
            for number in range(each):
                order.add_item(f"sku-{number % 1000}", 1 + number % 3, 1999)
                application.save(order)

        orders = [Order() for _ in range(THREADS)]
        application.save(*orders)
        began = time.perf_counter()
        list(pool.map(write, orders))
        return each * THREADS / (time.perf_counter() - began)


def _replay(folder: Path, count: int) -> float:
    with _application(folder) as application:
        order = Order()
        for number in range(count - 1):  # the first event is the order's creation
            order.add_item(f"sku-{number % 1000}", 1 + number % 3, 1999)
        application.save(order)
        began = time.perf_counter()
        application.repository.get(order.id)
        return count / (time.perf_counter() - began)


PEER = EventSourcingPeer(
    "eventsourcing",
    Use(
        _append,
        f"Application.save of an aggregate with one new event, from {THREADS} threads, an aggregate each; WAL,"
        " synchronous=FULL (SQLite's default, which it keeps)",
    ),
    Use(_replay, "repository.get of one aggregate, JSON (its default)"),
)
