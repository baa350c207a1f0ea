"""All three wait for a value that only all of them together reach; nobody polls."""

from collections.abc import Callable
from time import perf_counter

import anyio

from examples.demo.remote_replica import RemoteReplica
from examples.demo.stage import Stage

VOTES = "demo:votes"

VOTES_EACH = 10


async def wait_for_a_value(stage: Stage) -> None:
    """Let all wait until there are enough votes, and cast them, the last one after a look at who is released."""
    cluster, clerk, display = stage.cluster, stage.clerk, stage.display
    display.act("All three wait until a counter is high enough")
    enough = len(list(cluster)) * VOTES_EACH
    released: dict[str, float] = {}

    async def wait(replica: RemoteReplica) -> None:
        await replica.ask("wait_until", key=VOTES, at_least=enough)
        released[replica.replica_id] = perf_counter()

    async with anyio.create_task_group() as tasks:
        for replica in cluster:
            tasks.start_soon(wait, replica)
        for replica in cluster:
            await clerk.increment(replica, VOTES, by=VOTES_EACH - (replica.replica_id == "oslo"))
        await cluster.converge()
        display.check(f"with {enough - 1} votes, nobody is released", holds=not released)
        begun = perf_counter()
        await clerk.increment(cluster["oslo"], VOTES)
        await cluster.until(_everybody(released, enough=len(list(cluster))), "wait_until returns")
    slowest = 1000 * (max(released.values()) - begun)
    display.say(f"with {enough} all three are, the last {slowest:.1f} ms after the vote was cast")


def _everybody(released: dict[str, float], enough: int) -> Callable[[], bool]:
    return lambda: len(released) == enough
