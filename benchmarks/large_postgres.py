"""A journal of ten million events in PostgreSQL: is it read by stream in milliseconds, and by tag through an index?

    python -m benchmarks.large_postgres --events 10000000

It starts a throw-away server, brings rows in by COPY, each with its right checksum and its own index entries, and reads
them through the library. It prints latencies and the plans of PostgreSQL. Ten million events take some minutes and 4 GB
of disk, so this is no part of `make bench`.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from statistics import median
from typing import Any
from zlib import crc32

import msgspec
import psycopg

from benchmarks.ordering import PAYLOAD
from calliope import Journal, UntypedEvent
from calliope.stores.event_rows import _numbers, checksum_seed
from calliope.stores.postgres_address import PostgresAddress
from calliope.stores.postgres_reader import PostgresReader
from calliope.stores.record import Attributes, Selection, StoredType, encode_attributes
from tests.postgres import new_schema, server, url_of_schema

EVENT_TYPE = StoredType("ItemAdded", 1)
EVENTS_A_STREAM = 100
EVENTS_A_TAG = 100
TAGGED_EVERY = 10
FREQUENT = "frequent"
"""What all events with a tag have as a second one."""

SAMPLES = 200


def load(address: PostgresAddress, count: int) -> None:
    """Bring in so many events, each a row of its own, as if they had been persisted one by one in turn."""
    streams = max(count // EVENTS_A_STREAM, 1)
    with address.connect() as connection:
        connection.execute("SET statement_timeout TO 0")
        connection.execute("ALTER TABLE event DROP CONSTRAINT event_pkey")
        connection.execute("DROP INDEX event_by_stream")
        connection.execute("INSERT INTO event_type VALUES (1, %s, %s)", EVENT_TYPE)
        _copy(connection, "stream", "bigint text text", ((n + 1, _stream_id(n), "plain") for n in range(streams)))
        _copy(
            connection, "event", "bigint bigint bigint int4 int4 bytea bigint bytea bytea bigint", _rows(count, streams)
        )
        tags = ((tag, n) for n in range(TAGGED_EVERY, count + 1, TAGGED_EVERY) for tag in (_tag(n, count), FREQUENT))
        _copy(connection, "event_tag", "text bigint", tags)
        connection.execute("ALTER TABLE event ADD CONSTRAINT event_pkey PRIMARY KEY (position)")
        connection.execute("CREATE UNIQUE INDEX event_by_stream ON event (stream, sequence_number)")
        connection.execute("UPDATE journal SET head = %s, streams = %s, types = 1", (count, streams))
        connection.execute("VACUUM ANALYZE")


def _copy(connection: psycopg.Connection[Any], table: str, types: str, rows: Iterator[tuple[Any, ...]]) -> None:
    with (
        connection.transaction(),
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()) as copy,
    ):
        copy.set_types(types.split())
        for row in rows:
            copy.write_row(row)


def _rows(count: int, streams: int) -> Iterator[tuple[Any, ...]]:
    seeds = [checksum_seed(_stream_id(n), EVENT_TYPE) for n in range(streams)]
    for n in range(count):
        position, stream, number, timestamp = n + 1, n % streams, n // streams + 1, 1_700_000_000_000_000 + n
        attributes = b""
        if position % TAGGED_EVERY == 0:
            attributes = encode_attributes(Attributes(None, (_tag(position, count), FREQUENT)))
        check = crc32(PAYLOAD, crc32(attributes, crc32(_numbers(position, number, 1, timestamp), seeds[stream])))
        yield position, stream + 1, number, 1, 1, None, timestamp, attributes, PAYLOAD, check


def _stream_id(number: int) -> str:
    return f"order-{number}"


def _tag(position: int, count: int) -> str:
    return f"customer-{position // TAGGED_EVERY % max(count // TAGGED_EVERY // EVENTS_A_TAG, 1)}"


class _Explaining(PostgresReader):
    """Prints the plan of each statement before it runs it."""

    def _rows(self, statement: str, asked: dict[str, Any]) -> Any:
        plan = self.connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {statement}".encode(), asked).fetchall()
        print("\n".join(f"    {line[0]}" for line in plan))
        return super()._rows(statement, asked)


def explain(address: PostgresAddress, count: int) -> None:
    """Print how PostgreSQL finds a stream and a tag."""
    with address.connect() as connection:
        reader = _Explaining(connection)
        for title, read in (
            ("one stream", lambda: reader.stream_page(_stream_id(7), 0, 2_048)),
            ("one tag", lambda: reader.all_page(Selection(tags=frozenset({_tag(50, count)})), 0, 2_048)),
            ("a frequent tag", lambda: reader.all_page(Selection(tags=frozenset({FREQUENT})), count // 2, 256)),
            ("two tags", lambda: reader.all_page(Selection(tags=frozenset({FREQUENT, _tag(50, count)})), 0, 256)),
            ("a page of all", lambda: reader.all_page(Selection(), count // 2, 256)),
        ):
            print(f"\n{title}:")
            read()


async def measure(url: str, count: int) -> None:
    """Print how long it takes to read and to write."""
    random, streams, tags = Random(1), count // EVENTS_A_STREAM, count // TAGGED_EVERY // EVENTS_A_TAG

    async def timed(title: str, action: Callable[[], Awaitable[object]]) -> None:
        await action()
        took = []
        for _ in range(SAMPLES):
            began = time.perf_counter()
            await action()
            took.append((time.perf_counter() - began) * 1_000)
        took.sort()
        print(f"{title:<58} {median(took):8.2f} ms, 95 of 100 within {took[int(len(took) * 0.95)]:8.2f} ms")

    began = time.perf_counter()
    async with Journal.open(url) as journal:
        print(f"{'opening the journal':<58} {(time.perf_counter() - began) * 1_000:8.2f} ms")

        async def stream() -> None:
            events = journal.event_stream(_stream_id(random.randrange(streams)), UntypedEvent)
            assert len(await events.query().run_collect()) >= EVENTS_A_STREAM

        async def tail() -> None:
            events = journal.event_stream(_stream_id(random.randrange(streams)), UntypedEvent)
            assert len(await events.query(after=EVENTS_A_STREAM - 1).run_collect()) >= 1

        async def tag() -> None:
            wanted = journal.records(tags=f"customer-{random.randrange(tags)}", event_type=UntypedEvent)
            assert len(await wanted.run_collect()) == EVENTS_A_TAG

        async def page() -> None:
            after = random.randrange(count - 256)
            assert (
                len(await journal.records(after=after, until=after + 256, event_type=UntypedEvent).run_collect()) == 256
            )

        async def frequent() -> None:
            after = random.randrange(count // 2)
            records = journal.records(after, tags=FREQUENT, event_type=UntypedEvent).take(256)
            assert len(await records.run_collect()) == 256

        async def persist() -> None:
            events = journal.event_stream(_stream_id(random.randrange(streams)), UntypedEvent)
            await events.persist(UntypedEvent("ItemAdded", msgspec.msgpack.decode(PAYLOAD)))

        await timed(f"one of {streams:,} streams, {EVENTS_A_STREAM} events", stream)
        await timed("the last event of a stream", tail)
        await timed(f"one of {tags:,} tags, {EVENTS_A_TAG} events", tag)
        await timed(f"256 of the {count // TAGGED_EVERY:,} events of one tag", frequent)
        await timed("256 events anywhere in the journal", page)
        await timed("persisting one event (the server does not wait for the disk)", persist)


def main() -> None:
    """Load, measure and explain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    options = parser.parse_args()
    with server(waits_for_disk=False) as own:
        url = url_of_schema(own, new_schema())
        address = PostgresAddress.parse(url)

        async def create() -> None:
            async with Journal.open(url):
                pass

        asyncio.run(create())
        began = time.perf_counter()
        load(address, options.events)
        print(f"{options.events:,} events loaded and indexed in {time.perf_counter() - began:.0f} s")
        with address.connect() as connection:
            for table in ("event", "event_by_stream", "event_tag"):
                row = connection.execute(
                    "SELECT pg_size_pretty(pg_total_relation_size(%s::regclass))", (table,)
                ).fetchone()
                print(f"  {table}: {row[0] if row else '?'}")
        asyncio.run(measure(url, options.events))
        explain(address, options.events)


if __name__ == "__main__":
    main()
