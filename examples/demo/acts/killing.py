"""One replica is killed with SIGKILL in the middle of writing, and starts again from its file."""

from uuid import uuid4

import anyio

from examples.demo.acts.quorums import VISITS
from examples.demo.clerk import Clerk, event_named
from examples.demo.ledger import Json
from examples.demo.remote_replica import RemoteReplica, ReplicaGoneError
from examples.demo.stage import Stage

READINGS = "demo:readings"
"""The stream that is written to when it happens."""

WRITES_BEFORE = 40
"""How many writes are acknowledged before the kill."""

VISITS_MEANWHILE = 10


class _Writing:
    """Oslo writes until it is gone; what was not answered then may be there or not."""

    def __init__(self, clerk: Clerk, oslo: RemoteReplica) -> None:
        self.unanswered: tuple[Json, str] | None = None
        self._clerk = clerk
        self._oslo = oslo

    async def measure(self) -> None:
        """Persist one reading after the other."""
        number = 0
        while True:
            number += 1
            self.unanswered = event_named("measured", {"number": number}), str(uuid4())
            event, event_id = self.unanswered
            try:
                await self._clerk.persist(self._oslo, READINGS, event, event_id)
            except ReplicaGoneError:
                return

    async def count(self) -> None:
        """Count one visit after the other."""
        try:
            while True:
                await self._clerk.increment(self._oslo, VISITS)
        except ReplicaGoneError:
            return


async def kill_one(stage: Stage) -> None:
    """Kill Oslo while it writes, go on without it, start it again, and look whether all is there that it promised."""
    cluster, clerk, display = stage.cluster, stage.clerk, stage.display
    berlin, lisbon, oslo = cluster
    display.act("Oslo is killed with SIGKILL in the middle of writing, and starts again")
    before = clerk.ledger.writes
    writing = _Writing(clerk, oslo)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writing.measure)
        tasks.start_soon(writing.count)
        await cluster.until(lambda: clerk.ledger.writes >= before + WRITES_BEFORE, "oslo writes")
        await oslo.kill()
    display.say(f"killed after {clerk.ledger.writes - before} acknowledged writes; two were not answered")
    for replica in (berlin, lisbon):
        await clerk.increment(replica, VISITS, by=VISITS_MEANWHILE, replicas="majority")
    display.say("berlin and lisbon go on at majority")
    await display.pause()
    await cluster.restart(oslo)
    await cluster.until(cluster.is_whole, "oslo is back")
    assert writing.unanswered is not None
    event, event_id = writing.unanswered
    await clerk.persist(oslo, READINGS, event, event_id)
    display.say("the event that was not answered is persisted again, with the same event id: it is there once")
    await cluster.converge()
    for replica in cluster:
        lost = list(clerk.ledger.missing(await replica.ask("inventory"), about=(READINGS, VISITS)))
        display.check(f"{replica.replica_id} has all that oslo acknowledged, once", holds=not lost)
