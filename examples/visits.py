"""Two doors count visitors, each for itself; a bell rings when both together have counted enough. Nobody polls.

    python -m examples.visits
    python -m examples.visits --visitors 500 --ring-at 900

Three nodes in one process, over the network of this machine; nothing is kept. The bell's node never asks: its
`wait_until` sleeps until the counter has changed here, because a change arrived.
"""

import argparse
import sys
from collections.abc import Callable
from time import perf_counter

import anyio

from calliope import CalliopeError
from crdts import GCounter
from replication import Node

KEY = "visits"


def node(replica_id: str, *peers: Node) -> Node:
    addresses = [peer.address for peer in peers]
    return Node.open("memory://", replica_id=replica_id, listen="127.0.0.1:0", peers=addresses, cluster="visits")


async def count(door: Node, visitors: int) -> None:
    for _ in range(visitors):
        await door.replicator.update(KEY, GCounter, lambda visits: visits.increment())
    print(f"{door.replica_id}: all {visitors} of this door are in")


async def ring(bell: Node, at: int) -> None:
    start = perf_counter()
    looks = 0

    def enough(visits: GCounter) -> bool:
        nonlocal looks
        looks += 1
        return visits.value >= at

    visits = await bell.replicator.wait_until(KEY, enough, timeout=60)
    print(f"{bell.replica_id}: rings at {visits.value}, after {perf_counter() - start:.2f} s and {looks} looks")


async def main(visitors: int, ring_at: int) -> None:
    async with node("north") as north, node("south", north) as south, node("bell", north, south) as bell:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ring, bell, ring_at)
            tasks.start_soon(count, north, visitors)
            tasks.start_soon(count, south, visitors)
        everybody: Callable[[GCounter], bool] = lambda visits: visits.value == 2 * visitors  # noqa: E731
        for one in (north, south, bell):
            visits = await one.replicator.wait_until(KEY, everybody, timeout=60)
            print(f"{one.replica_id}: {visits.value} visitors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m examples.visits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visitors", type=int, default=60, help="how many come through each of the two doors")
    parser.add_argument("--ring-at", type=int, default=100, help="at how many visitors the bell rings")
    arguments = parser.parse_args()
    if arguments.visitors < 1:
        parser.error(f"--visitors must be at least 1, not {arguments.visitors}")
    if not 0 < arguments.ring_at <= 2 * arguments.visitors:
        parser.error(f"--ring-at must be 1 to {2 * arguments.visitors}, how many come in, not {arguments.ring_at}")
    try:
        anyio.run(main, arguments.visitors, arguments.ring_at)
    except (CalliopeError, TimeoutError) as error:
        sys.exit(str(error))
