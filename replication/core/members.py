"""Who belongs to the cluster, what each is known to hold, and whether it is alive.

Each member has a *row*: what it holds, by its own word. Rows travel: directly, and through others to those who are
not connected with the member. Together they are the matrix from which quorums and the stable version are read (Wuu
and Bernstein, "Efficient Solutions to the Replicated Log and Dictionary Problems", PODC 1984).

Ages, not times, travel: "heard 0.4 seconds ago" means the same on every clock, and passing on never makes younger.

A member that is silent, even for ever, still counts for the stable version: it may come back with what nobody has
seen. Only `remove` ends that, by an explicit act, behind a *fence*: the highest of its numbers that any survivor holds.

Invariant: a row is replaced only by a later word of the same member: by (incarnation, sequence), or by its own mouth.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from calliope.stores.versioned import replica_of
from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN
from replication.core.member import Member as Member
from replication.core.member import MemberState as MemberState
from replication.core.messages import Fence, Row
from replication.core.settings import Settings
from replication.core.silence import Silence


class Members:
    """All other members, and the removed ones.

    Args:
        replica_id: our own id, which is never among them.
        settings: when a silent member is suspect, and dead.

    Attributes:
        changes: how often a row was replaced, or somebody removed.
        fences: removed replicas, and the highest of their numbers that a survivor holds.
    """

    def __init__(self, replica_id: str, settings: Settings) -> None:
        self._replica_id = replica_id
        self._members: dict[str, Member] = {}
        self._ids: list[str] = []
        self._changed: OrderedDict[str, None] = OrderedDict()  # the last to change comes last
        self._silence = Silence(settings)
        self.changes = 0
        self.fences: dict[str, VersionVector] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __contains__(self, replica_id: object) -> bool:
        return replica_id in self._members

    @property
    def are_we_removed(self) -> bool:
        """Whether the others have removed us."""
        return self._replica_id in self.fences

    def get(self, replica_id: str) -> Member | None:
        """Return a member, or None."""
        return self._members.get(replica_id)

    def admit(self, replica_id: str, now: float, address: str = "") -> bool:
        """Take somebody in, if it is not a member yet; say whether it was new."""
        if replica_id == self._replica_id or replica_id in self._members or replica_id in self.fences:
            return False
        self._members[replica_id] = member = Member(replica_id, address, "suspect", None, now)
        self._ids.append(replica_id)
        self._silence.look()
        self._change(member)
        return True

    def say(self, row: Row, now: float, *, direct: bool, teller: int = 0) -> bool:
        """Take a row over, if it is news; say whether it was.

        Args:
            row: what the member said.
            now: the time.
            direct: whether it said so itself, on this connection.
            teller: the bit of the link by which it came, if somebody else has told it.
        """
        member = self._members.get(row.replica_id)
        if member is None:
            return False
        self._silence.hear(member, now - row.age_seconds)
        is_news = self._say(member, row, direct=direct)
        known = member.row
        if teller and known is not None and row.log_id == known.log_id and row.vector == known.vector:
            member.tellers |= teller
        return is_news

    def _say(self, member: Member, row: Row, *, direct: bool) -> bool:
        known = member.row
        if known is None:
            self._silence.look()
        elif row.sequence == known.sequence and row.incarnation == known.incarnation:
            return self.acknowledge(row.replica_id, row.vector)  # it may have acknowledged more since it said so
        elif not direct and (row.incarnation, row.sequence) < (known.incarnation, known.sequence):
            return False
        member.row = row
        member.address = row.address or member.address
        if known is None or row.log_id != known.log_id or row.vector != known.vector:
            self._change(member)
        return True

    def forget_teller(self, bit: int) -> None:
        """A link is new: what was told by an earlier one with its bit does not count."""
        for member in self._members.values():
            member.tellers &= ~bit

    def acknowledge(self, replica_id: str, vector: VersionVector) -> bool:
        """Add to what a member holds, by its own word; say whether that was news."""
        member = self._members[replica_id]
        row = member.row
        if row is not None and not row.vector.descends(vector):
            merged = row.vector.merge(vector)
            member.row = Row(
                row.replica_id, row.incarnation, row.sequence, row.log_id, merged, row.age_seconds, row.address
            )
            self._change(member)
            return True
        return False

    def changed_since(self, changes: int) -> list[Member]:
        """Return the members whose rows have changed since so many changes, the oldest change first."""
        found = []
        for replica_id in reversed(self._changed):
            member = self._members[replica_id]
            if member.changes <= changes:
                break
            found.append(member)
        found.reverse()
        return found

    def part(self, start: int, count: int) -> tuple[list[Member], int]:
        """Return some members from a place on, and the place to go on from; all of them, in so many calls."""
        ids = self._ids
        chosen = ids[start : start + count]
        following = start + count if start + count < len(ids) else 0
        return [self._members[replica_id] for replica_id in chosen], following

    def _change(self, member: Member) -> None:
        self.changes += 1
        member.changes = self.changes
        member.tellers = 0
        self._changed[member.replica_id] = None
        self._changed.move_to_end(member.replica_id)

    def hear(self, replica_id: str, heard_at: float) -> None:
        """Note when a member was heard."""
        member = self._members.get(replica_id)
        if member is not None:
            self._silence.hear(member, heard_at)

    def hear_of(self, ages: Iterable[tuple[str, float]], now: float) -> None:
        """Note how many seconds ago members were heard."""
        members = self._members
        for replica_id, age in ages:
            member = members.get(replica_id)
            if member is not None:
                self._silence.hear(member, now - age)

    def judge(self, now: float) -> list[Member]:
        """Set each member's state by how long it was silent; return those whose state is another now."""
        return self._silence.judge(self._members.values(), now)

    def revive(self, replica_id: str, now: float) -> bool:
        """Say whether a member was not alive, and is again."""
        member = self._members.get(replica_id)
        return member is not None and self._silence.revive(member, now)

    def fence(self, fence: Fence, held: VersionVector) -> bool:
        """Remove a replica, or raise its fence to what a survivor holds, we among them; say whether that was news."""
        known = self.fences.get(fence.replica_id)
        ours = VersionVector.wrap({log: n for log, n in held.items() if replica_of(log) == fence.replica_id})
        raised = fence.vector.merge(ours)
        if known is not None:
            raised = raised.merge(known)
        self.fences[fence.replica_id] = raised
        self.changes += 1
        if self._members.pop(fence.replica_id, None) is not None:
            self._ids.remove(fence.replica_id)
            self._changed.pop(fence.replica_id, None)
        return known != raised

    def is_fenced(self, log_id: str, number: int) -> bool:
        """Say whether a number lies behind the fence of a removed replica."""
        fence = self.fences.get(replica_of(log_id)) if self.fences else None
        return fence is not None and number > fence[log_id]

    def stable(self, ours: VersionVector) -> VersionVector:
        """Return what no operation still to come can be concurrent to, as far as is known here.

        The pointwise minimum of all rows would not do: a member may have written something, after it had seen only a
        part, that has not arrived here. So a row counts once we hold all of its member's logs that anybody has told of:
        the member itself may not know, if its disk went back in time.
        """
        lacking = self._writers_of_what_lacks(ours)
        settled: dict[VersionVector, None] = {}  # in a cluster at rest all are equal
        for member in self._members.values():
            if member.replica_id not in lacking:
                member.settled = member.vector
            settled[member.settled] = None
        stable = NOTHING_SEEN if self._replica_id in lacking else ours
        for vector in settled:
            stable = stable.meet(vector)
        return stable

    def _writers_of_what_lacks(self, ours: VersionVector) -> set[str]:
        """Return who wrote what some member holds and we do not."""
        return {
            replica_of(log)
            for vector in dict.fromkeys([member.vector for member in self._members.values()])
            if not ours.descends(vector)
            for log, number in vector.items()
            if number > ours[log]
        }
