"""Two replicas change the same thing at the same time: both are told, and a third resolves it."""

from examples.demo.clerk import event_named
from examples.demo.ledger import Json
from examples.demo.stage import Stage

PRODUCT = "demo:product-17"
"""The stream of a product's names."""


async def change_the_same_thing(stage: Stage) -> None:
    """Rename a product in Berlin and in Lisbon, which did not look; let Oslo resolve it."""
    cluster, clerk, display = stage.cluster, stage.clerk, stage.display
    berlin, lisbon, _ = cluster
    display.act("Two replicas rename one product at the same time")
    await berlin.ask("follow_conflicts", stream=PRODUCT)
    await clerk.persist(berlin, PRODUCT, event_named("renamed", {"name": "tea"}))
    await cluster.converge()
    reply = await clerk.persist(lisbon, PRODUCT, event_named("renamed", {"name": "green tea"}))
    told = _told(reply["concurrent_updates"])
    display.check(f"lisbon, which had not looked, is told what was written: {told}", holds=told == ["berlin: tea"])
    await cluster.until(lambda: bool(berlin.conflicts), "berlin is told of lisbon's event")
    told = _told(berlin.conflicts)
    display.check(f"berlin is told when it arrives: {told}", holds=told == ["lisbon: green tea"])
    await resolve(stage)


async def resolve(stage: Stage) -> None:
    """Let Oslo join the names that are concurrent, and look at what all three make of it."""
    cluster, display = stage.cluster, stage.display
    await cluster.converge()
    berlin, _, oslo = cluster
    names = [version["data"]["name"] for version in (await berlin.ask("latest", stream=PRODUCT))["versions"]]
    display.say(f"until it is resolved, all three hold both names: {names}")
    await stage.clerk.resolve(oslo, PRODUCT, "name")
    await cluster.converge()
    latest = await cluster.together(lambda replica: replica.ask("latest", stream=PRODUCT))
    left = [[version["data"]["name"] for version in one["versions"]] for one in latest]
    display.check(
        f"oslo resolved it, and all three call the product {left[0]}",
        holds=len(names) == 2 and left == 3 * [["; ".join(names)]],
    )


def _told(records: list[Json]) -> list[str]:
    return [f"{record['by']}: {record['data']['name']}" for record in records]
