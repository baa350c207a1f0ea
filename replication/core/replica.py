"""One replica's part in the protocol: inputs in, one value of ordered work out.

Theory of operation
===================

Each journal holds *logs*: its own and, as they arrive, everybody else's. A log's entries are numbered 1, 2, 3 …, so a
vector {log id: number} says all that a journal holds. Replication is the exchange of logs by such vectors. Each part of
it has a module of its own, whose head tells how it works:

* `anti_entropy`: what a peer lacks is sent to it, in our own log order.
* `intake`: what peers send is stored, if it is the next; `scrutiny` finds what is wrong with it.
* `gossip`: peers are told what we hold, by digests, heartbeats and acknowledgements.
* `own_log`, `incarnation`: identity is never reused.
* `membership`, `members`, `stability`: who belongs to the cluster, and what all of them hold; kept in `roster` (sets of
  members are bits), `matrix` (what each holds) and `silence` (when each was heard).
* `tally`, `quorum`, `questions`: waiting until so many replicas hold something, or for what they hold.
* `rounds`: all that is done as time passes; `reception`, `outcomes`: what peers say, and what the disk has done.
* `snapshot_source`, `snapshot_target`, `bootstrap`, `takeover`: states for whoever is behind what logs still contain.

They share `holdings` (what is durable here), `members` (what is known of others) and `neighbours` (who is connected),
and none of them reaches into another's state. Whoever carries the effects out tells what became of them, here.

Invariant: nothing is said to be held before `persisted` said that it is durable.
Invariant: what is queued here is bounded by members, links and windows, never by the length of a log.
"""

from collections.abc import Hashable, Sequence
from random import Random

from calliope.stores.replica_store import LogPage, StoredState
from calliope.stores.versioned import LogEntry, Versioned
from crdts import VersionVector
from replication.core.agreement import Replicas
from replication.core.effects import (
    Append,
    Effects,
    Install,
    MergeStates,
    Persist,
    Read,
    ReadStates,
    Receive,
    Stage,
)
from replication.core.membership import MemberReport as MemberReport
from replication.core.messages import Message, SnapshotChunk
from replication.core.outcomes import Outcomes
from replication.core.parts import Parts, Start
from replication.core.quorum import required
from replication.core.reception import Reception
from replication.core.rounds import Rounds
from replication.core.settings import Settings


