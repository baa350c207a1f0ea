"""Random schedules: what goes wrong is drawn from a seed, and all is checked; then it heals, and must converge."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Literal

from replication.core.replica import ReplicaCore
from replication.testing.disk import Disk
from replication.testing.network import NetworkFaults, topology
from replication.testing.plan import draw
from replication.testing.simulated_replica import SimulatedReplica
from replication.testing.simulation import Simulation
from replication.testing.values import AppliedOperations, Change, CrdtValues, Values

ROUNDS_MAX = 60
"""Within so many gossip rounds after everything has healed, all replicas are equal; and with two more for each entry:
where a seed draws the smallest windows and queues, an entry a round is all that passes."""

QUIET_ROUNDS = 4
"""So many rounds they are watched when they are equal already."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a schedule went.

    Attributes:
        seed: its seed.
        trace_hash: equal for equal runs.
        seconds: how long it took in virtual time.
        steps: how many things happened.
        entries: how many log entries were written.
        agreements: how often somebody got the quorum that he waited for.
        rounds: after how many gossip rounds all were equal.
    """

    seed: int
    trace_hash: str
    seconds: float
    steps: int
    entries: int
    agreements: int
    rounds: int


class Schedule:
    """One random run: a phase in which things go wrong, then healing.

    Args:
        seed: decides everything.
        core_type: the protocol; another one to see it fail.
        disk_type: the disk; another one to see it fail.
        is_detailed: whether the trace takes in the bytes of all messages.
        show: what is given each line of the trace, at once; for instance `print`.
    """

    def __init__(
        self,
        seed: int,
        *,
        core_type: Callable[..., ReplicaCore] = ReplicaCore,
        disk_type: Callable[[Callable[[], Values]], Disk] = Disk,
        is_detailed: bool = False,
        show: Callable[[str], object] | None = None,
    ) -> None:
        self.seed = seed
        self.plan = plan = draw(seed)
        self._random = Random(f"schedule {seed}")
        self.simulation = Simulation(
            seed,
            topology(plan.shape, plan.names, self._random),
            title=f"schedule {seed}",
            settings=plan.settings,
            faults=plan.faults,
            commit_seconds=plan.commit_seconds,
            expected=len(plan.names) - plan.late,
            skew=plan.skew,
            make_values=CrdtValues if plan.has_crdts else AppliedOperations,
            core_type=core_type,
            disk_type=disk_type,
            trusts_stability=plan.is_cautious,
            is_detailed=is_detailed,
            show=show,
        )
        self._late = plan.names[len(plan.names) - plan.late :]
        self._marks: dict[str, int] = {}
        self._unsettled: set[str] = set()

    def run(self) -> Report:
        """Let things go wrong, heal, and converge.

        Raises:
            SimulationError: a promise was broken; the message names the seed.
        """
        simulation, plan = self.simulation, self.plan
        for name in plan.names[: len(plan.names) - plan.late]:
            simulation.join(name)
        actions, weights = list(plan.weights), list(plan.weights.values())
        while simulation.time.now < plan.seconds:
            simulation.run_for(self._random.expovariate(1 / plan.pause_seconds))
            action = self._random.choices(actions, weights)[0]
            self._actions[action](self)
        self._heal()
        rounds = self._converge()
        if self._late:
            while self._late:
                simulation.join(self._late.pop(0))
            rounds += self._converge()
        return Report(
            self.seed,
            simulation.trace.hash,
            simulation.time.now,
            simulation.time.steps,
            simulation.checks.everything_ever_written(),
            simulation.checks.agreements,
            rounds,
        )

    def _heal(self) -> None:
        simulation, faults = self.simulation, self.simulation.network.faults
        simulation.network.faults = NetworkFaults(faults.delay_seconds, ordered=faults.ordered)
        simulation.network.heal()
        for replica in simulation.replicas.values():
            replica.disk.is_full = False
            replica.commit_seconds = self.plan.commit_seconds
            if not replica.is_up and replica.replica_id not in simulation.checks.removed:
                simulation.start(replica.replica_id)
        for gone in sorted(simulation.checks.removed):  # who removed it may have crashed before that was durable
            for remover in simulation.up:
                if remover.replica_id not in simulation.checks.removed and _knows(remover, gone):
                    simulation.remove(remover.replica_id, gone)
        if simulation.checks.removed:  # perhaps somebody was reached only through a removed one
            simulation.connect_all([name for name in self.plan.names if name not in simulation.checks.removed])

    def _converge(self) -> int:
        simulation = self.simulation
        interval = self.plan.settings.gossip_interval_seconds
        rounds_max = ROUNDS_MAX + 2 * simulation.checks.everything_ever_written()
        for rounds in range(1, rounds_max + 1):  # noqa: B007 - told below
            simulation.run_for(interval)
            if self._is_over() and not simulation.differences():
                simulation.run_for(interval * QUIET_ROUNDS)
                break
        repetition = simulation.repetitions()
        if repetition:
            simulation.checks.fail("exactly once", repetition)
        problem = simulation.differences() or self._unanswered() or simulation.losses()
        if problem:
            simulation.checks.fail("convergence", f"{rounds} rounds after everything has healed, {problem}")
        return rounds

    def _is_over(self) -> bool:
        return all(replica.is_idle for replica in self.simulation.up) and not self._unanswered()

    def _unanswered(self) -> str:
        """Say who waits in vain. What was lost with a disk that went back may be, and newcomers still to come."""
        if self._late or self.simulation.checks.has_gone_back:
            return ""
        for replica in self.simulation.up:
            if replica.waiting and replica.replica_id not in self.simulation.checks.removed:
                return f"{replica.replica_id} still waits for {sorted(map(str, replica.waiting))}"
        return ""

    # What can happen ----------------------------------------------------------------------------------------------

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
        if replica is not None and not self._late:
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
        if self._late and (not self.plan.is_cautious or self._all_are_met()):
            name = self._late.pop(0)
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
            lambda replica: replica.is_up and replica.replica_id not in removed and _knows(replica, gone.replica_id)
        )
        if remover is not None:
            self.simulation.remove(remover.replica_id, gone.replica_id)

    _actions: ClassVar[dict[str, Callable[["Schedule"], None]]] = {
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


def _knows(replica: SimulatedReplica, other: str) -> bool:
    return any(
        member.replica_id == other and member.state != "removed" for member in replica.running.members(replica.now)
    )
