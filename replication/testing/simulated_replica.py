"""One simulated replica: a core, a disk, a clock, and the shell between them.

It carries effects out in the order in which `replication.engine` does: persist, then send, then read, then refuse and
announce; what later effects send does not overtake what waits for the disk. A crash leaves the disk.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from random import Random

from calliope.errors import ForkedLogError, LogGapError, StorageFullError
from calliope.stores.versioned import Item, Versioned
from crdts import MalformedOperationError
from replication.core.agreement import Replicas
from replication.core.effects import (
    Agreed,
    Effects,
    Install,
    MergeStates,
    Persist,
    Read,
    ReadStaged,
    ReadStates,
    Receive,
    Stable,
    Stage,
)
from replication.core.messages import Message
from replication.core.replica import ReplicaCore
from replication.core.settings import Settings
from replication.testing.checks import Checks
from replication.testing.disk import Commit, Disk, Forget, WriteEvents
from replication.testing.network import Network
from replication.testing.values import Change
from replication.testing.virtual_time import SkewedClock, VirtualTime

RETRY_SECONDS = 1.0
"""How long the shell waits after the disk has failed."""

Then = Callable[[Exception | None], None]


@dataclass(slots=True)
class Surroundings:
    """What all simulated replicas share."""

    time: VirtualTime
    random: Random
    network: Network
    checks: Checks
    settings: Settings
    core_type: Callable[..., ReplicaCore]


class SimulatedReplica:
    """A replica that can be started, written to, and crashed.

    Args:
        replica_id: who it is.
        disk: its disk, which outlives it.
        surroundings: everything else.
        clock: its clock.
        commit_seconds: the least and the most that a commit takes.
        expected: how many replicas its core is told that there are.

    Attributes:
        core: the protocol; None while it is down.
        receiving_bytes: how much of what peers sent waits for the disk.
        waiting: the tokens of all that somebody waits for here, and has not got yet.
    """

    def __init__(
        self,
        replica_id: str,
        disk: Disk,
        surroundings: Surroundings,
        clock: SkewedClock,
        commit_seconds: tuple[float, float],
        expected: int,
    ) -> None:
        self.replica_id = replica_id
        self.disk = disk
        self.clock = clock
        self.core: ReplicaCore | None = None
        self.commit_seconds = commit_seconds
        self.waiting: set[Hashable] = set()
        self._around = surroundings
        self._expected = expected
        self._starts = 0
        self._work: deque[Effects] = deque()
        self._is_working = False
        self._sends_waiting = 0
        self._lane: deque[Commit] = deque()
        self._lane_free_at = 0.0
        self.receiving_bytes = 0

    # Life ---------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The time by its own clock."""
        return self.clock.read(self._around.time.now)

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self.core is not None

    @property
    def running(self) -> ReplicaCore:
        """The core.

        Raises:
            ValueError: it is down.
        """
        if self.core is None:
            raise ValueError(f"{self.replica_id} is down")
        return self.core

    def start(self) -> None:
        """Start from what the disk holds."""
        around, disk = self._around, self.disk
        self._starts += 1
        around.checks.starts(self)
        core = self.core = around.core_type(
            self.replica_id,
            log_id=disk.log_id,
            fresh_log_id=f"{self.replica_id}~{around.checks.fresh_number():x}",
            vector=disk.vector,
            floor=disk.floor,
            head=disk.head,
            facts=dict(disk.facts),
            random=around.random,
            now=self.now,
            settings=around.settings,
            expected=self._expected,
        )
        for persist in core.start(self.now).persist:
            disk.commit(persist)
        self._tick_later(core)

    def crash(self) -> None:
        """Stop at once; a commit that was under way is durable or not, as chance will have it."""
        self.core = None
        if self._lane and self._around.random.random() < 0.5:
            self._commit_before_crash(self._lane[0])
        self._lane.clear()
        self._lane_free_at = 0.0
        self._work.clear()
        self._is_working = False
        self._sends_waiting = 0
        self.receiving_bytes = 0
        self.waiting.clear()
        self.disk.crash()

    def _commit_before_crash(self, commit: Commit) -> None:
        before = self.disk.vector
        with suppress(*_FAILURES):
            self._around.checks.committed(self, commit, before, self.disk.commit(commit))

    # What its users do --------------------------------------------------------------------------------------------

    def change(self, change: Change, stamp: int) -> None:
        """Write operations."""
        versioned = self.disk.values.prepare(change, self.disk.log_id, stamp)
        self.do(self.running.submit(self.now, (versioned,), stamp))

    def write_events(self, size: int, stamp: int) -> None:
        """Write an event of a replicated stream, beside the core."""
        item = Item("Event", 1, b"x" * size)
        versioned = Versioned("stream", self.replica_id, stamp, {}, stamp, None, (), {}, (item,))
        self._commit_later(WriteEvents((versioned,)), lambda _: None)

    def wait_for(self, token: Hashable, log_id: str, number: int, replicas: Replicas) -> None:
        """Wait until so many replicas hold an entry."""
        self.waiting.add(token)
        self._around.checks.waits(self, token, log_id, number, replicas)
        self.do(self.running.wait_for(self.now, token, log_id, number, replicas))

    def ask(self, token: Hashable, replicas: Replicas) -> None:
        """Wait until what so many replicas hold is held here."""
        self.waiting.add(token)
        self._around.checks.asks(self, token, replicas)
        self.do(self.running.ask(self.now, token, replicas))

    def remove(self, replica_id: str) -> None:
        """Remove another replica from the cluster."""
        self.do(self.running.remove(self.now, replica_id))

    def compact(self) -> None:
        """Forget operations that are stable and in the states."""
        through = self.disk.forgettable(self.running.stable)
        if through and not self.disk.is_full:
            self.disk.commit(Forget(through))
            self.running.compacted(self.disk.floor)

    # What happens to it -------------------------------------------------------------------------------------------

    def connected(self, peer: str) -> None:
        """A connection is there."""
        self.do(self.running.connected(self.now, peer))

    def disconnected(self, peer: str) -> None:
        """A connection is gone, and with it what waits to be sent over it."""
        for effects in self._work:
            if effects.send:
                effects.send[:] = [send for send in effects.send if send.peer != peer]
                self._sends_waiting -= not effects.send
        self.do(self.running.disconnected(self.now, peer))

    def received(self, peer: str, message: Message) -> None:
        """A message has come."""
        effects = self.running.receive(self.now, peer, message)
        for persist in effects.persist:
            if isinstance(persist, Receive):
                self._around.checks.taken(self, persist.entries)
        self.do(effects)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for the disk."""
        return not self._work and not self._lane

    def _tick_later(self, core: ReplicaCore) -> None:
        seconds = self.clock.true_seconds(core.next_tick - self.now)
        self._around.time.after(max(seconds, 1e-6), self._tick, core)

    def _tick(self, core: ReplicaCore) -> None:
        if core is self.core:
            self.do(core.tick(self.now))
            self._tick_later(core)
            self._around.checks.stepped(self)

    # Effects ------------------------------------------------------------------------------------------------------

    def do(self, effects: Effects) -> None:
        """Carry effects out, after those that wait for the disk, if these must not overtake them."""
        if effects.persist or (self._sends_waiting and effects.send):
            self._sends_waiting += bool(effects.send)
            self.receiving_bytes += sum(map(_byte_count, effects.persist))
            self._work.append(effects)
            self._work_on()
        else:
            self._do_the_rest(effects)

    def _work_on(self) -> None:
        if self._work and not self._is_working:
            self._is_working = True
            self._persist(self._work[0], 0)

    def _persist(self, effects: Effects, place: int) -> None:
        if place == len(effects.persist):
            self._work.popleft()
            self._sends_waiting -= bool(effects.send)
            self._is_working = False
            self._do_the_rest(effects)
            self._work_on()
            return
        persist = effects.persist[place]

        def then(error: Exception | None) -> None:
            if error is None:
                self._persisted(persist)
            elif self._failed(persist, error):
                self._around.time.after(RETRY_SECONDS, self._persist_later, self._starts, effects, place + 1)
                return
            self._persist(effects, place + 1)

        self._commit_later(persist, then)

    def _persist_later(self, start: int, effects: Effects, place: int) -> None:
        if start == self._starts and self.is_up:
            self._persist(effects, place)

    def _persisted(self, persist: Persist) -> None:
        core = self.running
        self.receiving_bytes -= _byte_count(persist)
        if isinstance(persist, Receive):
            self.do(core.stored(self.now, persist))
        elif isinstance(persist, Stage):
            self.do(core.staged(self.now, persist))
        elif isinstance(persist, MergeStates):
            self.do(core.merged(self.now, persist))
        elif isinstance(persist, Install):
            self._around.checks.installed(self)
            self.do(core.installed(self.now, persist))

    def _failed(self, persist: Persist, error: Exception) -> bool:
        """Tell the core what could not be stored; say whether to wait before anything else is stored.

        What was received later may build on what has failed, so it fails as well.
        """
        if isinstance(persist, Receive):
            for effects in islice(self._work, 1, None):
                lost = [later for later in effects.persist if isinstance(later, Receive)]
                effects.persist[:] = [kept for kept in effects.persist if not isinstance(kept, Receive)]
                for later in lost:
                    self._fail(later)
        self._fail(persist)
        if isinstance(persist, (Receive, Stage)) and not isinstance(error, StorageFullError):
            self._around.checks.refused(self, persist.peer, str(error))
            self._around.network.disconnect(self.replica_id, persist.peer)
        return isinstance(persist, (Receive, Stage, MergeStates)) and isinstance(error, StorageFullError)

    def _fail(self, persist: Persist) -> None:
        self.receiving_bytes -= _byte_count(persist)
        self.do(self.running.failed(self.now, persist))

    def _commit_later(self, commit: Commit, then: Then) -> None:
        around = self._around
        least, most = self.commit_seconds
        seconds = least + (most - least) * around.random.random() if most else 0.0
        self._lane_free_at = max(self._lane_free_at, around.time.now) + seconds
        self._lane.append(commit)
        around.time.after(self._lane_free_at - around.time.now, self._commit, self._starts, commit, then)

    def _commit(self, start: int, commit: Commit, then: Then) -> None:
        if start != self._starts or not self.is_up:
            return
        self._lane.popleft()
        before = self.disk.vector
        try:
            entries = self.disk.commit(commit)
        except _FAILURES as error:
            then(error)
        else:
            if entries:
                self._around.checks.committed(self, commit, before, entries)
                self.do(self.running.persisted(self.now, entries))
            then(None)
        self._around.checks.stepped(self)

    def _do_the_rest(self, effects: Effects) -> None:
        around = self._around
        for send in effects.send:
            around.checks.sent(self, send.peer, send.message)
            around.network.send(self.replica_id, send.peer, send.message)
        for read in effects.read:
            if around.random.random() < 0.5:
                self._read(self._starts, read)
            else:
                around.time.after(self.commit_seconds[1] * around.random.random(), self._read, self._starts, read)
        for refusal in effects.refuse:
            around.checks.refused(self, refusal.peer, refusal.reason)
            around.network.disconnect(self.replica_id, refusal.peer)
        self._announce(effects.announce)

    def _announce(self, announcements: Sequence[object]) -> None:
        for announcement in announcements:
            if isinstance(announcement, Agreed):
                self.waiting.discard(announcement.token)
                self._around.checks.agreed(self, announcement.token)
            elif isinstance(announcement, Stable):
                self._around.checks.stable(self, announcement.vector)

    def _read(self, start: int, read: Read | ReadStates | ReadStaged) -> None:
        if start != self._starts or not self.is_up:
            return
        if isinstance(read, Read):
            self.do(self.running.loaded(self.now, read, self.disk.page(read)))
        elif isinstance(read, ReadStaged):
            self.do(self.running.part_loaded(self.now, self.disk.parts.get(read.number)))
        else:
            page, held = self.disk.values.page(read.after_key), self.disk.vector
            loaded = self.running.states_loaded
            self.do(loaded(self.now, read, page.states, page.after_key, held, complete=page.complete))


def _byte_count(persist: Persist) -> int:
    return sum([len(entry.body) for entry in persist.entries]) if isinstance(persist, Receive) else 0


_FAILURES = (StorageFullError, LogGapError, ForkedLogError, MalformedOperationError)