class ReplicaCore:
    """The protocol, for one replica; see the head of the module.

    Args:
        replica_id: who we are.
        log_id: the log that the journal wrote last; empty if it has written none.
        fresh_log_id: a log id that was never used, to write to if the old log cannot be trusted.
        vector: what the journal holds.
        floor: what it holds only in states.
        head: the last log position.
        facts: what it was told to remember.
        random: where chance comes from.
        now: the time, by a monotonic clock.
        settings: times and bounds.
        address: where we listen; told to others.
        expected: how many replicas there are at least, ourselves included, known or not.
        alone: this replica neither listens nor knows where others do, so nobody else can know what it wrote.
    """

    def __init__(
        self,
        replica_id: str,
        *,
        log_id: str,
        fresh_log_id: str,
        vector: VersionVector,
        floor: VersionVector,
        head: int,
        facts: dict[str, bytes],
        random: Random,
        now: float,
        settings: Settings | None = None,
        address: str = "",
        expected: int = 1,
        alone: bool = False,
    ) -> None:
        self.replica_id = replica_id
        self._is_alone = alone
        settings = settings or Settings()
        start = Start(
            replica_id, log_id, fresh_log_id, vector, floor, head, facts, random, now, settings, address, expected
        )
        self._parts = Parts(start)
        self._rounds = Rounds(self._parts, random, now)
        self._reception = Reception(self._parts)
        self._outcomes = Outcomes(self._parts)

    # What is known ----------------------------------------------------------------------------------------------

    @property
    def vector(self) -> VersionVector:
        """What is durable here."""
        return self._parts.holdings.vector

    @property
    def log_id(self) -> str:
        """The log in which what is written here is numbered."""
        return self._parts.own_log.log_id

    @property
    def stable(self) -> VersionVector:
        """The stable version: no operation that has not seen it can still arrive."""
        return self._parts.stability.vector

    @property
    def address(self) -> str:
        """Where we listen; told to others."""
        return self._parts.incarnation.address

    @address.setter
    def address(self, address: str) -> None:
        self._parts.incarnation.address = address

    @property
    def member_count(self) -> int:
        """How many replicas there are, ourselves included: those known, or those expected."""
        return self._parts.tally.member_count

    @property
    def is_removed(self) -> bool:
        """Whether the others have removed us."""
        return self._parts.members.are_we_removed

    @property
    def next_tick(self) -> float:
        """When `tick` has something to do again."""
        return self._rounds.next_at

    def members(self, now: float) -> list[MemberReport]:
        """Return all that are known, ourselves first, removed ones last."""
        ourselves = MemberReport(self.replica_id, "alive", self.address, self.vector, 0.0)
        return [ourselves, *self._parts.membership.reports(now)]

    def named(self, roster: int, members: int) -> list[str]:
        """Return the replicas that bits of a roster stand for; none, if ours is another by now."""
        known = self._parts.members
        return known.named(members) if roster == known.fingerprint else []

    def holders(self, log_id: str, number: int) -> set[str]:
        """Return the replicas that are known to hold an entry durably."""
        return self._parts.tally.holders(log_id, number)

    # What the shell calls -----------------------------------------------------------------------------------------

    def start(self, now: float) -> Effects:
        """Begin: count this start, and decide which log to write to."""
        effects = Effects()
        self._rounds.next_at = now
        self._parts.incarnation.begin(effects)
        self._parts.own_log.start(effects, is_alone=self._is_alone and not len(self._parts.members))
        return effects

    def connected(self, now: float, peer: str) -> Effects:
        """A connection to a peer is there; it is authenticated, and a peer has one at most."""
        effects = Effects()
        if not self._parts.membership.refuses(peer, effects):
            link = self._parts.neighbours.connect(peer)
            self._parts.membership.meet(link, now, effects)
            self._parts.gossip.tell(link, now, effects, asks=True)
            self._parts.questions.greet(peer, effects)
        return effects

    def disconnected(self, now: float, peer: str) -> Effects:
        """A connection is gone."""
        effects = Effects()
        self._parts.neighbours.disconnect(peer)
        self._parts.source.forget(peer)
        self._parts.target.disconnected(peer)
        self._parts.anti_entropy.feed_all(effects)
        return effects

    def submit(self, now: float, changes: Sequence[Versioned], token: Hashable = None) -> Effects:
        """Own operations, all or nothing; the disk numbers them when it commits them."""
        effects = Effects()
        effects.persist.append(Append(tuple(changes), token))
        return effects

    def receive(self, now: float, peer: str, message: Message) -> Effects:
        """A message has arrived from a connected peer."""
        effects = Effects()
        link = self._parts.neighbours.get(peer)
        if link is not None:
            self._reception.take(now, link, message, effects)
        return effects

    def persisted(self, now: float, entries: Sequence[tuple[int, LogEntry]]) -> Effects:
        """Entries are durable in our journal, in log order: acknowledge them, and hand them on."""
        effects = Effects()
        if entries:
            self._outcomes.persisted(entries, effects)
        return effects

    def stored(self, now: float, receive: Receive) -> Effects:
        """A `Receive` was carried out; what was new in it has been told by `persisted`."""
        effects = Effects()
        self._outcomes.stored(now, receive, effects)
        return effects

    def failed(self, now: float, persist: Persist) -> Effects:
        """Something could not be made durable; nothing of it was written. What peers sent is asked for again."""
        self._outcomes.failed(persist)
        return Effects()

    def merged(self, now: float, merge: MergeStates) -> Effects:
        """States of a snapshot are joined into ours, durably."""
        effects = Effects()
        self._parts.takeover.done(effects)
        return effects

    def staged(self, now: float, stage: Stage) -> Effects:
        """A part of a snapshot is durable here, apart from everything else."""
        effects = Effects()
        self._parts.target.stored(now, effects)
        return effects

    def part_loaded(self, now: float, chunk: SnapshotChunk | None) -> Effects:
        """A part of a snapshot was read; None: it could not be."""
        effects = Effects()
        self._parts.target.part_loaded(chunk, effects)
        return effects

    def installed(self, now: float, install: Install) -> Effects:
        """Everything up to the cut of a snapshot is held here."""
        effects = Effects()
        self._outcomes.installed(now, install, effects)
        return effects

    def loaded(self, now: float, read: Read, page: LogPage) -> Effects:
        """A page was read for a peer: send what it needs of it."""
        effects = Effects()
        self._outcomes.loaded(now, read, page, effects)
        return effects

    def states_loaded(
        self,
        now: float,
        read: ReadStates,
        states: Sequence[StoredState],
        after_key: str,
        held: VersionVector,
        *,
        complete: bool,
    ) -> Effects:
        """States were read for a peer: send them; they contain nothing beyond what was held after that."""
        effects = Effects()
        link = self._parts.neighbours.get(read.peer)
        if link is not None and link.epoch == read.epoch:
            self._parts.source.send_states(link, read, states, after_key, held, effects, complete=complete)
        return effects

    def compacted(self, floor: VersionVector) -> None:
        """Operations up to a floor are no longer in our log."""
        self._outcomes.compacted(floor)

    def tick(self, now: float) -> Effects:
        """Time has passed: gossip, and look who is silent and what was lost."""
        effects = Effects()
        self._rounds.tick(now, effects)
        return effects

    # What users ask for -------------------------------------------------------------------------------------------

    def wait_for(self, now: float, token: Hashable, log_id: str, number: int, replicas: Replicas) -> Effects:
        """Announce `Agreed(token)` when so many replicas hold an entry.

        Raises:
            ValueError: `replicas` is not a positive number, "majority" or "all".
        """
        required(replicas, 1)
        effects = Effects()
        self._parts.tally.wait_for(token, log_id, number, replicas, effects)
        return effects

    def ask(self, now: float, token: Hashable, replicas: Replicas) -> Effects:
        """Announce `Agreed(token)` when we hold all that so many replicas held at this moment.

        Raises:
            ValueError: `replicas` is not a positive number, "majority" or "all".
        """
        required(replicas, 1)
        effects = Effects()
        self._parts.questions.ask(now, token, replicas, effects)
        return effects

    def give_up(self, token: Hashable) -> set[str]:
        """Nobody waits any more; return who had agreed by then, ourselves included, as far as an inquiry goes."""
        return self._parts.tally.give_up(token)

    def remove(self, now: float, replica_id: str) -> Effects:
        """Remove a replica for ever: what it wrote counts as far as a survivor holds it, and nobody waits for it.

        Raises:
            ValueError: it is ourselves, or no member.
        """
        effects = Effects()
        self._parts.membership.remove(replica_id, effects)
        self._parts.gossip.tell_everybody(now, effects)
        return effects
