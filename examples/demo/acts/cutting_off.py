"""One replica is cut off, and both sides write; when the cut is mended, both sides have everything."""

from collections.abc import Sequence

from examples.demo.acts.conflicting import PRODUCT, resolve
from examples.demo.acts.quorums import CART, VISITS
from examples.demo.clerk import event_named
from examples.demo.remote_replica import CommandFailedError
from examples.demo.stage import Stage

QUORUM_SECONDS = 0.5
"""How long the one that is cut off waits for others."""


async def cut_one_off(stage: Stage) -> None:
    """Pull Lisbon's cable, write on both sides, plug it in again."""
    cluster, display = stage.cluster, stage.display
    lisbon = cluster["lisbon"]
    display.act("Lisbon is cut off, and both sides write")
    await lisbon.sever()
    await cluster.until(lambda: cluster.is_alone("lisbon"), "lisbon is alone")
    await _write_alone(stage)
    await _write_at_majority(stage)
    apart = await cluster.together(lambda replica: replica.ask("value", key=CART))
    display.say(f"carts: berlin {apart[0]}, lisbon {apart[1]}, oslo {apart[2]}")
    display.check("neither side has what the other wrote", holds=apart[0] == apart[2] != apart[1])
    await display.pause()
    await lisbon.mend()
    await cluster.until(cluster.is_whole, "lisbon is back")
    seconds = await cluster.converge()
    display.say(f"mended: {1000 * seconds:.0f} ms after all are connected they hold the same")
    carts = await cluster.together(lambda replica: replica.ask("value", key=CART))
    display.check(f"all have what both sides wrote: {carts[0]}", holds=carts == 3 * [["apples", "bread", "pears"]])
    await resolve(stage)


async def _write_alone(stage: Stage) -> None:
    """Write in Lisbon, which can reach nobody."""
    clerk, display, lisbon = stage.clerk, stage.display, stage.cluster["lisbon"]
    await clerk.increment(lisbon, VISITS, by=5)
    await clerk.add(lisbon, CART, "pears")
    await clerk.persist(lisbon, PRODUCT, event_named("renamed", {"name": "mint tea"}))
    acknowledged: Sequence[str] | None = None
    try:
        await clerk.increment(lisbon, VISITS, replicas="majority", timeout=QUORUM_SECONDS)
    except CommandFailedError as error:
        display.say(f"lisbon, alone, at majority: {error}")
        acknowledged = error.acknowledged
    display.check("no majority is claimed; lisbon's word stays and will spread", holds=acknowledged == ["lisbon"])


async def _write_at_majority(stage: Stage) -> None:
    """Write in Berlin and Oslo, which are two of three."""
    clerk, (berlin, _, oslo) = stage.clerk, stage.cluster
    await clerk.increment(berlin, VISITS, by=7, replicas="majority")
    await clerk.add(oslo, CART, "apples", replicas="majority")
    await clerk.persist(oslo, PRODUCT, event_named("renamed", {"name": "black tea"}))
    stage.display.say("berlin and oslo, two of three, go on at majority")
