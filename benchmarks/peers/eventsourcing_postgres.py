"""`eventsourcing`'s recorder for PostgreSQL: stored events inserted by many threads."""

import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from uuid import uuid4

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

THREADS = 16
NAME = f"eventsourcing {version('eventsourcing')}: insert_events from {THREADS} threads"


def append(url: str, payload: bytes, count: int) -> float:
    """Insert events, one a call, each thread into a stream of its own; return events a second."""
    given = conninfo_to_dict(url)
    datastore = PostgresDatastore(
        dbname=str(given.get("dbname", "postgres")),
        host=str(given.get("host", "")),
        port=str(given.get("port", 5432)),
        user=str(given.get("user", "postgres")),
        password=str(given.get("password", "")),
        pool_size=THREADS,
    )
    with datastore, ThreadPoolExecutor(THREADS) as pool:
        recorder = PostgresApplicationRecorder(datastore, events_table_name=f"events_{uuid4().hex[:8]}")
        recorder.create_table()
        each = -(-count // THREADS)

        def work(_: int) -> None:
            order_id = uuid4()
            for version in range(1, each + 1):
                recorder.insert_events([StoredEvent(order_id, version, "orders:ItemAdded", payload)])

        began = time.perf_counter()
        list(pool.map(work, range(THREADS)))
        return each * THREADS / (time.perf_counter() - began)
