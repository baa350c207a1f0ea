"""Who belongs to the cluster, what each is known to hold, and whether it is alive.

What a member holds is known from its own word, directly, or through others if we are not connected with it. Together
that is the matrix from which quorums and the stable version are read. Within an incarnation a member only ever holds
more, so what is said of it is joined, in whatever order it comes; a later incarnation begins with nothing, as its disk
may have gone back. What a member says itself is believed in any case, unless it is in an earlier incarnation than
others have heard: then it is told so first.

A member that is silent, even for ever, still counts for the stable version: it may come back with what nobody has
seen. Only `remove` ends that, by an explicit act, behind a *fence*: the highest of its numbers that any survivor holds.

Invariant: what is said of a member counts only for the incarnation of which it was said.
"""

from collections.abc import Iterable, Iterator, Sequence

from calliope.stores.versioned import replica_of
from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN
from replication.core.matrix import Matrix
from replication.core.member import Member as Member
from replication.core.member import MemberState as MemberState
from replication.core.messages import Claim, Fence, Heard, Introduction, Row
from replication.core.roster import Renumber, Roster
from replication.core.settings import Settings
from replication.core.silence import Silence, as_bytes

INTRODUCED_MAX = 32_768
"""With so many members nobody is taken in by another's word alone: sets of them must fit in messages."""


