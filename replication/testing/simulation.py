"""`Simulation`: several replicas, a network and virtual time, checked at every step."""

from collections.abc import Callable, Hashable, Sequence
from itertools import combinations
from random import Random
from typing import Any

from replication.core.agreement import Replicas
from replication.core.messages import Message
from replication.core.replica import ReplicaCore
from replication.core.settings import Settings
from replication.testing.checks import Checks
from replication.testing.disk import Disk
from replication.testing.network import Network, NetworkFaults, Pair
from replication.testing.simulated_replica import SimulatedReplica, Surroundings
from replication.testing.trace import Trace
from replication.testing.values import AppliedOperations, Change, Values
from replication.testing.virtual_time import SkewedClock, VirtualTime

DIAL_SECONDS = (0.2, 2.0)
"""After the least and the most of which a broken connection is dialled again."""


class Simulation:
    """Replicas that speak with one another in virtual time.

    Everything is decided by the seed and the calls: the same ones give the same run, step by step.

    Args:
        seed: where all chance comes from.
        edges: who is connected with whom when both are up.
        title: what a failure says first; by default the seed.
        settings: those of the cores.
        faults: what goes wrong with messages.
        commit_seconds: the least and the most that a commit takes.
        expected: how many replicas each core is told that there are; a newcomer is told of all that were there.
        skew: how far clocks are fast or slow at most, as a part.
        make_values: what operations amount to.
        core_type: the protocol; another one to see it fail.
        disk_type: the disk; another one to see it fail.
        trusts_stability: whether stability is checked.
        is_detailed: whether the trace takes in the bytes of all messages.
        show: what is given each line of the trace, at once; for instance `print`.

    Attributes:
        time: virtual time.
        random: where chance comes from.
        replicas: all replicas, by id.
        network: between them.
        checks: who watch them.
        trace: what has happened.
    """

    def __init__(
        self,
        seed: int,
        edges: Sequence[Pair],
        *,
        title: str = "",
        settings: Settings | None = None,
        faults: NetworkFaults | None = None,
        commit_seconds: tuple[float, float] = (0.0, 0.0),
        expected: int = 1,
        skew: float = 0.0,
        make_values: Callable[[], Values] = AppliedOperations,
        core_type: Callable[..., ReplicaCore] = ReplicaCore,
        disk_type: Callable[[Callable[[], Values]], Disk] = Disk,
        trusts_stability: bool = True,
        is_detailed: bool = False,
        show: Callable[[str], object] | None = None,
    ) -> None:
        settings = settings or Settings()
        faults = faults or NetworkFaults(ordered=settings.ordered)
        self.time = VirtualTime()
        self.random = Random(seed)
        self.trace = Trace(self.time, title or f"seed {seed}", is_detailed=is_detailed, show=show)
        self.checks = Checks(settings, self.trace, trusts_stability=trusts_stability)
        self.network = Network(self.time, self.random, self, faults)
        self.replicas: dict[str, SimulatedReplica] = {}
        self.redials = True
        self._edges: list[Pair] = []
        self._edges_of: dict[str, list[Pair]] = {}
        self._add_edges(edges)
        self._around = Surroundings(self.time, self.random, self.network, self.checks, settings, core_type)
        self._expected = expected
        self._disk_type = disk_type
        self._make_values = make_values
        self._commit_seconds = commit_seconds
        self._skew = skew
        self._stamps = 0
        self._window_bytes = settings.window_bytes + settings.batch_bytes

    # Replicas -----------------------------------------------------------------------------------------------------

    def join(self, replica_id: str) -> SimulatedReplica:
        """Start a new replica, and connect it with its neighbours."""
        clock = SkewedClock()
        if self._skew:
            rate = 1 + self.random.uniform(-self._skew, self._skew)
            clock = SkewedClock(rate, self.random.uniform(0, 1e6))
        disk = self._disk_type(self._make_values)
        expected = max(self._expected, len(self.replicas) + 1 - len(self.checks.removed))
        replica = SimulatedReplica(replica_id, disk, self._around, clock, self._commit_seconds, expected)
        self.replicas[replica_id] = replica
        self.start(replica_id)
        return replica

    def start(self, replica_id: str) -> None:
        """Start a replica that is down."""
        self.replicas[replica_id].start()
        for one, other in self._edges_of.get(replica_id, ()):
            self.dial(one, other)

    def crash(self, replica_id: str) -> None:
        """Stop a replica at once; it keeps what is durable."""
        self.network.disconnect_all(replica_id)
        self.trace.note("crashes", replica_id)
        self.replicas[replica_id].crash()

    def restore(self, replica_id: str, mark: int) -> None:
        """Have the disk of a replica that is down go back in time."""
        replica = self.replicas[replica_id]
        replica.disk.go_back(mark)
        self.checks.went_back(replica)

    def remove(self, remover: str, replica_id: str) -> None:
        """Have a replica removed by another one."""
        self.checks.removed.add(replica_id)
        self.replicas[remover].remove(replica_id)

    @property
    def up(self) -> list[SimulatedReplica]:
        """The replicas that run, in the order in which they joined."""
        return [replica for replica in self.replicas.values() if replica.is_up]

    # Their users --------------------------------------------------------------------------------------------------

    def write(self, replica_id: str, change: Change) -> None:
        """Have operations written."""
        self._stamps += 1
        self.replicas[replica_id].change(change, self._stamps)

    def write_events(self, replica_id: str, size: int) -> None:
        """Have an event of a replicated stream written."""
        self._stamps += 1
        self.replicas[replica_id].write_events(size, self._stamps)

    def wait_for(self, replica_id: str, log_id: str, number: int, replicas: Replicas) -> Hashable:
        """Wait until so many replicas hold an entry; return what `Agreed` will name."""
        self._stamps += 1
        self.replicas[replica_id].wait_for(self._stamps, log_id, number, replicas)
        return self._stamps

    def ask(self, replica_id: str, replicas: Replicas) -> Hashable:
        """Wait until what so many replicas hold now is held here; return what `Agreed` will name."""
        self._stamps += 1
        self.replicas[replica_id].ask(self._stamps, replicas)
        return self._stamps

    # The network --------------------------------------------------------------------------------------------------

    def dial(self, one: str, other: str) -> None:
        """Connect two replicas, and try again as long as it does not succeed."""
        if self.network.is_connected(one, other):
            return
        if not (self._is_up(one) and self._is_up(other)):
            return  # the one that starts dials
        if not self.network.connect(one, other) and self.redials:
            self.time.after(self.random.uniform(*DIAL_SECONDS), self.dial, one, other)

    def dial_all(self) -> None:
        """Connect everybody with their neighbours."""
        for one, other in self._edges:
            self.dial(one, other)

    def connect_all(self, names: Sequence[str]) -> None:
        """Connect each of some replicas with each other, beside the connections that there are."""
        self._add_edges([pair for pair in combinations(names, 2) if pair not in self._edges])
        self.dial_all()

    def connected(self, sender: str, receiver: str) -> None:
        """A connection is there; see `network.Receiver`."""
        replica = self.replicas[receiver]
        if replica.is_up:
            replica.connected(sender)

    def disconnected(self, sender: str, receiver: str) -> None:
        """A connection is gone; see `network.Receiver`."""
        replica = self.replicas[receiver]
        if replica.is_up:
            replica.disconnected(sender)

    def broken(self, one: str, other: str) -> None:
        """A connection is gone at both sides; see `network.Receiver`."""
        if self.redials:
            self.time.after(self.random.uniform(*DIAL_SECONDS), self.dial, one, other)

    def received(self, sender: str, receiver: str, message: Message) -> None:
        """A message arrives; see `network.Receiver`."""
        replica = self.replicas[receiver]
        if replica.is_up:
            self.checks.received(sender, receiver, message)
            replica.received(sender, message)
            self.checks.stepped(replica)

    def _add_edges(self, edges: Sequence[Pair]) -> None:
        self._edges += edges
        for edge in edges:
            for replica_id in edge:
                self._edges_of.setdefault(replica_id, []).append(edge)

    def _is_up(self, replica_id: str) -> bool:
        return replica_id in self.replicas and self.replicas[replica_id].is_up

    # Running ------------------------------------------------------------------------------------------------------

    def run_for(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            SimulationError: a promise was broken.
        """
        self.time.run_until(self.time.now + seconds)
        under_way_max = 2 * self._window_bytes + LARGEST_CHANGE_BYTES  # what was sent before it began again, and after
        if self.network.faults.ordered and self.network.most_under_way > under_way_max:
            self.checks.fail("bounds", f"{self.network.most_under_way} bytes were on their way to one replica")

    def repetitions(self) -> str:
        """Return what took effect twice at some replica; empty: nothing."""
        for replica in self.replicas.values():
            twice = replica.disk.applied_twice()
            if twice:
                return f"{replica.replica_id} has applied {twice} twice"
        return ""

    def losses(self) -> str:
        """Return in what a replica differs from all that was ever written and that it says it holds; empty: in nothing.

        Replicas that lose everything alike agree, too.
        """
        replica = self.up[0]
        written = self.checks.what_was_written(Disk(self._make_values), replica.disk.vector)
        difference = _difference(replica.disk.contents(), written.contents())
        return f"{replica.replica_id} differs from what was written in {difference}" if difference else ""

    def differences(self) -> str:
        """Return in what the replicas that run and were not removed differ; empty: in nothing."""
        replicas = [replica for replica in self.up if replica.replica_id not in self.checks.removed]
        first = replicas[0]
        for other in replicas[1:]:
            if other.disk.vector != first.disk.vector:
                return f"{first.replica_id} holds {first.disk.vector}, {other.replica_id} {other.disk.vector}"
        for other in replicas[1:]:
            difference = _difference(first.disk.contents(), other.disk.contents())
            if difference:
                return f"{first.replica_id} and {other.replica_id} differ in {difference}"
        return ""


LARGEST_CHANGE_BYTES = 4096
"""What a single change of a schedule has at most: it travels even if it does not fit a window."""


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            return f"{key!r}: {one.get(key)!r}, {other.get(key)!r}"
    return ""
