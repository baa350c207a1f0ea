"""`Scenario`: a script of what happens to some replicas, checked at every step, to be read aloud."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from replication.core.agreement import Replicas
from replication.core.replica import ReplicaCore
from replication.core.settings import Settings
from replication.testing.disk import Disk
from replication.testing.network import NetworkFaults, topology
from replication.testing.simulated_replica import SimulatedReplica
from replication.testing.simulation import Simulation
from replication.testing.values import Change, CrdtValues, Values
from replication.testing.virtual_time import SkewedClock

CONVERGED_WITHIN_ROUNDS = 60
"""Within so many gossip rounds replicas that can reach one another are equal, in `converge`."""


class Scenario:
    """Replicas that do what a script says, in virtual time. Each step is checked as in a random schedule.

    Keys hold an `ORSet`, by `add` and `take_out`, or a `GCounter`, by `count`.

    Args:
        replicas: who is there at the beginning.
        newcomers: who may `join` later.
        shape: who is connected with whom, replicas and newcomers in this order: "mesh", "ring", "line", "star".
        seed: where delays and the choices of the protocol come from.
        settings: those of the cores.
        faults: what goes wrong with messages.
        clock_rates: how fast whose clock runs, where it is not as fast as it should be.
        core_type: the protocol; another one to see it fail.
        disk_type: the disk; another one to see it fail.

    Attributes:
        simulation: what runs beneath.
    """

    def __init__(
        self,
        *replicas: str,
        newcomers: Sequence[str] = (),
        shape: str = "mesh",
        seed: int = 1,
        settings: Settings | None = None,
        faults: NetworkFaults | None = None,
        clock_rates: dict[str, float] | None = None,
        core_type: Callable[..., ReplicaCore] = ReplicaCore,
        disk_type: Callable[[Callable[[], Values]], Disk] = Disk,
    ) -> None:
        self._settings = settings or Settings()
        self.simulation = simulation = Simulation(
            seed,
            topology(shape, [*replicas, *newcomers]),
            title=f"scenario with seed {seed}",
            settings=self._settings,
            faults=faults,
            expected=len(replicas),
            make_values=CrdtValues,
            core_type=core_type,
            disk_type=disk_type,
        )
        for name in replicas:
            simulation.join(name)
        for name, rate in (clock_rates or {}).items():
            simulation.replicas[name].clock = SkewedClock(rate)

    # Time ---------------------------------------------------------------------------------------------------------

    def run_for(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            SimulationError: a promise was broken.
        """
        self.simulation.run_for(seconds)

    def converge(self) -> int:
        """Let time pass until all replicas that run hold the same, and return how many gossip rounds it took.

        Raises:
            SimulationError: a promise was broken, or they are not equal after 60 rounds.
        """
        simulation = self.simulation
        rounds = 0
        while not rounds or not all(replica.is_idle for replica in simulation.up) or simulation.differences():
            if rounds == CONVERGED_WITHIN_ROUNDS:
                simulation.checks.fail("convergence", f"{rounds} rounds later {simulation.differences()}")
            simulation.run_for(self._settings.gossip_interval_seconds)
            rounds += 1
        return rounds

    # What users do ------------------------------------------------------------------------------------------------

    def add(self, replica_id: str, key: str, element: str) -> None:
        """Add an element to a set; it is durable there when this returns, if the disk has room."""
        self._write(replica_id, Change(key, "add", element))

    def take_out(self, replica_id: str, key: str, element: str) -> None:
        """Remove an element from a set."""
        self._write(replica_id, Change(key, "remove", element))

    def count(self, replica_id: str, key: str, amount: int = 1) -> None:
        """Count up."""
        self._write(replica_id, Change(key, "increment", amount))

    def record_event(self, replica_id: str, size: int = 1) -> None:
        """Write an event of a replicated stream."""
        self.simulation.write_events(replica_id, size)
        self.run_for(0)

    def value(self, replica_id: str, key: str) -> Any:
        """Return a value as it is durable at a replica, up or down; None: there is none."""
        return self._replica(replica_id).disk.contents().get(key)

    def event_count(self, replica_id: str) -> int:
        """Return how many events a replica holds."""
        return sum(self._replica(replica_id).disk.events.values())

    def wait_for_last(self, replica_id: str, replicas: Replicas) -> Hashable:
        """Wait until so many replicas hold what was written last at one; return what `is_over` wants to know."""
        disk = self._replica(replica_id).disk
        return self.simulation.wait_for(replica_id, disk.log_id, disk.vector[disk.log_id], replicas)

    def ask(self, replica_id: str, replicas: Replicas) -> Hashable:
        """Wait until one holds what so many replicas hold now; return what `is_over` wants to know."""
        return self.simulation.ask(replica_id, replicas)

    def is_over(self, replica_id: str, token: Hashable) -> bool:
        """Say whether what was waited for has come."""
        return token not in self._replica(replica_id).waiting

    # The network --------------------------------------------------------------------------------------------------

    def cut(self, one: str, other: str) -> None:
        """Let nothing pass between two replicas."""
        self.block(one, other)
        self.block(other, one)

    def block(self, sender: str, receiver: str) -> None:
        """Let nothing pass in one direction."""
        self.simulation.network.block(sender, receiver)

    def part(self, *groups: Sequence[str]) -> None:
        """Let nothing pass between groups of replicas."""
        for place, group in enumerate(groups):
            for one in group:
                for other in [name for later in groups[place + 1 :] for name in later]:
                    self.cut(one, other)

    def heal(self) -> None:
        """Let everything pass."""
        self.simulation.network.heal()

    def are_connected(self, one: str, other: str) -> bool:
        """Say whether two replicas have a connection."""
        return self.simulation.network.is_connected(one, other)

    # Machines -----------------------------------------------------------------------------------------------------

    def join(self, newcomer: str) -> None:
        """Start a newcomer."""
        self.simulation.join(newcomer)

    def crash(self, replica_id: str) -> None:
        """Stop a replica at once; it keeps what is durable."""
        self.simulation.crash(replica_id)

    def start(self, replica_id: str) -> None:
        """Start a replica that is down."""
        self.simulation.start(replica_id)

    def remove(self, remover: str, replica_id: str) -> None:
        """Remove a replica from the cluster, at another one."""
        self.simulation.remove(remover, replica_id)

    def compact(self, replica_id: str) -> None:
        """Have a replica forget the operations that are stable and in its states."""
        self._replica(replica_id).compact()

    def member_states(self, replica_id: str) -> dict[str, str]:
        """Return what a replica thinks of whom."""
        replica = self._replica(replica_id)
        return {member.replica_id: member.state for member in replica.running.members(replica.now)}

    # Disks --------------------------------------------------------------------------------------------------------

    def back_up(self, replica_id: str) -> int:
        """Make a backup of a disk; return its name, for `restore`."""
        return self._replica(replica_id).disk.mark()

    def restore(self, replica_id: str, backup: int) -> None:
        """Put a backup in the place of the disk of a replica that is down.

        It may write at once what has not seen what others took for stable, so this is not checked any more.
        """
        self.simulation.checks.trusts_stability = False
        self.simulation.restore(replica_id, backup)

    def lose_journal(self, replica_id: str) -> None:
        """Put an empty disk in the place of that of a replica that is down; see `restore`."""
        self.restore(replica_id, 0)

    def fill_disk(self, replica_id: str) -> None:
        """Have a disk refuse to store more."""
        self._replica(replica_id).disk.is_full = True

    def empty_disk(self, replica_id: str) -> None:
        """Have a disk store again."""
        self._replica(replica_id).disk.is_full = False

    def slow_disk(self, replica_id: str, seconds: float) -> None:
        """Have each commit of a disk take so long."""
        self._replica(replica_id).commit_seconds = (seconds, seconds)

    def _write(self, replica_id: str, change: Change) -> None:
        self.simulation.write(replica_id, change)
        self.run_for(0)

    def _replica(self, replica_id: str) -> SimulatedReplica:
        return self.simulation.replicas[replica_id]
