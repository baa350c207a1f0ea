"""One replica's part in the protocol: inputs in, one value of ordered work out.

Theory of operation
===================

Each journal holds *logs*: its own and, as they arrive, everybody else's. A log's entries are numbered 1, 2, 3 …, so a
vector {log id: number} says all that a journal holds. Anti-entropy is the exchange of logs by such vectors (Petersen et
al., "Flexible Update Propagation for Weakly Consistent Replication", SOSP 1997): a peer says its vector, and is sent
what it lacks *in our own log order*. Our journal took each entry after the entry's causal past, so the peer does as
well, and whoever is connected with anybody gets everything.

* **Pushing.** What becomes durable here is read for each connected peer and sent, at once; but what its writer, who is
  connected with the peer, has sent anyway, is *passed over*. If it does not arrive within a moment, the link becomes
  *eager* and nothing is passed over any more. A window bounds what is on the way.
* **Digests** go to a few peers each gossip round, with what has changed; where nothing has, a heartbeat with a
  fingerprint of our vector. They repair whatever was lost, and double as acknowledgements.
* **Acknowledgements** are vectors, cumulative, and sent after the entries are durable.
* **Incarnations.** A journal may have gone back in time: a restored backup. Then its numbers are taken. So after a
  start we write to a fresh log, unless every member tells us, by its own mouth and before anything was written, that
  it knows no more of our old log than we do. What others know of it beyond us is ours to fetch, like anybody's.
* **Gaps** are never skipped: over an ordered transport they are the sender's fault and end the connection, unless
  we ourselves refused something before; otherwise we ask to begin again.

Invariant: nothing is said to be held before `persisted` said that it is durable.
Invariant: an entry is given to the disk only directly after its predecessor in its log.
Invariant: what is queued here is bounded by members, links and windows, never by the length of a log.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import ceil
from random import Random
from typing import ClassVar
from zlib import crc32

import msgspec

from calliope.stores.replica_store import LogPage, StoredState
from calliope.stores.versioned import LogEntry, Versioned, replica_of
from crdts import VersionVector
from replication.core.agreement import Replicas
from replication.core.bootstrap import Bootstrap, decode_progress
from replication.core.effects import (
    Agreed,
    Append,
    Effects,
    Install,
    MemberChanged,
    MergeStates,
    Persist,
    Read,
    ReadStates,
    Receive,
    Refuse,
    Remember,
    Send,
    Stable,
    UseLog,
)
from replication.core.link import Link
from replication.core.members import Member, Members, MemberState
from replication.core.messages import (
    Acknowledgement,
    Answer,
    Cursor,
    Digest,
    Entries,
    Fence,
    Heartbeat,
    Message,
    Question,
    Row,
    SnapshotChunk,
    SnapshotRequest,
)
from replication.core.quorum import Inquiry, Quorums, Wait, required
from replication.core.settings import Settings

CHECKSUMS_MAX = 4096
"""Of how many entries the checksums are remembered, to notice a number that is repeated with other content."""

ROUTES_MAX = 1024
"""How many questions of others are remembered, to lead their answers back."""


@dataclass(frozen=True, slots=True)
class MemberReport:
    """A member as it is known here.

    Attributes:
        replica_id: who.
        state: whether it was heard lately.
        address: where it listens; empty if that is not known.
        vector: what it is known to hold.
        age_seconds: how long ago it was heard; 0 for ourselves.
        lag: how many log entries we hold that it is not known to hold; 0 for a removed one, which gets none.
    """

    replica_id: str
    state: MemberState
    address: str
    vector: VersionVector
    age_seconds: float
    lag: int = 0


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
        self.log_id = log_id or fresh_log_id
        self.vector = vector
        self.stable = VersionVector()
        self.expected = expected
        self._is_alone = alone
        self._settings = settings or Settings()
        self.address = address
        self._random = random
        self._floor = floor
        self._head = head
        self._fresh_log_id = fresh_log_id
        self._doubted_log_id = log_id if vector[log_id] else ""
        self._promised = dict(vector.items())
        self._waiting_bytes = 0
        self._sequence = 0
        self._links: dict[str, Link] = {}
        self._neighbours: tuple[str, ...] = ()
        self._epochs = 0
        self._quorums = Quorums()
        self._questions = 0
        self._routes: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._checksums: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._bootstrap: Bootstrap | None = None
        self._snapshots: dict[str, VersionVector] = {}
        self._is_whole = True  # what is in states is in our vector; not so while a snapshot is being taken over
        self._fingerprint: tuple[VersionVector, int] | None = None
        self._rows_changed = True
        self.next_tick = now
        self._members = Members(replica_id, self._settings)
        self._incarnation, members, fences, self._progress = _recalled(facts)
        self._is_whole = self._progress is None
        for member_id, address_of in members.items():
            self._members.admit(member_id, now, address_of)
        for fenced_id, fence in fences.items():
            self._members.fence(Fence(fenced_id, VersionVector(fence)), vector)

    # What the shell calls ----------------------------------------------------------------

    def start(self, now: float) -> Effects:
        """Begin: count this start, and decide which log to write to."""
        self._incarnation += 1
        self.next_tick = now
        effects = Effects()
        if self._is_alone and not len(self._members):
            self._doubted_log_id = ""  # nobody else has ever been told anything
        else:
            self.log_id = self._fresh_log_id
        effects.persist.append(Remember("incarnation", str(self._incarnation).encode()))
        effects.persist.append(UseLog(self.log_id))
        return effects

    def connected(self, now: float, peer: str) -> Effects:
        """A connection to a peer is there; it is authenticated, and a peer has one at most."""
        effects = Effects()
        if peer in self._members.fences:
            effects.refuse.append(Refuse(peer, f"{peer!r} was removed from the cluster"))
            return effects
        self._epochs += 1
        self._links[peer] = link = Link(peer, self._epochs)
        self._neighbours = tuple(sorted(self._links))
        if self._members.admit(peer, now):
            self._remember_members(effects)
        self._members.hear(peer, now)
        effects.send.append(Send(peer, self._digest(link, now, asks=True)))
        effects.send += [Send(peer, self._question(number)) for number in self._quorums.open_questions]
        return effects

    def disconnected(self, now: float, peer: str) -> Effects:
        """A connection is gone."""
        effects = Effects()
        self._links.pop(peer, None)
        self._neighbours = tuple(sorted(self._links))
        self._snapshots.pop(peer, None)
        if self._bootstrap is not None and self._bootstrap.peer == peer and not self._bootstrap.storing:
            self._bootstrap = None
        for link in self._links.values():
            self._feed(link, effects)
        return effects

    def submit(self, now: float, changes: Sequence[Versioned], token: Hashable = None) -> Effects:
        """Own operations, all or nothing; the disk numbers them when it commits them."""
        effects = Effects()
        effects.persist.append(Append(tuple(changes), token))
        return effects

    def receive(self, now: float, peer: str, message: Message) -> Effects:
        """A message has arrived from a connected peer."""
        effects = Effects()
        link = self._links.get(peer)
        if link is None:
            return effects
        if peer in self._members.fences:
            self._refuse(link, f"{peer!r} was removed from the cluster", effects)
            return effects
        self._members.hear(peer, now)
        self._handlers[type(message)](self, now, link, message, effects)
        return effects

    def persisted(self, now: float, entries: Sequence[tuple[int, LogEntry]]) -> Effects:
        """Entries are durable in our journal, in log order: acknowledge them, and hand them on."""
        effects = Effects()
        if not entries:
            return effects
        grown, before = dict(self.vector.items()), self._head
        for position, entry in entries:
            self._head = position
            grown[entry.log_id] = max(entry.number, grown.get(entry.log_id, 0))
            self._promised[entry.log_id] = max(entry.number, self._promised.get(entry.log_id, 0))
            self._know(entry)
        logs = list(dict.fromkeys([entry.log_id for _, entry in entries]))  # in an order that is always the same
        self._hold(VersionVector.wrap(grown))
        for replica_id in [replica_of(log) for log in logs if replica_of(log) in self._members.fences]:
            self._fence(Fence(replica_id, VersionVector()), effects)  # it was on its way to the disk
        sources = self._sources_of(entries)
        for link in self._links.values():
            if link.peer in sources:
                self._acknowledge(link, effects)
            if link.looked == before and self._is_left_to_others(link, entries):
                link.looked = self._head
            self._feed(link, effects)
        self._announce_agreed(logs, effects)
        return effects

    def stored(self, now: float, receive: Receive) -> Effects:
        """A `Receive` was carried out; what was new in it has been told by `persisted`."""
        effects = Effects()
        self._waiting_bytes -= sum([len(entry.body) for entry in receive.entries])
        link = self._links.get(receive.peer)
        bootstrap = self._bootstrap
        if receive.snapshot is not None and bootstrap is not None and bootstrap.storing:
            for entry in receive.entries:
                self._promised[entry.log_id] = max(entry.number, self._promised.get(entry.log_id, 0))
            self._chunk_stored(now, bootstrap, effects)
        elif link is not None and link.told_vector != self.vector:
            self._acknowledge(link, effects)
        return effects

    def failed(self, now: float, persist: Persist) -> Effects:
        """Something could not be made durable; nothing of it was written. What peers sent is asked for again."""
        effects = Effects()
        if isinstance(persist, Receive):
            self._waiting_bytes -= sum([len(entry.body) for entry in persist.entries])
            self._promised = dict(self.vector.items())
            for link in self._links.values():
                link.miss()
        if isinstance(persist, (Receive, MergeStates, Install)) and self._bootstrap is not None:
            self._bootstrap = None
        return effects

    def merged(self, now: float, merge: MergeStates) -> Effects:
        """A chunk of states is durable here."""
        effects = Effects()
        if self._bootstrap is not None and self._bootstrap.storing:
            self._chunk_stored(now, self._bootstrap, effects)
        return effects

    def installed(self, now: float, install: Install) -> Effects:
        """Everything up to the cut of a snapshot is held here."""
        effects = Effects()
        self._bootstrap = None
        self._progress = None
        self._is_whole = True
        effects.persist.append(Remember("bootstrap", None))
        self._floor = self._floor.merge(install.vector)
        self._hold(self.vector.merge(install.vector))
        for log_id, number in self.vector.items():
            self._promised[log_id] = max(number, self._promised.get(log_id, 0))
        for link in self._links.values():
            link.miss()
            link.stale = False
            link.behind_floor = not link.said.descends(self._floor)
            effects.send.append(Send(link.peer, self._digest(link, now)))
        self._announce_agreed(self._quorums.logs, effects)
        return effects

    def loaded(self, now: float, read: Read, page: LogPage) -> Effects:
        """A page was read for a peer: send what it needs of it."""
        effects = Effects()
        link = self._links.get(read.peer)
        if link is None or link.epoch != read.epoch:
            return effects
        link.reading = False
        if read.peer in self._snapshots and link.fetching:
            self._send_events(link, read, page, effects)
            return effects
        link.looked = max(link.looked, page.through)
        chosen, complete = self._chosen(link, page)
        if complete:
            link.cursor = max(link.cursor, page.through)
        if chosen:
            link.send(chosen, now)
            effects.send.append(Send(link.peer, Entries(tuple(chosen), link.beginning)))
        self._feed(link, effects)
        return effects

    def states_loaded(
        self, now: float, read: ReadStates, states: Sequence[StoredState], after_key: str, *, complete: bool
    ) -> Effects:
        """States were read for a peer: send them."""
        effects = Effects()
        link = self._links.get(read.peer)
        cut = self._snapshots.get(read.peer)
        if link is None or link.epoch != read.epoch or cut is None:
            return effects
        link.fetching = False
        following = Cursor(None, 0) if complete else Cursor(after_key, 0)
        chunk = SnapshotChunk(Cursor(read.after_key, 0), cut, tuple(states), (), following)
        effects.send.append(Send(read.peer, chunk))
        return effects

    def compacted(self, floor: VersionVector) -> None:
        """Operations up to a floor are no longer in our log."""
        self._floor = floor
        for link in self._links.values():
            link.behind_floor = not link.said.descends(floor)

    def wait_for(self, now: float, token: Hashable, log_id: str, number: int, replicas: Replicas) -> Effects:
        """Announce `Agreed(token)` when so many replicas hold an entry.

        Raises:
            ValueError: `replicas` is not a positive number, "majority" or "all".
        """
        required(replicas, 1)
        effects = Effects()
        self._quorums.wait_for(Wait(token, log_id, number, replicas))
        self._announce_agreed((log_id,), effects)
        return effects

    def ask(self, now: float, token: Hashable, replicas: Replicas) -> Effects:
        """Announce `Agreed(token)` when we hold all that so many replicas held at this moment.

        Raises:
            ValueError: `replicas` is not a positive number, "majority" or "all".
        """
        required(replicas, 1)
        effects = Effects()
        self._pose(now, Inquiry(token, replicas, target=self.vector), effects)
        self._announce_answered(effects)
        return effects

    def give_up(self, token: Hashable) -> set[str]:
        """Nobody waits any more; return who had agreed by then, ourselves included, as far as an inquiry goes."""
        answered = {self.replica_id}
        for inquiry in self._quorums.inquiries.values():
            if inquiry.token == token:
                answered |= inquiry.answered
        self._quorums.give_up(token)
        return answered

    def holders(self, log_id: str, number: int) -> set[str]:
        """Return the replicas that are known to hold an entry durably."""
        held = {member.replica_id for member in self._members if member.vector[log_id] >= number}
        if self.vector[log_id] >= number:
            held.add(self.replica_id)
        return held

    def remove(self, now: float, replica_id: str) -> Effects:
        """Remove a replica for ever: what it wrote counts as far as a survivor holds it, and nobody waits for it.

        Raises:
            ValueError: it is ourselves, or no member.
        """
        if replica_id == self.replica_id:
            raise ValueError(f"{replica_id!r} is this replica itself; remove it at another one")
        if self._members.get(replica_id) is None:
            raise ValueError(f"{replica_id!r} is no member of the cluster")
        effects = Effects()
        self._fence(Fence(replica_id, VersionVector()), effects)
        for link in self._links.values():
            effects.send.append(Send(link.peer, self._digest(link, now)))
        return effects

    def tick(self, now: float) -> Effects:
        """Time has passed: gossip, and look who is silent and what was lost."""
        effects = Effects()
        if now < self.next_tick:
            return effects
        self.next_tick = now + self._settings.gossip_interval_seconds * self._random.uniform(0.9, 1.1)
        self._judge(now, effects)
        self._advance_stable(effects)
        for link in self._links.values():
            self._repair(link, now, effects)
        for link in self._next_to_hear():
            link.gossiped_at = now
            self._gossip(link, now, effects)
        self._ask_again(now, effects)
        self._push_bootstrap(now, effects)
        return effects

    def members(self, now: float) -> list[MemberReport]:
        """Return all that are known, ourselves first, removed ones last."""
        reports = [MemberReport(self.replica_id, "alive", self.address, self.vector, 0.0)]
        reports += [
            MemberReport(m.replica_id, m.state, m.address, m.vector, now - m.heard_at, _lag(m.vector, self.vector))
            for m in sorted(self._members, key=lambda member: member.replica_id)
        ]
        reports += [
            MemberReport(replica_id, "removed", "", fence, 0.0)
            for replica_id, fence in sorted(self._members.fences.items())
        ]
        return reports

    @property
    def member_count(self) -> int:
        """How many replicas there are, ourselves included: those known, or those expected."""
        return max(len(self._members) + 1, self.expected - len(self._members.fences))

    @property
    def is_removed(self) -> bool:
        """Whether the others have removed us."""
        return self.replica_id in self._members.fences

    def _next_to_hear(self) -> list[Link]:
        """Return the links that have waited longest; each is served often enough that the peer does not suspect us."""
        settings = self._settings
        rounds = max(1.0, settings.suspect_after_seconds / settings.gossip_interval_seconds / 3)
        count = max(settings.fanout, ceil(len(self._links) / rounds))
        links = list(self._links.values())
        if len(links) > count:
            self._random.shuffle(links)
            links = sorted(links, key=lambda link: link.gossiped_at)[:count]
        return links

    def _ask_again(self, now: float, effects: Effects) -> None:
        """Ask those questions anew that are not answered yet: an answer may be lost, a peer may be new."""
        for inquiry in list(self._quorums.inquiries.values()):
            is_overdue = now - inquiry.asked_at > 2 * self._settings.gossip_interval_seconds
            if is_overdue and self._is_short(inquiry):
                self._pose(now, inquiry, effects)

    def _pose(self, now: float, inquiry: Inquiry, effects: Effects) -> None:
        self._questions += 1
        inquiry.asked_at = now
        self._quorums.ask(self._questions, inquiry)
        question = self._question(self._questions)
        effects.send += [Send(peer, question) for peer in self._links]

    def _question(self, number: int) -> Question:
        return Question(self.replica_id, number, self.vector)

    # What peers say ----------------------------------------------------------------

    def _on_digest(self, now: float, link: Link, digest: Digest, effects: Effects) -> None:
        row = digest.own
        if row.replica_id != link.peer:
            self._refuse(link, f"speaks as {row.replica_id!r}", effects)
            return
        if row.vector[self.log_id] > self._promised.get(self.log_id, 0):
            self._refuse(link, f"claims to hold {self.log_id} beyond what was ever written", effects)
            return
        self._members.say(row, now, direct=True)
        self._rows_changed = True
        if not link.ready or digest.beginning > link.beginning:
            link.said = row.vector
            link.beginning = digest.beginning
            self._begin(link)
        link.ready = True
        link.hold(row.vector)
        neighbours = frozenset(digest.neighbours)
        if neighbours != link.neighbours:
            link.neighbours = neighbours
            link.told_changes = 0
        link.behind_floor = not row.vector.descends(self._floor)
        for fence in digest.fences:
            self._fence(fence, effects)
        if link.peer in self._members.fences:
            return
        self._hear_rows(digest.rows, now, effects)
        self._decide_log(effects)
        link.floor = digest.floor
        self._want_snapshot(now, link, effects)
        if digest.asks:
            effects.send.append(Send(link.peer, self._digest(link, now)))
        self._announce_agreed(self._quorums.logs, effects)
        self._feed(link, effects)

    def _on_heartbeat(self, now: float, link: Link, heartbeat: Heartbeat, effects: Effects) -> None:
        for replica_id, age in heartbeat.ages[: self._settings.rows_max]:
            self._members.hear(replica_id, now - age)
        if not link.ready or heartbeat.fingerprint != fingerprint(link.said):
            effects.send.append(Send(link.peer, self._digest(link, now, asks=True)))

    def _on_acknowledgement(self, now: float, link: Link, said: Acknowledgement, effects: Effects) -> None:
        if said.vector[self.log_id] > self._promised.get(self.log_id, 0):
            self._refuse(link, f"acknowledges what was never written in {self.log_id}", effects)
            return
        self._members.acknowledge(link.peer, said.vector)
        self._rows_changed = True
        link.hold(link.said.merge(said.vector))
        self._announce_agreed(said.vector, effects)
        self._feed(link, effects)

    def _on_entries(self, now: float, link: Link, message: Entries, effects: Effects) -> None:
        taken: list[LogEntry] = []
        if message.beginning < link.wanted:
            if not self._settings.ordered and not link.stale:
                effects.send.append(Send(link.peer, self._digest(link, now)))  # the one that asked for it may be lost
            return
        for entry in message.entries:
            problem = self._problem(entry)
            if problem:
                self._refuse(link, problem, effects)
                break
            promised = self._promised.get(entry.log_id, 0)
            link.has(entry.log_id, entry.number)
            if entry.number <= promised:
                continue
            if entry.number > promised + 1 or self._members.is_fenced(entry.log_id, entry.number):
                self._miss(now, link, entry, effects)
                break
            if self._waiting_bytes > self._settings.incoming_bytes:
                link.miss()
                break
            self._promised[entry.log_id] = entry.number
            self._waiting_bytes += len(entry.body)
            taken.append(entry)
        if taken:
            effects.persist.append(Receive(link.peer, tuple(taken)))
        elif not self._settings.ordered and not effects.refuse and not link.stale:
            self._acknowledge(link, effects)  # all of it is known: the acknowledgement was lost

    def _on_question(self, now: float, link: Link, question: Question, effects: Effects) -> None:
        route = question.asker, question.number
        is_direct = link.peer == question.asker
        if question.asker == self.replica_id or (route in self._routes and not is_direct):
            return
        is_new = route not in self._routes
        self._routes[route] = link.peer
        if len(self._routes) > ROUTES_MAX:
            self._routes.popitem(last=False)
        effects.send.append(Send(link.peer, Answer(question.asker, question.number, self.replica_id, self.vector)))
        if is_direct and link.ready:
            link.hold(link.said.merge(question.vector))
            link.eager = True
            if link.passed_over:
                self._begin(link)
        effects.send += [
            Send(other.peer, question)
            for other in self._links.values()
            if is_new and other is not link and question.asker not in other.neighbours
        ]
        self._feed(link, effects)

    def _on_answer(self, now: float, link: Link, answer: Answer, effects: Effects) -> None:
        if answer.asker != self.replica_id:
            back = self._routes.get((answer.asker, answer.number))
            if back in self._links:
                effects.send.append(Send(back, answer))
            return
        inquiry = self._quorums.inquiries.get(answer.number)
        if inquiry is None or self._members.get(answer.replica_id) is None:
            return
        if answer.vector[self.log_id] > self._promised.get(self.log_id, 0):
            self._refuse(link, f"claims to hold {self.log_id} beyond what was ever written", effects)
            return
        if answer.replica_id not in inquiry.answered and self._is_short(inquiry):
            inquiry.answered.add(answer.replica_id)
            inquiry.target = inquiry.target.merge(answer.vector)
        self._announce_answered(effects)

    # Snapshots ----------------------------------------------------------------

    def _on_snapshot_request(self, now: float, link: Link, request: SnapshotRequest, effects: Effects) -> None:
        cut = request.cut if request.cut is not None else self.vector
        if not self.vector.descends(cut):
            return  # a cut of another peer's that we do not hold yet; it asks again
        self._snapshots[link.peer] = cut
        link.fetching = True
        cursor = request.cursor
        if cursor.after_key is not None:
            effects.read.append(ReadStates(link.peer, cursor.after_key, self._settings.batch_bytes, link.epoch))
        else:
            have = self._members.get(link.peer)
            held = have.vector if have is not None else VersionVector()
            effects.read.append(Read(link.peer, held, cursor.after_position, self._settings.batch_bytes, link.epoch))

    def _send_events(self, link: Link, read: Read, page: LogPage, effects: Effects) -> None:
        cut = self._snapshots[link.peer]
        link.fetching = False
        entries = tuple([e for e in page.entries if e.kind == "events" and e.number <= cut[e.log_id]])
        following = None if page.complete else Cursor(None, page.through)
        effects.send.append(Send(link.peer, SnapshotChunk(Cursor(None, read.after), cut, (), entries, following)))
        self._feed(link, effects)

    def _on_snapshot_chunk(self, now: float, link: Link, chunk: SnapshotChunk, effects: Effects) -> None:
        bootstrap = self._bootstrap
        if bootstrap is None or bootstrap.peer != link.peer or bootstrap.storing or chunk.cursor != bootstrap.cursor:
            return  # an answer to an earlier request
        if bootstrap.cut is not None and chunk.cut != bootstrap.cut:
            return
        if chunk.cut[self.log_id] > self._promised.get(self.log_id, 0):
            self._refuse(link, f"claims to hold {self.log_id} beyond what was ever written", effects)
            return
        for entry in chunk.entries:
            problem = self._problem(entry)
            if problem or entry.number > chunk.cut[entry.log_id] or entry.kind != "events":
                self._refuse(link, problem or f"sent {entry.log_id}:{entry.number} outside of its snapshot", effects)
                return
        bootstrap.cut = chunk.cut
        bootstrap.following = chunk.following
        bootstrap.storing = True
        self._is_whole = False
        self._progress = bootstrap.progress(bootstrap.cursor, chunk.cut)
        effects.persist.append(Remember("bootstrap", self._progress))
        if chunk.states:
            effects.persist.append(MergeStates(link.peer, chunk.states))
        if chunk.entries:
            self._waiting_bytes += sum([len(entry.body) for entry in chunk.entries])
            effects.persist.append(Receive(link.peer, chunk.entries, chunk.cut))
        if not chunk.states and not chunk.entries:
            self._chunk_stored(now, bootstrap, effects)

    def _chunk_stored(self, now: float, bootstrap: Bootstrap, effects: Effects) -> None:
        bootstrap.storing = False
        if bootstrap.following is None:
            if bootstrap.cut is not None:
                effects.persist.append(Install(bootstrap.cut))
                bootstrap.storing = True
            return
        bootstrap.cursor = bootstrap.following
        if bootstrap.peer not in self._links:
            self._bootstrap = None
            return
        bootstrap.asked_at = now
        effects.send.append(Send(bootstrap.peer, bootstrap.request()))

    def _want_snapshot(self, now: float, link: Link, effects: Effects) -> None:
        """Ask a peer for its states, if it no longer has the operations that are missing here."""
        if self._bootstrap is None and not self.vector.descends(link.floor):
            self._bootstrap = Bootstrap.resumed(link.peer, link.said, self._progress, now)
            effects.send.append(Send(link.peer, self._bootstrap.request()))

    def _push_bootstrap(self, now: float, effects: Effects) -> None:
        for link in self._links.values():
            self._want_snapshot(now, link, effects)
        bootstrap = self._bootstrap
        if bootstrap is None and self._progress is not None:
            self._forget_progress(effects)
        if bootstrap is None or bootstrap.storing:
            return
        if now - bootstrap.asked_at > self._settings.resend_after_seconds:
            if bootstrap.peer in self._links:
                bootstrap.asked_at = now
                effects.send.append(Send(bootstrap.peer, bootstrap.request()))
            else:
                self._bootstrap = None

    def _forget_progress(self, effects: Effects) -> None:
        """Forget a snapshot that was not taken over to its end, once its cut has come in another way."""
        if self._progress is not None and self.vector.descends(VersionVector(decode_progress(self._progress).cut)):
            self._progress = None
            self._is_whole = True
            effects.persist.append(Remember("bootstrap", None))

    # Handing on ----------------------------------------------------------------

    def _feed(self, link: Link, effects: Effects) -> None:
        """Have the next page read for a peer, if there is something, and room on the way."""
        settings = self._settings
        room = settings.window_bytes - link.byte_count
        if not link.ready or link.reading or link.fetching or link.behind_floor or room <= 0:
            return
        if self.is_removed or not self._is_whole:
            return
        if link.byte_count and not settings.ordered:  # if it is lost, what follows must not be taken without it
            return
        link.move(self._head, self.vector)
        if link.looked >= self._head:
            return
        link.reading = True
        effects.read.append(Read(link.peer, link.have, link.cursor, min(settings.batch_bytes, room), link.epoch))

    def _chosen(self, link: Link, page: LogPage) -> tuple[list[LogEntry], bool]:
        """Return what is to be sent of a page, and whether that is all of it that the peer lacks.

        Each entry follows its past. So only what comes after everything that must be sent is left to nearer ones.
        """
        have = dict(link.have.items())
        chosen: list[LogEntry] = []
        count, complete = 0, True
        for entry in page.entries:
            following = have.get(entry.log_id, 0) + 1
            if entry.number > following:  # what lies between is only in states
                complete = False
                break
            if entry.number == following:
                have[entry.log_id] = entry.number
                chosen.append(entry)
                if not self._is_left(link, entry):
                    count = len(chosen)
        if not page.complete:
            count = len(chosen)
        if count < len(chosen):
            complete = False
            del chosen[count:]
        link.passed_over = link.passed_over or not complete
        if chosen:
            have = dict(link.have.items())
            have.update((entry.log_id, entry.number) for entry in chosen)
            link.have = VersionVector.wrap(have)
        return chosen, complete

    def _is_left_to_others(self, link: Link, entries: Sequence[tuple[int, LogEntry]]) -> bool:
        """Say whether a peer needs none of some entries from us now."""
        lacking = [entry for _, entry in entries if entry.number > link.have[entry.log_id]]
        if not all(self._is_left(link, entry) for entry in lacking):
            return False
        link.passed_over = link.passed_over or bool(lacking)
        return True

    def _is_left(self, link: Link, entry: LogEntry) -> bool:
        return not link.eager and self._is_nearer(replica_of(entry.log_id), link)

    def _is_nearer(self, writer: str, link: Link) -> bool:
        """Say whether the writer of an entry, alive, is connected with a peer, and sends it itself."""
        if writer == self.replica_id or writer == link.peer or writer not in link.neighbours:
            return False
        member = self._members.get(writer)
        return member is not None and member.state == "alive"

    def _repair(self, link: Link, now: float, effects: Effects) -> None:
        """Begin again where something sent, or left to others, has not arrived for a while."""
        if not link.ready:
            return
        if not self._settings.ordered:
            self._tell_again(link, now)
        if link.stale and self._waiting_bytes == 0:
            link.stale = False
            effects.send.append(Send(link.peer, self._digest(link, now)))
        if link.said.descends(self.vector):
            link.behind_since = None
            link.eager = False
            return
        if link.behind_since is None:
            link.behind_since = now
            return
        patience = self._settings.resend_after_seconds
        if link.passed_over and not link.byte_count:
            patience = 2 * self._settings.gossip_interval_seconds
        is_overdue = now - link.behind_since > patience and not link.byte_count
        if is_overdue or self._is_lost(link, now):
            link.eager = True
            self._begin(link)
            self._feed(link, effects)

    def _tell_again(self, link: Link, now: float) -> None:
        """Tell everything again from time to time: what was told may have been lost."""
        if link.told_all_at is None or now - link.told_all_at > self._settings.resend_after_seconds:
            link.told_all_at = now
            link.told_changes = 0
            link.told_rest = None

    def _begin(self, link: Link) -> None:
        """Begin again with what a peer has said that it holds."""
        self._epochs += 1
        link.begin(link.said, self._epochs)

    def _is_lost(self, link: Link, now: float) -> bool:
        sent_at = link.oldest_sent_at
        return sent_at is not None and now - sent_at > self._settings.resend_after_seconds

    def _acknowledge(self, link: Link, effects: Effects) -> None:
        if not link.ready or link.told_vector is None:
            return
        told = link.told_vector
        grown = self.vector
        if self._settings.ordered:
            grown = VersionVector.wrap({log: number for log, number in grown.items() if number > told[log]})
        link.told_vector = self.vector
        effects.send.append(Send(link.peer, Acknowledgement(grown)))

    def _sources_of(self, entries: Sequence[tuple[int, LogEntry]]) -> set[str]:
        """Return the peers who sent some of these entries, or wrote them."""
        return {
            link.peer
            for link in self._links.values()
            if any(link.have[entry.log_id] >= entry.number for _, entry in entries)
        }

    # Digests ----------------------------------------------------------------

    def _digest(self, link: Link, now: float, rows: Sequence[Row] | None = None, *, asks: bool = False) -> Digest:
        """Return all that is new to a peer, and note that it was told."""
        self._sequence += 1
        link.told_vector = self.vector
        rows = self._news(link, now) if rows is None else rows
        link.told_rest = self._rest()
        fences = tuple([Fence(*item) for item in sorted(self._members.fences.items())])
        own = Row(self.replica_id, self._incarnation, self._sequence, self.log_id, self.vector, 0.0, self.address)
        return Digest(own, self._floor, tuple(rows), fences, self._neighbours, link.wanted, asks)

    def _gossip(self, link: Link, now: float, effects: Effects) -> None:
        rows = self._news(link, now)
        if rows or link.told_vector != self.vector or link.told_rest != self._rest():
            effects.send.append(Send(link.peer, self._digest(link, now, rows)))
            return
        heartbeat = Heartbeat(self._own_fingerprint(), tuple(self._ages(link, now)))
        effects.send.append(Send(link.peer, heartbeat))

    def _news(self, link: Link, now: float) -> list[Row]:
        """Return the rows that changed since a peer was told, of members it does not hear itself; note that it was."""
        rows: list[Row] = []
        for member in self._members.changed_since(link.told_changes):
            if len(rows) >= self._settings.rows_max:
                break
            link.told_changes = member.changes
            if member.row is not None and self._is_far(member, link):
                rows.append(msgspec.structs.replace(member.row, age_seconds=max(0.0, now - member.heard_at)))
        return rows

    def _ages(self, link: Link, now: float) -> list[tuple[str, float]]:
        """Return how long ago some members were heard that a peer does not hear itself; others the next time."""
        members, link.ages_told = self._members.part(link.ages_told, self._settings.rows_max)
        far = [member for member in members if member.row is not None and self._is_far(member, link)]
        return [(member.replica_id, max(0.0, now - member.heard_at)) for member in far]

    def _is_far(self, member: Member, link: Link) -> bool:
        """Say whether a peer does not hear a member itself."""
        return member.replica_id != link.peer and member.replica_id not in link.neighbours

    def _rest(self) -> object:
        return self._floor, tuple(sorted(self._members.fences.items())), self._neighbours

    def _own_fingerprint(self) -> int:
        if self._fingerprint is None or self._fingerprint[0] is not self.vector:
            self._fingerprint = self.vector, fingerprint(self.vector)
        return self._fingerprint[1]

    # Knowledge ----------------------------------------------------------------

    def _hear_rows(self, rows: Sequence[Row], now: float, effects: Effects) -> None:
        for row in rows[: self._settings.rows_max]:
            if row.replica_id == self.replica_id:
                ours = self._incarnation, self._sequence
                if (row.incarnation, row.sequence) > ours:  # before our disk went back in time: speak louder (SWIM)
                    self._incarnation = row.incarnation + 1
                    effects.persist.append(Remember("incarnation", str(self._incarnation).encode()))
                continue
            if self._members.admit(row.replica_id, now - row.age_seconds, row.address):
                self._remember_members(effects)
            if row.replica_id not in self._links:
                self._members.say(row, now, direct=False)

    def _decide_log(self, effects: Effects) -> None:
        """Go back to the old log, once all members have told that they know no more of it than we do."""
        doubted = self._doubted_log_id
        if not doubted:
            return
        if self._promised.get(self._fresh_log_id, 0):
            self._doubted_log_id = ""
            return
        ours = self.vector[doubted]
        told = [self._links[member.replica_id].said for member in self._members if self._has_told(member)]
        if any(vector[doubted] > ours for vector in told):
            self._doubted_log_id = ""  # our numbers are taken: the fresh log it is
        elif told and len(told) == len(self._members) and len(told) + 1 >= self.expected:
            self._doubted_log_id = ""
            self.log_id = doubted
            effects.persist.append(UseLog(doubted))

    def _has_told(self, member: Member) -> bool:
        link = self._links.get(member.replica_id)
        return link is not None and link.ready

    def _problem(self, entry: LogEntry) -> str:
        """Say what is wrong with an entry, in itself or beside what we know; empty: nothing."""
        if not entry.is_whole:
            return f"sent {entry.log_id}:{entry.number} with a wrong checksum"
        known = self._checksums.get((entry.log_id, entry.number))
        if known is not None and known != entry.checksum:
            return f"sent {entry.log_id}:{entry.number} with other content than is known"
        if entry.log_id == self.log_id and entry.number > self._promised.get(entry.log_id, 0):
            return f"sent {entry.log_id}:{entry.number}, which was never written here"
        return ""

    def _miss(self, now: float, link: Link, entry: LogEntry, effects: Effects) -> None:
        """An entry is not the next of its log, or lies behind a fence."""
        fenced = self._members.is_fenced(entry.log_id, entry.number)
        if not self._settings.ordered and not fenced:
            link.miss()
            link.stale = False
            effects.send.append(Send(link.peer, self._digest(link, now)))
        elif fenced or link.stale or self._bootstrap is not None:
            link.miss()
        else:
            promised = self._promised.get(entry.log_id, 0)
            self._refuse(link, f"sent {entry.log_id}:{entry.number} where {promised + 1} was next", effects)

    def _know(self, entry: LogEntry) -> None:
        self._checksums[entry.log_id, entry.number] = entry.checksum
        if len(self._checksums) > CHECKSUMS_MAX:
            self._checksums.popitem(last=False)

    def _hold(self, vector: VersionVector) -> None:
        self.vector = vector
        self._rows_changed = True

    def _refuse(self, link: Link, reason: str, effects: Effects) -> None:
        effects.refuse.append(Refuse(link.peer, reason))

    def _fence(self, fence: Fence, effects: Effects) -> None:
        was_known = fence.replica_id in self._members.fences
        if not self._members.fence(fence, self.vector):
            return
        self._remember_members(effects)
        fences = {replica_id: held.to_dict() for replica_id, held in self._members.fences.items()}
        effects.persist.append(Remember("fences", _encode(fences)))
        if not was_known:
            effects.announce.append(MemberChanged(fence.replica_id, "removed"))
        link = self._links.get(fence.replica_id)
        if link is not None:
            self._refuse(link, f"{fence.replica_id!r} was removed from the cluster", effects)
        self._announce_agreed(self._quorums.logs, effects)

    def _remember_members(self, effects: Effects) -> None:
        addresses = {member.replica_id: member.address for member in self._members}
        effects.persist.append(Remember("members", _encode(addresses)))

    def _judge(self, now: float, effects: Effects) -> None:
        for member in self._members.judge(now):
            effects.announce.append(MemberChanged(member.replica_id, member.state))

    def _advance_stable(self, effects: Effects) -> None:
        if not self._rows_changed or len(self._members) + 1 < self.expected:
            return
        self._rows_changed = False
        stable = self.stable.merge(self._members.stable(self.vector))
        if stable != self.stable:
            self.stable = stable
            effects.announce.append(Stable(stable))

    def _is_short(self, inquiry: Inquiry) -> bool:
        return len(inquiry.answered) + 1 < required(inquiry.replicas, self.member_count)

    def _announce_agreed(self, log_ids: Sequence[str] | set[str] | VersionVector, effects: Effects) -> None:
        tokens = self._quorums.reached(log_ids, lambda log, n: len(self.holders(log, n)), self.member_count)
        effects.announce += [Agreed(token) for token in tokens]
        self._announce_answered(effects)

    def _announce_answered(self, effects: Effects) -> None:
        if self._quorums.inquiries:
            effects.announce += [Agreed(token) for token in self._quorums.answered(self.vector, self.member_count)]

    _handlers: ClassVar[dict[type, Callable[..., None]]] = {
        Digest: _on_digest,
        Heartbeat: _on_heartbeat,
        Acknowledgement: _on_acknowledgement,
        Entries: _on_entries,
        SnapshotRequest: _on_snapshot_request,
        SnapshotChunk: _on_snapshot_chunk,
        Question: _on_question,
        Answer: _on_answer,
    }


def fingerprint(vector: VersionVector) -> int:
    """Return a number that two equal vectors share, in whatever process, and two others hardly ever."""
    return crc32(repr(sorted(vector.items())).encode())


def _lag(theirs: VersionVector, ours: VersionVector) -> int:
    return sum(number - theirs[log_id] for log_id, number in ours.items() if number > theirs[log_id])


def _recalled(facts: dict[str, bytes]) -> tuple[int, dict[str, str], dict[str, dict[str, int]], bytes | None]:
    incarnation = int(facts.get("incarnation", b"0"))
    members = msgspec.msgpack.decode(facts["members"], type=dict[str, str]) if "members" in facts else {}
    fences = msgspec.msgpack.decode(facts["fences"], type=dict[str, dict[str, int]]) if "fences" in facts else {}
    return incarnation, members, fences, facts.get("bootstrap")


_encode = msgspec.msgpack.Encoder().encode
