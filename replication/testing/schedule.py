"""Random schedules: what goes wrong is drawn from a seed, and all is checked; then it heals, and must converge."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from replication.core.replica import ReplicaCore
from replication.testing.disk import Disk
from replication.testing.network import NetworkFaults, topology
from replication.testing.plan import Plan, draw
from replication.testing.simulation import Simulation
from replication.testing.troubles import Troubles, knows
from replication.testing.values import AppliedOperations, CrdtValues, Values

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
        draw_plan: how it decides how often what goes wrong.
        core_type: the protocol; another one to see it fail.
        disk_type: the disk; another one to see it fail.
        is_detailed: whether the trace takes in the bytes of all messages.
        show: what is given each line of the trace, at once; for instance `print`.
    """

    def __init__(
        self,
        seed: int,
        *,
        draw_plan: Callable[[int], Plan] = draw,
        core_type: Callable[..., ReplicaCore] = ReplicaCore,
        disk_type: Callable[[Callable[[], Values]], Disk] = Disk,
        is_detailed: bool = False,
        show: Callable[[str], object] | None = None,
    ) -> None:
        self.seed = seed
        self.plan = plan = draw_plan(seed)
        random = Random(f"schedule {seed}")
        self.simulation = Simulation(
            seed,
            topology(plan.shape, plan.names, random),
            title=f"schedule {seed}" if draw_plan is draw else f"schedule {seed} by {draw_plan.__name__}",
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
        self._troubles = Troubles(self.simulation, plan, random)

    def run(self) -> Report:
        """Let things go wrong, heal, and converge.

        Raises:
            SimulationError: a promise was broken; the message names the seed.
        """
        simulation, plan = self.simulation, self.plan
        for name in plan.names[: len(plan.names) - plan.late]:
            simulation.join(name)
        while simulation.time.now < plan.seconds:
            self._troubles.happen()
        self._heal()
        rounds = self._converge()
        if self._troubles.late:
            while self._troubles.late:
                simulation.join(self._troubles.late.pop(0))
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
                if remover.replica_id not in simulation.checks.removed and knows(remover, gone):
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
        if self._troubles.late or self.simulation.checks.has_gone_back:
            return ""
        for replica in self.simulation.up:
            if replica.waiting and replica.replica_id not in self.simulation.checks.removed:
                return f"{replica.replica_id} still waits for {sorted(map(str, replica.waiting))}"
        return ""
