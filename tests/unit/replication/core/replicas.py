"""Cores whose effects are carried out by hand, on a journal in memory; nothing here waits, and nothing is random."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from calliope.errors import CalliopeError
from calliope.stores.memory_log import MemoryLog
from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import EntryKind, Item, LogEntry, Versioned, log_entry
from crdts import VersionVector
from replication.core.effects import (
    Append,
    Effects,
    Install,
    MergeStates,
    Persist,
    Read,
    ReadStaged,
    ReadStates,
    Receive,
    Remember,
    Stage,
    Unstage,
    UseLog,
)
from replication.core.messages import Claim, Digest, Fence, Heard, Introduction, Message, Row, SnapshotChunk
from replication.core.replica import ReplicaCore
from replication.core.settings import Settings
from replication.core.silence import as_bytes

NOTHING = VersionVector()


def vector(**numbers: int) -> VersionVector:
    """What is held of the first log of each replica: `vector(ben=2)` holds ben~1 up to 2."""
    return VersionVector({f"{replica_id}~1": number for replica_id, number in numbers.items()})


def change(size: int = 1) -> Versioned:
    return Versioned("key", "somebody", 1, {}, 0, None, (), {}, (Item("gcounter", 1, b"x" * size),))


def entry(log_id: str, number: int, kind: EntryKind = "operations", size: int = 1) -> LogEntry:
    return log_entry(log_id, number, kind, [change(size)])


def entries(log_id: str, first: int, last: int, size: int = 1) -> tuple[LogEntry, ...]:
    return tuple(entry(log_id, number, size=size) for number in range(first, last + 1))


def digest(
    peer: str,
    held: VersionVector = NOTHING,
    *,
    floor: VersionVector = NOTHING,
    introductions: Sequence[Introduction] = (),
    rosters: tuple[int, int] = (0, 0),
    claims: Sequence[Claim] = (),
    heard: Sequence[Heard] = (),
    fences: Sequence[Fence] = (),
    neighbours: Sequence[str] = (),
    beginning: int = 0,
    asks: bool = False,
    incarnation: int = 1,
) -> Digest:
    own = Row(peer, incarnation, f"{peer}~1", held, "")
    told = tuple(introductions), *rosters, tuple(claims), tuple(heard)
    return Digest(own, floor, *told, tuple(fences), tuple(neighbours), beginning, asks)


@dataclass(frozen=True)
class Told:
    """What somebody tells of another one."""

    replica_id: str
    held: VersionVector = NOTHING
    incarnation: int = 1
    age: float = 0.0


class Replica:
    """A core and its journal. What it does is kept until a test takes it.

    Attributes:
        now: the time.
        waiting: what is to be made durable, while `is_slow`.
        stored: what was made durable.
        sent: messages, with their receivers.
        refused: who was refused, and why.
        announced: what those who wait here are told.
        states: of keys.
        parts: what is staged.
    """

    def __init__(self, replica_id: str = "anna", *, settings: Settings | None = None, **start: object) -> None:
        self.replica_id = replica_id
        self.now = 0.0
        self.log = MemoryLog()
        self.states: dict[str, StoredState] = {}
        self.parts: dict[int, SnapshotChunk] = {}
        self.facts: dict[str, bytes] = {}
        self.is_slow = False
        self.starts = 0
        self._settings = settings
        self.start(**start)

    def start(self, **start: object) -> None:
        """Start, again perhaps, from what the journal holds."""
        self.starts += 1
        self.waiting: list[Persist] = []
        self.stored: list[Persist] = []
        self.sent: list[tuple[str, Message]] = []
        self.refused: list[tuple[str, str]] = []
        self.announced: list[object] = []
        state = self.log.state
        log_id, fresh = state.log_id, f"{self.replica_id}~{self.starts}"
        place = {"vector": state.vector, "floor": state.floor, "head": state.position, "facts": dict(self.facts)}
        told = {"random": Random(1), "now": self.now, "settings": self._settings}
        self.core = ReplicaCore(self.replica_id, log_id=log_id, fresh_log_id=fresh, **{**place, **told, **start})
        self.do(self.core.start(self.now))

    # What a test does ---------------------------------------------------------------------------------------------

    def hear(self, peer: str, *messages: Message) -> "Replica":
        """Receive messages."""
        for message in messages:
            self.do(self.core.receive(self.now, peer, message))
        return self

    def hear_of(self, peer: str, *others: Told, **more: object) -> "Replica":
        """Receive a digest of a peer, whose roster is ours when others are introduced, and what it tells of them."""
        introductions = [Introduction(told.replica_id, told.incarnation, "") for told in others]
        self.hear(peer, digest(peer, introductions=introductions, **more))
        claims = [Claim(told.held, self.bits(told.replica_id)) for told in others if told.held]
        heard = [Heard(told.age, self.bits(told.replica_id)) for told in others if told.incarnation]
        return self.hear(peer, digest(peer, rosters=self.rosters, claims=claims, heard=heard, **more))

    @property
    def rosters(self) -> tuple[int, int]:
        """The fingerprints of our roster, and of all incarnations in it."""
        members = self.core._parts.members
        return members.fingerprint, members.incarnations

    def bits(self, *replica_ids: str) -> bytes:
        """Return the bits of some replicas in our roster."""
        return as_bytes(self.core._parts.members.bits(replica_ids))

    def named(self, members: bytes) -> list[str]:
        """Return the replicas that have some bits in our roster."""
        return self.core.named(self.rosters[0], int.from_bytes(members, "little"))

    def meet(self, peer: str, held: VersionVector = NOTHING, **more: object) -> "Replica":
        """Be connected with a peer who says what it holds; forget what was sent to greet it."""
        self.do(self.core.connected(self.now, peer))
        self.hear(peer, digest(peer, held, **more))
        self.take_sent()
        return self

    def write(self, count: int = 1, size: int = 1) -> "Replica":
        for _ in range(count):
            self.do(self.core.submit(self.now, [change(size)]))
        return self

    def write_event(self) -> "Replica":
        """Write what a handle of a replicated stream does, beside the core."""
        number = self.log.state.vector[self.log.state.log_id] + 1
        self._add([entry(self.log.state.log_id, number, "events")])
        return self

    def wait(self, seconds: float) -> "Replica":
        """Let time pass, round by round."""
        until = self.now + seconds
        while self.core.next_tick <= until:
            self.now = self.core.next_tick
            self.do(self.core.tick(self.now))
        self.now = until
        return self

    def compact(self, through: int) -> "Replica":
        """Forget operations up to a log position; states contain them."""
        self.log.forget_operations(through)
        self.core.compacted(self.log.state.floor)
        return self

    # What became of it --------------------------------------------------------------------------------------------

    def take_sent(self, kind: type | None = None) -> list[tuple[str, Message]]:
        """Return what was sent, and forget it."""
        sent, self.sent = self.sent, []
        return [(peer, message) for peer, message in sent if kind is None or type(message) is kind]

    def messages(self, kind: type, peer: str | None = None) -> list:
        """Return what was sent of a kind, and forget everything that was sent."""
        return [message for receiver, message in self.take_sent(kind) if peer in (None, receiver)]

    @property
    def held(self) -> VersionVector:
        return self.core.vector

    # Effects ------------------------------------------------------------------------------------------------------

    def do(self, effects: Effects) -> None:
        self.waiting += effects.persist
        if not self.is_slow:
            self.store()
        self.sent += [(send.peer, send.message) for send in effects.send]
        for read in effects.read:
            self._read(read)
        self.refused += [(refusal.peer, refusal.reason) for refusal in effects.refuse]
        self.announced += effects.announce

    def store(self) -> None:
        """Make everything durable that waits for it."""
        while self.waiting:
            persist = self.waiting.pop(0)
            try:
                done = self._persist(persist)
            except CalliopeError:
                done = self.core.failed(self.now, persist)
            if done is not None:
                self.do(done)

    def store_until(self, kind: type) -> None:
        """Make durable what waits, up to the first of a kind."""
        while self.waiting and not isinstance(self.waiting[0], kind):
            done = self._persist(self.waiting.pop(0))
            if done is not None:
                self.do(done)

    def stored_while(self, doing: Callable[[], None]) -> list[Persist]:
        """Return what is made durable while something is done."""
        self.stored.clear()
        doing()
        return list(self.stored)

    def fail(self) -> None:
        """Have the disk fail with everything that waits for it."""
        failed, self.waiting = self.waiting, []
        for persist in failed:
            self.do(self.core.failed(self.now, persist))

    def _persist(self, persist: Persist) -> Effects | None:
        self.stored.append(persist)
        if isinstance(persist, UseLog):
            self.log.state = self.log.state.using(persist.log_id)
        elif isinstance(persist, Append):
            log_id = self.log.state.log_id
            self._add([log_entry(log_id, self.log.state.vector[log_id] + 1, "operations", persist.changes)])
        elif isinstance(persist, Receive):
            self._add(self.log.new_among(persist.entries, persist.snapshot or NOTHING))
            return self.core.stored(self.now, persist)
        elif isinstance(persist, Stage):
            self.parts[persist.number] = persist.chunk
            return self.core.staged(self.now, persist)
        elif isinstance(persist, Unstage):
            self.parts.clear()
        elif isinstance(persist, MergeStates):
            self.states.update({state.key: state for state in persist.states})
            return self.core.merged(self.now, persist)
        elif isinstance(persist, Install):
            self.log.install(persist.vector)
            return self.core.installed(self.now, persist)
        elif isinstance(persist, Remember):
            self._remember(persist)
        return None

    def _remember(self, remember: Remember) -> None:
        if remember.fact is None:
            self.facts.pop(remember.name, None)
        else:
            self.facts[remember.name] = remember.fact

    def _add(self, added: Sequence[LogEntry]) -> None:
        head = self.log.state.position
        self.log.add(added)
        self.do(self.core.persisted(self.now, list(enumerate(added, head + 1))))

    def _read(self, read: Read | ReadStates | ReadStaged) -> None:
        if isinstance(read, Read):
            self.do(self.core.loaded(self.now, read, self.log.page(read.have, read.after, read.bytes_max)))
            return
        if isinstance(read, ReadStaged):
            self.do(self.core.part_loaded(self.now, self.parts.get(read.number)))
            return
        keys = sorted(key for key in self.states if key > read.after_key)[:2]
        states = [self.states[key] for key in keys]
        after_key, complete = (keys[-1], False) if keys else (read.after_key, True)
        held = self.log.state.vector
        self.do(self.core.states_loaded(self.now, read, states, after_key, held, complete=complete))


def connect(one: Replica, other: Replica) -> None:
    """Connect two replicas."""
    one.do(one.core.connected(one.now, other.replica_id))
    other.do(other.core.connected(other.now, one.replica_id))


def disconnect(one: Replica, other: Replica) -> None:
    """End the connection; what was under way is lost."""
    for replica, peer in ((one, other), (other, one)):
        replica.sent = [(receiver, message) for receiver, message in replica.sent if receiver != peer.replica_id]
        replica.do(replica.core.disconnected(replica.now, peer.replica_id))


def converse(*replicas: Replica, steps: int = 10_000) -> None:
    """Deliver what was sent, in order, until nobody says anything more.

    Args:
        replicas: between whom.
        steps: how many messages at most.
    """
    by_id = {replica.replica_id: replica for replica in replicas}
    while steps > 0:
        speaker = next((replica for replica in replicas if replica.sent), None)
        if speaker is None:
            return
        receiver, message = speaker.sent.pop(0)
        if receiver in by_id:
            by_id[receiver].hear(speaker.replica_id, message)
            steps -= 1