class Members:
    """All other members, and the removed ones.

    Args:
        replica_id: our own id; we are in the roster, and not among the members.
        settings: when a silent member is suspect, and dead.

    Attributes:
        introductions: how often somebody, we among them, was new, or began another incarnation, or was removed.
        addressed: the last introduction that told only where a member listens: no fingerprint shows who knows it.
        fences: removed replicas, and the highest of their numbers that a survivor holds.
    """

    def __init__(self, replica_id: str, settings: Settings) -> None:
        self._replica_id = replica_id
        self._roster = Roster(replica_id)
        self._matrix = Matrix()
        self._former = Matrix()  # what who began another incarnation held before, until it is heard of in this one
        self._settled = Matrix()
        self._silence = Silence(settings)
        self._addresses: dict[str, str] = {}
        self._introduced: dict[str, tuple[int, int, Introduction]] = {}  # who was new last comes last
        self.introductions = self.addressed = 0
        self.fences: dict[str, VersionVector] = {}

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[str]:
        """Go through the ids of all members."""
        return iter(self._addresses)

    def __contains__(self, replica_id: object) -> bool:
        return replica_id in self._addresses

    @property
    def are_we_removed(self) -> bool:
        """Whether the others have removed us."""
        return self._replica_id in self.fences

    @property
    def addresses(self) -> dict[str, str]:
        """Where members listen; empty if that is not known."""
        return self._addresses

    @property
    def changes(self) -> int:
        """How often something was learnt of what members hold, or who they are."""
        return self._matrix.changes + self.introductions

    def get(self, replica_id: str) -> Member:
        """Return what is known of a member."""
        bit = self._roster.bit(replica_id)
        silence, address = self._silence, self._addresses[replica_id]
        return Member(replica_id, address, silence.state(bit), self._matrix.of(bit), silence.heard_at(bit))

    def is_alive(self, replica_id: str) -> bool:
        """Say whether somebody is a member, and was heard lately."""
        return replica_id in self._addresses and self._silence.state(self._roster.bit(replica_id)) == "alive"

    # Who they are ---------------------------------------------------------------------------------------------

    def admit(self, replica_id: str, now: float, address: str = "") -> bool:
        """Take somebody in, if it is not a member yet; say whether it was new."""
        return replica_id not in self._addresses and self._admit(Introduction(replica_id, 0, address), now)

    def meet(self, introduction: Introduction, now: float, teller: int) -> bool:
        """Take over who somebody is, by another's word; say whether it was no member before."""
        if introduction.replica_id not in self._addresses:
            return len(self) < INTRODUCED_MAX and self._admit(introduction, now, teller)
        self._reincarnate(introduction, teller)
        return False

    def speak(self, incarnation: int) -> None:
        """Note our own incarnation."""
        self.introductions += 1
        self._roster.incarnate(self._replica_id, incarnation)

    def incarnation(self, replica_id: str) -> int:
        """Return the incarnation of a member; 0: it was not heard."""
        return self._roster.incarnation(replica_id)

    def knows(self, introduction: Introduction) -> bool:
        """Say whether somebody is introduced whom we know as he is."""
        known = self._introduced.get(introduction.replica_id)
        return known is not None and known[2] == introduction

    def recent(self, introductions: int) -> int:
        """Return the bits of those who were new since so many introductions."""
        if introductions == self.introductions:
            return 0
        return self.bits([introduction.replica_id for _, _, introduction in self.introduced_since(introductions)])

    def introduction(self, replica_id: str) -> Introduction:
        """Return who a member is."""
        return self._introduced[replica_id][2]

    def introduced_since(self, introductions: int) -> list[tuple[int, int, Introduction]]:
        """Return who was new since so many introductions, the first of them first, each with its own and its teller.

        The teller is the epoch of a link: who told it on an earlier one may not know it any more.
        """
        found = []
        for introduced in reversed(self._introduced.values()):
            if introduced[0] <= introductions:
                break
            found.append(introduced)
        found.reverse()
        return found

    def _admit(self, introduction: Introduction, now: float, teller: int = 0) -> bool:
        replica_id = introduction.replica_id
        if replica_id == self._replica_id or replica_id in self.fences:
            return False
        self._addresses[replica_id] = introduction.address
        self._roster.add(replica_id, introduction.incarnation)
        self._silence.admit(self._roster.bit(replica_id), now)
        self._introduce(introduction, teller)
        return True

    def _reincarnate(self, introduction: Introduction, teller: int = 0) -> None:
        """Note an incarnation, if it is later than the known one, or where it listens, if that was not known."""
        replica_id, incarnation = introduction.replica_id, introduction.incarnation
        known = self._roster.incarnation(replica_id)
        if incarnation < known or (incarnation == known and (not introduction.address or self._addresses[replica_id])):
            return
        if not introduction.address:
            introduction = Introduction(replica_id, incarnation, self._addresses[replica_id])
        self._addresses[replica_id] = introduction.address
        if incarnation > known:
            bit = self._roster.bit(replica_id)
            self._roster.incarnate(replica_id, incarnation)
            self._former.raise_to(bit, self._matrix.of(bit))
            self._matrix.forget(bit)
        self._introduce(introduction, teller)
        if incarnation == known:
            self.addressed = self.introductions

    def _introduce(self, introduction: Introduction, teller: int) -> None:
        self.introductions += 1
        self._introduced.pop(introduction.replica_id, None)
        self._introduced[introduction.replica_id] = self.introductions, teller, introduction

    # What they hold -------------------------------------------------------------------------------------------

    def say(self, row: Row, now: float) -> None:
        """Take over what a member says of itself, unless another one has heard it in a later incarnation."""
        if row.replica_id in self._addresses:
            self._reincarnate(Introduction(row.replica_id, row.incarnation, row.address))
            bit = self._roster.bit(row.replica_id)
            self._silence.hear(bit, now)
            if row.incarnation == self._roster.incarnation(row.replica_id):
                self._matrix.set(bit, row.vector)
                self._former.forget(bit)

    def told_of(self, replica_id: str, incarnation: int) -> VersionVector:
        """Return what somebody is known to hold, if an incarnation is the last that was heard of."""
        if replica_id not in self._addresses or incarnation != self._roster.incarnation(replica_id):
            return NOTHING_SEEN
        return self._matrix.of(self._roster.bit(replica_id))

    def acknowledge(self, replica_id: str, incarnation: int, vector: VersionVector) -> None:
        """Add to what a member holds, by its own word in an incarnation."""
        if incarnation == self._roster.incarnation(replica_id):
            self._matrix.raise_to(self._roster.bit(replica_id), vector)

    @property
    def fingerprint(self) -> int:
        """The fingerprint of the roster: sets of members mean something only to those whose roster has it, too."""
        return self._roster.fingerprint

    @property
    def incarnations(self) -> int:
        """The fingerprint of all incarnations: whoever has it, too, says nothing of an earlier incarnation."""
        return self._roster.incarnations

    def bits(self, replica_ids: Iterable[str]) -> int:
        """Return the bits of those of some replicas that are known."""
        self._arrange()
        return self._roster.bits(replica_ids)

    def others(self, replica_ids: Iterable[str]) -> int:
        """Return the bits of all members but some."""
        return self._roster.everybody & ~self.bits((self._replica_id, *replica_ids))

    def held(self) -> Iterator[tuple[VersionVector, int]]:
        """Go through all that members are known to hold, with the bits of those who hold it."""
        self._arrange()
        return iter(self._matrix)

    def believe(self, claim: Claim, but: int) -> int:
        """Take over what another replica with our roster has heard that members hold; return the bits of those.

        Args:
            claim: what it has heard.
            but: members of whom it is not believed: they say so to us themselves, or it was said of an earlier one.
        """
        self._arrange()
        bits = int.from_bytes(claim.members, "little") & self._roster.everybody
        believed = bits & ~but & ~self._roster.bit(self._replica_id)
        self._matrix.raise_to(believed, claim.vector)
        self._former.forget(believed)
        return bits

    def is_of_us(self, claim: Claim) -> bool:
        """Say whether something is claimed of ourselves."""
        return bool(int.from_bytes(claim.members, "little") & self.bits((self._replica_id,)))

    def named(self, members: int) -> list[str]:
        """Return the ids of replicas with some bits."""
        self._arrange()
        return self._roster.ids_of(members & self._roster.everybody)

    def holders(self, log_id: str, number: int) -> set[str]:
        """Return the members that are known to hold an entry."""
        return {
            replica_id
            for vector, members in self._matrix
            if vector[log_id] >= number
            for replica_id in self._roster.ids_of(members)
        }

    def numbers(self, log_id: str) -> list[int]:
        """Return up to which number of a log each member that was heard is known to hold it."""
        return [number for vector, members in self._matrix for number in [vector[log_id]] * members.bit_count()]

    def stable(self, ours: VersionVector) -> VersionVector:
        """Return what no operation still to come can be concurrent to, as far as is known here.

        The pointwise minimum of all that members hold would not do: a member may have written something, after it had
        seen only a part, that has not arrived here. So what a member holds counts once we hold all of its logs that
        anybody has told of: the member itself may not know, if its disk went back in time.
        """
        lacking = self._writers_of_what_lacks(ours)
        unsettled = self._roster.bits(lacking)
        self._settled.settle(self._matrix, ~unsettled)
        counted = self._roster.bit(self._replica_id)
        stable = NOTHING_SEEN if self._replica_id in lacking else ours
        for vector, members in self._settled:
            stable = stable.meet(vector)
            counted |= members
        return stable if counted == self._roster.everybody else NOTHING_SEEN

    @property
    def variety(self) -> int:
        """How many different vectors members are known to hold."""
        return len(self._matrix)

    def _writers_of_what_lacks(self, ours: VersionVector) -> set[str]:
        """Return who wrote what some member holds and we do not."""
        return {
            replica_of(log)
            for vector, _ in (*self._matrix, *self._former)
            if not ours.descends(vector)
            for log, number in vector.items()
            if number > ours[log]
        }

    # Whether they are alive -----------------------------------------------------------------------------------

    def hear(self, replica_id: str, heard_at: float) -> None:
        """Note when something of a member was heard; it has not spoken before it says what it holds."""
        if replica_id in self._addresses:
            self._silence.admit(self._roster.bit(replica_id), heard_at)

    def hear_of(self, heard: Sequence[Heard], now: float) -> None:
        """Take over how many seconds ago another replica with our roster has heard members."""
        if heard:
            self._silence.hear_of(heard, now, self.others(()))

    @property
    def moment_seconds(self) -> float:
        """What is heard within so long is told as heard at once."""
        return self._silence.moment_seconds

    def heard(self, now: float, among: int) -> tuple[Heard, ...]:
        """Return how many seconds ago some members were heard."""
        self._arrange()
        return self._silence.told(now, among)

    def judge(self, now: float) -> list[tuple[str, MemberState]]:
        """Judge all members by how long they were silent; return those whose state is another now."""
        changed = self._silence.judge(now)
        if not changed:
            return []
        return [(name, self._silence.state(self._roster.bit(name))) for name in self._roster.ids_of(changed)]

    def revive(self, replica_id: str, now: float) -> bool:
        """Say whether a member was not alive, and is again."""
        return replica_id in self._addresses and self._silence.revive(self._roster.bit(replica_id), now)

    # Removal --------------------------------------------------------------------------------------------------

    def fence(self, fence: Fence, held: VersionVector) -> bool:
        """Remove a replica, or raise its fence to what a survivor holds, we among them; say whether that was news."""
        known = self.fences.get(fence.replica_id)
        ours = VersionVector.wrap({log: n for log, n in held.items() if replica_of(log) == fence.replica_id})
        raised = fence.vector.merge(ours)
        if known is not None:
            raised = raised.merge(known)
        self.fences[fence.replica_id] = raised
        if self._addresses.pop(fence.replica_id, None) is not None:
            del self._introduced[fence.replica_id]
            self.introductions += 1
            self._renumber(self._roster.remove(fence.replica_id))
        return known != raised

    def is_fenced(self, log_id: str, number: int) -> bool:
        """Say whether a number lies behind the fence of a removed replica."""
        fence = self.fences.get(replica_of(log_id)) if self.fences else None
        return fence is not None and number > fence[log_id]

    # Numbers --------------------------------------------------------------------------------------------------

    def _arrange(self) -> None:
        renumber = self._roster.arrange()
        if renumber is not None:
            self._renumber(renumber)

    def _renumber(self, renumber: Renumber) -> None:
        for part in (self._matrix, self._former, self._settled, self._silence):
            part.renumber(renumber)


def claim(vector: VersionVector, members: int) -> Claim:
    """Return that members hold at least what is in a vector."""
    return Claim(vector, as_bytes(members))
