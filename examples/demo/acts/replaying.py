"""An event log goes through all three replicas at once, each stream at one of them, in its order."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import islice
from time import perf_counter

from calliope.event_log import LogRow
from examples.demo.clerk import event_of
from examples.demo.cluster import REPLICA_IDS, together
from examples.demo.ledger import Json
from examples.demo.stage import Stage
from examples.event_logs import Log

EVENTS_MAX = 20_000
"""How much of a log is replayed: the demonstration is to end within a minute."""

BATCH_EVENTS = 600
BATCH_BYTES = 4 * 1024 * 1024
"""What is sent to the three at once: no more than one of these."""


async def replay_the_log(stage: Stage) -> None:
    """Deal the streams of the log out to the replicas, and persist all events."""
    cluster, clerk, display = stage.cluster, stage.clerk, stage.display
    display.act(f"An event log is replayed through all three at once: {stage.log.name}")
    begun = perf_counter()
    count = 0
    dealer: dict[str, str] = {}
    for rows in batches(stage.log):
        hands = dealt(rows, dealer)
        await together([partial(clerk.replay, cluster[replica_id], hand) for replica_id, hand in hands.items()])
        count += len(rows)
    seconds = perf_counter() - begun
    only = " (of a longer log, no more are replayed)" if count == EVENTS_MAX else ""
    display.say(f"{count:,} events{only} in {len(dealer):,} streams, {count / seconds:,.0f} a second, all durable")
    seconds = await cluster.converge()
    display.say(f"{1000 * seconds:.0f} ms after the last was acknowledged, all three have them all")
    for replica in cluster:
        lost = clerk.ledger.missing(await replica.ask("inventory"))
        display.check(f"{replica.replica_id} has every event, in the order of its stream", holds=not list(lost))


def dealt(rows: list[LogRow], dealer: dict[str, str]) -> dict[str, dict[str, list[Json]]]:
    """Return the events of each replica, by stream; a stream stays with the replica that got it first."""
    hands: dict[str, dict[str, list[Json]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        replica_id = dealer.setdefault(row.stream_id, REPLICA_IDS[len(dealer) % len(REPLICA_IDS)])
        hands[replica_id][row.stream_id].append(event_of(row))
    return hands


def batches(log: Log) -> Iterator[list[LogRow]]:
    """Yield the rows that are replayed, some at a time."""
    batch: list[LogRow] = []
    size = 0
    for row in islice(log.rows(), EVENTS_MAX):
        batch.append(row)
        size += len(row.event.payload)
        if len(batch) >= BATCH_EVENTS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def check_log(log: Log) -> None:
    """Read what is to be replayed.

    Raises:
        ValueError: there is nothing.
        EventLogError: a row is none.
    """
    if not sum(map(len, batches(log))):
        raise ValueError(f"{log.name} holds no events")
