"""A counter and a cart are updated by all three at once; how many must hold an update is said each time."""

from functools import partial

from examples.demo.cluster import together
from examples.demo.stage import Stage

VISITS = "demo:visits"
CART = "demo:cart"

VISITS_EACH = 20


async def update_at_quorum(stage: Stage) -> None:
    """Count at a majority, fill a cart at all three."""
    cluster, clerk, display = stage.cluster, stage.clerk, stage.display
    berlin, lisbon, oslo = cluster
    display.act("A counter and a cart are updated at a quorum")
    counts = [partial(clerk.increment, replica, VISITS, replicas="majority") for replica in cluster]
    await together(counts * VISITS_EACH)
    value = await lisbon.ask("read", key=VISITS, replicas="majority")
    display.say(f"{len(counts) * VISITS_EACH} increments by all three at once, each held by two before it returned")
    display.check(f"a get at majority sees every one of them: {value}", holds=value == len(counts) * VISITS_EACH)
    await clerk.add(berlin, CART, "milk", replicas="all")
    await clerk.add(lisbon, CART, "bread", replicas="all")
    await clerk.remove(oslo, CART, "milk", replicas="all")
    carts = await cluster.together(lambda replica: replica.ask("value", key=CART))
    display.check(f"acknowledged by all, it is in every cart at once: {carts[0]}", holds=carts == 3 * [["bread"]])
