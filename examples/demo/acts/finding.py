"""The first act: three processes start, and find one another."""

from examples.demo.remote_replica import ReplicaGoneError
from examples.demo.stage import Stage


async def find_one_another(stage: Stage) -> None:
    """Start all; without multicast on the loopback interface they are given one another's addresses."""
    cluster, display = stage.cluster, stage.display
    place = stage.store.place
    display.act(f"Three replicas start, each a process with a {place} of its own, and look for one another")
    try:
        await cluster.discover()
    except (ReplicaGoneError, TimeoutError) as error:
        display.say(f"no multicast on 127.0.0.1 ({error}); they are given one another's addresses instead")
        await cluster.connect()
    for replica in cluster:
        display.say(f"{replica.replica_id} is process {replica.process_id} and listens at {replica.address}")
    how = "by multicast on 127.0.0.1" if cluster.discovers else "by their addresses"
    display.check(f"each is connected with both others, found {how}", holds=cluster.is_whole())
