"""`eventsourcing`'s applications: aggregates saved and loaded by many threads, as its documentation writes them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

from eventsourcing.application import Application

from benchmarks.peers.eventsourcing_peer import Order

NAME = f"eventsourcing {version('eventsourcing')}"


def save(folder: Path, *, callers: int, count: int) -> float:
    """Let threads, with an aggregate each in memory, add items and save each; return saves a second."""
    each = -(-count // callers)
    with _application(folder, callers) as application, ThreadPoolExecutor(callers) as pool:

        def work(order: Order) -> None:
            for number in range(each):
                order.add_item(f"sku-{number % 1000}", 1 + number % 3, 1999)
                application.save(order)

        orders = [Order() for _ in range(callers)]
        application.save(*orders)
        began = time.perf_counter()
        list(pool.map(work, orders))
        return each * callers / (time.perf_counter() - began)


def load(folder: Path, *, callers: int, count: int, events: int, snapshot_at: int | None) -> float:
    """Let threads get aggregates of so many events, so often in all; return loads a second."""
    with _application(folder, callers) as application, ThreadPoolExecutor(callers) as pool:
        ids = [_stored(application, events, snapshot_at) for _ in range(callers)]
        each = -(-count // callers)

        def work(order_id: UUID) -> None:
            for _ in range(each):
                application.repository.get(order_id)

        began = time.perf_counter()
        list(pool.map(work, ids))
        return each * callers / (time.perf_counter() - began)


def _stored(application: Application[UUID], events: int, snapshot_at: int | None) -> UUID:
    order = Order()
    for number in range(1, events):  # the first event is the order's creation
        if number == snapshot_at:
            application.save(order)
            application.take_snapshot(order.id)
        order.add_item(f"sku-{number % 1000}", 1 + number % 3, 1999)
    application.save(order)
    return order.id


@contextmanager
def _application(folder: Path, callers: int) -> Iterator[Application[UUID]]:
    with Application[UUID](
        env={
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(folder / "eventsourcing.db"),
            "SQLITE_LOCK_TIMEOUT": "60",
            "SQLITE_POOL_SIZE": str(callers),
            "IS_SNAPSHOTTING_ENABLED": "y",
        }
    ) as application:
        yield application
