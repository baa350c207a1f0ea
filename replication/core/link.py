"""What is known of one connected peer: what it has, what is on its way, what it was told."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from calliope.stores.versioned import LogEntry
from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries on their way: the highest number of each log, how many bytes, and since when."""

    vector: VersionVector
    byte_count: int
    sent_at: float


@dataclass(slots=True)
class Link:
    """A connection to a peer.

    Attributes:
        peer: the peer's replica id.
        epoch: names this connection, and each new beginning on it: answers to earlier reads are void.
        ready: whether the peer has told what it holds.
        said: what the peer holds, by its own word.
        have: what it holds or will hold when all that we sent arrives.
        cursor: our log up to this position has been sent, or need not be.
        looked: our log up to this position has been looked through; after `cursor`, some of it was left to others.
        mark: a log position, and what we held there: when the peer holds that, too, the cursor moves there.
        reading: whether a page is being read for it.
        floor: what it holds only in states.
        staged: how far the parts of a snapshot reach that it has.
        behind_floor: it lacks operations that we no longer have: a snapshot must come first.
        passed_over: entries were left to others who are nearer to it.
        eager: nothing is left to others any more.
        neighbours: with whom it is connected.
        behind_since: since when it has lacked something without progress.
        told_vector: what it was told that we hold.
        incarnation: the peer's, by its own word.
        introduced_at: when somebody was introduced to it at once, without waiting for a round.
        told_introductions: which introductions of members it was told.
        telling_through: which of them is told before anything is told again.
        roster: the fingerprint of the peer's roster, as it said last.
        incarnations: the fingerprint of all incarnations that it knows, as it said last.
        agreed: which introduction was the last when it knew the same incarnations as we did.
        told_rosters: the fingerprints of our roster and of all incarnations that it was told.
        told_matrix: the fingerprint of the roster, and which change of the matrix it was told.
        told_heard_at: when it was told last who was heard.
        knows: what it knows that members hold, by their bits: it told us, or we told it.
        knows_by: the fingerprint of the roster whose bits these are.
        knows_through: the last introduction that is minded in it.
        rumour: what others say that the peer holds in this incarnation; it is told until the peer says so itself.
        gossiped_at: when it was last told anything by gossip.
        told_all_at: since when nothing was told again that did not change.
        told_rest: the floor, fences, neighbours and staged parts that it was told.
        stale: we did not take something that it sent.
        wanted: how often we did not: what belongs to an earlier beginning is not taken, either.
        beginning: how often it did not take something that we sent.
        fetching: something of a snapshot is being read for it.
    """

    peer: str
    epoch: int
    ready: bool = False
    said: VersionVector = NOTHING_SEEN
    have: VersionVector = NOTHING_SEEN
    cursor: int = 0
    looked: int = 0
    mark: tuple[int, VersionVector] = (0, NOTHING_SEEN)
    reading: bool = False
    floor: VersionVector = NOTHING_SEEN
    staged: VersionVector = NOTHING_SEEN
    behind_floor: bool = False
    passed_over: bool = False
    eager: bool = False
    neighbours: frozenset[str] = frozenset()
    behind_since: float | None = None
    told_vector: VersionVector | None = None
    incarnation: int = 0
    introduced_at: float = float("-inf")
    told_introductions: int = 0
    telling_through: int = 0
    roster: int = 0
    incarnations: int = 0
    agreed: int = 0
    told_rosters: tuple[int, int] | None = None
    told_matrix: tuple[int, int] | None = None
    told_heard_at: float = float("-inf")
    knows: dict[VersionVector, int] = field(default_factory=dict)
    knows_by: int = 0
    knows_through: int = 0
    rumour: VersionVector = NOTHING_SEEN
    gossiped_at: float = -1.0
    told_all_at: float | None = None
    told_rest: object = None
    stale: bool = False
    wanted: int = 0
    beginning: int = 0
    fetching: bool = False
    _on_the_way: deque[Batch] = field(default_factory=deque)
    byte_count: int = 0

    def begin(self, vector: VersionVector, epoch: int) -> None:
        """Begin anew with what the peer says that it holds."""
        self.epoch = epoch
        self.have = vector
        self.cursor = 0
        self.looked = 0
        self.mark = (0, NOTHING_SEEN)
        self.reading = False
        self.fetching = False
        self.passed_over = False
        self.behind_since = None
        self._on_the_way.clear()
        self.byte_count = 0

    def compare(self, floor: VersionVector) -> None:
        """Note whether the peer lacks operations that are no longer in our log."""
        self.behind_floor = not self.said.descends(floor)

    def look_again(self) -> None:
        """Leave nothing to others any more, and look through what was left to them; what is on its way stays there."""
        self.eager = True
        self.passed_over = False
        self.looked = self.cursor

    def speak(self, incarnation: int) -> None:
        """Note in which incarnation the peer speaks."""
        if incarnation != self.incarnation:
            self.incarnation = incarnation
            self.rumour = NOTHING_SEEN

    def hold(self, vector: VersionVector) -> None:
        """Note what the peer says that it holds; what was on its way and has arrived makes room."""
        if self.said != vector:
            self.behind_since = None
        self.said = vector
        self.have = self.have.merge(vector)
        while self._on_the_way and vector.descends(self._on_the_way[0].vector):
            self.byte_count -= self._on_the_way.popleft().byte_count

    def meet(self, neighbours: Iterable[str]) -> None:
        """Note with whom the peer is connected; if that is news, it may have to be told what others hold."""
        if frozenset(neighbours) != self.neighbours:
            self.neighbours = frozenset(neighbours)
            self.forget_knowledge()

    def forget_knowledge(self) -> None:
        """Forget what the peer knows of others: it is told again."""
        self.knows.clear()
        self.told_matrix = None

    def agree(self, introductions: int) -> None:
        """Note that the peer knows the same incarnations as we do; what it did not believe before is told again."""
        if self.agreed != introductions:
            self.agreed = self.knows_through = introductions
            self.forget_knowledge()

    def forget_of(self, members: int) -> None:
        """Forget what the peer knows of some members: they have begun another incarnation."""
        self.knows = {vector: known & ~members for vector, known in self.knows.items() if known & ~members}

    def learn(self, roster: int, vector: VersionVector, members: int) -> None:
        """Note that the peer knows that members hold a vector, by the bits of a roster."""
        if self.knows_by != roster:
            self.knows.clear()
            self.knows_by = roster
        if members:
            self.knows[vector] = self.knows.get(vector, 0) | members

    def ignorance(self, roster: int, vector: VersionVector, members: int) -> int:
        """Return those of some members of whom the peer may not know that they hold a vector."""
        return members if self.knows_by != roster else members & ~self.knows.get(vector, 0)

    def forget_others(self, held: Iterable[tuple[VersionVector, int]], size_max: int) -> None:
        """If much is noted that the peer knows, forget what nobody is known to hold any more."""
        if len(self.knows) > size_max:
            self.knows = {vector: self.knows[vector] for vector, _ in held if vector in self.knows}

    def miss(self) -> None:
        """Note that we did not take something: nothing more is taken until the peer has begun again."""
        self.stale = True
        self.wanted += 1

    def move(self, head: int, vector: VersionVector) -> None:
        """Move the cursor as far as the peer holds our log, which ends at `head` and contains `vector`."""
        if self.have.descends(vector):
            self.cursor = self.looked = head
            self.mark = (head, vector)
        elif self.have.descends(self.mark[1]):
            self.cursor = max(self.cursor, self.mark[0])
            self.mark = (head, vector)

    def has(self, log_id: str, number: int) -> None:
        """Note that the peer has an entry: it sent it."""
        if number > self.have[log_id]:
            self.have = self.have.merge(VersionVector.wrap({log_id: number}))

    def send(self, entries: list[LogEntry], now: float) -> None:
        """Note that entries are on their way."""
        vector = {entry.log_id: entry.number for entry in entries}  # the last of each log wins
        byte_count = sum([len(entry.body) for entry in entries])
        self._on_the_way.append(Batch(VersionVector.wrap(vector), byte_count, now))
        self.byte_count += byte_count

    @property
    def oldest_sent_at(self) -> float | None:
        """When the oldest of what is on its way was sent."""
        return self._on_the_way[0].sent_at if self._on_the_way else None
