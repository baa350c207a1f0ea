"""What can happen in a random schedule: to users, to the network, to machines and to disks."""

from collections.abc import Callable
from random import Random
from typing import ClassVar, Literal

from replication.testing.plan import Plan
from replication.testing.simulated_replica import SimulatedReplica
from replication.testing.simulation import Simulation
from replication.testing.values import Change


class Troubles:
    """Makes things happen, one at a time.

    Args:
        simulation: to whom.
        plan: how often what.
        random: where chance comes from.

    Attributes:
        late: the newcomers who have not joined yet.
    """

    def __init__(self, simulation: Simulation, plan: Plan, random: Random) -> None:
        self.simulation = simulation
        self.plan = plan
        self._random = random
        self.late = plan.names[len(plan.names) - plan.late :]
        self._marks: dict[str, int] = {}
        self._unsettled: set[str] = set()
        self._names = list(plan.weights)
        self._weights = list(plan.weights.values())

    def happen(self) -> None:
        """Let a while pass, and then something happen."""
        self.simulation.run_for(self._random.expovariate(1 / self.plan.pause_seconds))
        self._actions[self._random.choices(self._names, self._weights)[0]](self)

    # Who ----------------------------------------------------------------------------------------------------------

    def _one_that(self, is_meant: Callable[[SimulatedReplica], bool]) -> SimulatedReplica | None:
        meant = [replica for replica in self.simulation.replicas.values() if is_meant(replica)]
        return self._random.choice(meant) if meant else None

    def _one_up(self) -> SimulatedReplica | None:
        return self._one_that(lambda replica: replica.is_up)

    def _writer(self) -> SimulatedReplica | None:
        replica = self._one_that(lambda replica: replica.is_up and replica.is_idle)
        return replica if replica is not None and self._may_write(replica) else None

    def _may_write(self, replica: SimulatedReplica) -> bool:
        """Newcomers, and those who went back, wait until everybody knows them, and they know all that is stable."""
        name = replica.replica_id
        if not self.plan.is_cautious or name not in self._unsettled:
            return True
        others = [other for other in self.simulation.replicas.values() if other is not replica]
        for other in others:
            if other.core is None or not replica.disk.vector.descends(other.disk.vector):
                return False
            if not any(
                member.replica_id == name and replica.disk.vector.descends(member.vector)
                for member in other.core.members(other.now)
            ):
                return False
        self._unsettled.discard(name)
        return True

    def _write(self) -> None:
        replica = self._writer()
        if replica is None:
            return
        change = self._change()
        self.simulation.write(replica.replica_id, change)

    def _change(self) -> Change:
        random = self._random
        if not self.plan.has_crdts:
            return Change(f"key {random.randrange(9)}", "increment", random.choice([1, 1, 50, 400, 1500]))
        if random.random() < 0.5:
            return Change(f"visits {random.randrange(4)}", "increment", random.randrange(1, 9))
        action: Literal["add", "remove"] = random.choice(["add", "add", "remove"])
        return Change(f"cart {random.randrange(4)}", action, random.choice(["milk", "bread", "tea"]))

    def _write_events(self) -> None:
        replica = self._writer()
        if replica is not None:
            self.simulation.write_events(replica.replica_id, self._random.choice([1, 100, 1500]))

    def _wait(self) -> None:
        replica = self._one_up()
        if replica is None or not replica.disk.vector:
            return
        log_id = self._random.choice(sorted(replica.disk.vector))
        number = self._random.randint(1, replica.disk.vector[log_id])
        self.simulation.wait_for(replica.replica_id, log_id, number, self._replicas())

    def _ask(self) -> None:
        replica = self._one_up()
        if replica is not None:
            self.simulation.ask(replica.replica_id, self._replicas())

    def _replicas(self) -> int | Literal["majority", "all"]:
        return self._random.choice([1, 2, "majority", "majority", "all"])

    def _compact(self) -> None:
        replica = self._one_up()
        if replica is not None:
            replica.compact()

    def _cut(self) -> None:
        """Cut one replica off."""
        replica = self._one_up()
        for other in self.simulation.replicas:
            if replica is not None and other != replica.replica_id:
                self.simulation.network.block(replica.replica_id, other)
                self.simulation.network.block(other, replica.replica_id)

    def _one_way(self) -> None:
        sender, receiver = self._random.sample(sorted(self.plan.names), 2)
        self.simulation.network.block(sender, receiver)

    def _part(self) -> None:
        """Divide the replicas into two groups."""
        group = {name for name in self.plan.names if self._random.random() < 0.5}
        for one in self.plan.names:
            for other in self.plan.names:
                if (one in group) != (other in group):
                    self.simulation.network.block(one, other)

    def _mend(self) -> None:
        self.simulation.network.heal()

    def _crash(self) -> None:
        replica = self._one_up()
        if replica is not None:
            self.simulation.crash(replica.replica_id)

    def _start(self) -> None:
        replica = self._one_that(lambda replica: not replica.is_up and not replica.disk.is_full)
        if replica is not None:
            self.simulation.start(replica.replica_id)

    def _mark(self) -> None:
        """Make a backup that knows everybody: whom it does not know, it cannot ask whether its numbers are taken."""
        replica = self._one_that(self._knows_everybody)
        if replica is not None and not self.late:
            self._marks[replica.replica_id] = replica.disk.mark()

    def _restore(self) -> None:
        replica = self._one_that(lambda replica: replica.is_up and replica.replica_id in self._marks)
        if replica is not None:
            name = replica.replica_id
            self.simulation.crash(name)
            self.simulation.restore(name, self._marks.pop(name))
            self._unsettled.add(name)

    def _fill(self) -> None:
        replica = self._one_up()
        if replica is not None:
            replica.disk.is_full = True

    def _empty(self) -> None:
        replica = self._one_that(lambda replica: replica.disk.is_full)
        if replica is not None:
            replica.disk.is_full = False

    def _slow(self) -> None:
        replica = self._one_up()
        if replica is not None:
            replica.commit_seconds = (0.0, self._random.choice([0.0, 0.1, 1.0]))

    def _break(self) -> None:
        replica = self._one_up()
        if replica is not None:
            self.simulation.network.disconnect_all(replica.replica_id)

    def _join(self) -> None:
        """Have a newcomer join; where stability is promised, not before those who are there know one another."""
        if self.late and (not self.plan.is_cautious or self._all_are_met()):
            name = self.late.pop(0)
            self._unsettled.add(name)
            self.simulation.join(name)

    def _knows_everybody(self, replica: SimulatedReplica) -> bool:
        """Say whether a replica has durably heard of all others, but of those who were removed."""
        known = replica.disk.known_members | {replica.replica_id} | self.simulation.checks.removed
        return self.simulation.replicas.keys() <= known

    def _all_are_met(self) -> bool:
        removed = self.simulation.checks.removed
        return all(self._knows_everybody(r) for r in self.simulation.replicas.values() if r.replica_id not in removed)

    def _remove(self) -> None:
        """Remove a replica that is down, if somebody knows it; it may come back, and is refused."""
        removed = self.simulation.checks.removed
        gone = self._one_that(lambda replica: not replica.is_up and replica.replica_id not in removed)
        if gone is None or len(self.simulation.replicas) - len(removed) <= 2:
            return
        remover = self._one_that(
            lambda replica: replica.is_up and replica.replica_id not in removed and knows(replica, gone.replica_id)
        )
        if remover is not None:
            self.simulation.remove(remover.replica_id, gone.replica_id)

    _actions: ClassVar[dict[str, Callable[["Troubles"], None]]] = {
        "write": _write,
        "events": _write_events,
        "wait": _wait,
        "ask": _ask,
        "compact": _compact,
        "cut": _cut,
        "one way": _one_way,
        "part": _part,
        "heal": _mend,
        "crash": _crash,
        "start": _start,
        "mark": _mark,
        "restore": _restore,
        "fill": _fill,
        "empty": _empty,
        "slow": _slow,
        "break": _break,
        "join": _join,
        "remove": _remove,
    }


def knows(replica: SimulatedReplica, other: str) -> bool:
    """Say whether a replica counts another one as a member."""
    return any(
        member.replica_id == other and member.state != "removed" for member in replica.running.members(replica.now)
    )
