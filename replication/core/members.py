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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from calliope.stores.versioned import replica_of
from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN
from replication.core.messages import Fence, Row
from replication.core.settings import Settings

MemberState = Literal["alive", "suspect", "dead", "removed"]


@dataclass(slots=True)
class Member:
    """Another replica of the cluster, as far as it is known here.

    Attributes:
        replica_id: who it is.
        address: where it listens; empty if that is not known.
        state: whether it was heard lately.
        row: the last it said; None if it was not heard since we started.
        heard_at: when it was heard last, by our clock.
        changes: which change of a row its last one was, to tell what others were told of it.
        settled: what it held at the last moment of which we hold all that it had written by then.
    """

    replica_id: str
    address: str
    state: MemberState
    row: Row | None
    heard_at: float
    changes: int = 0
    settled: VersionVector = NOTHING_SEEN

    @property
    def vector(self) -> VersionVector:
        """What it is known to hold: nothing, if it was not heard."""
        return NOTHING_SEEN if self.row is None else self.row.vector

    def told_at(self, now: float) -> Row:
        """Return what others are told of it; if it was not heard, its name only: they must count it all the same."""
        row = self.row or Row(self.replica_id, 0, 0, f"{self.replica_id}~0", NOTHING_SEEN, 0.0, self.address)
        return msgspec.structs.replace(row, age_seconds=max(0.0, now - self.heard_at))


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
        self._settings = settings
        self._members: dict[str, Member] = {}
        self._ids: list[str] = []
        self._changed: OrderedDict[str, None] = OrderedDict()  # the last to change comes last
        self.changes = 0
        self.fences: dict[str, VersionVector] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

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
        self._change(member)
        return True

    def say(self, row: Row, now: float, *, direct: bool) -> bool:
        """Take a row over, if it is news; say whether it was.

        Args:
            row: what the member said.
            now: the time.
            direct: whether it said so itself, on this connection.
        """
        member = self._members.get(row.replica_id)
        if member is None:
            return False
        self.hear(row.replica_id, now - row.age_seconds)
        known = member.row
        if known is not None:
            if (row.incarnation, row.sequence) == (known.incarnation, known.sequence):
                return self.acknowledge(row.replica_id, row.vector)  # it may have acknowledged more since it said so
            if not direct and (row.incarnation, row.sequence) < (known.incarnation, known.sequence):
                return False
        member.row = row
        member.address = row.address or member.address
        if known is None or (row.vector, row.log_id) != (known.vector, known.log_id):
            self._change(member)
        return True

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
        self._changed[member.replica_id] = None
        self._changed.move_to_end(member.replica_id)

    def hear(self, replica_id: str, heard_at: float) -> None:
        """Note when a member was heard."""
        member = self._members.get(replica_id)
        if member is not None:
            member.heard_at = max(member.heard_at, heard_at)

    def judge(self, now: float) -> list[Member]:
        """Set each member's state by how long it was silent; return those whose state is another now."""
        changed = []
        for member in self._members.values():
            state = self._state(member, now)
            if state != member.state:
                member.state = state
                changed.append(member)
        return changed

    def revive(self, replica_id: str, now: float) -> bool:
        """Say whether a member was not alive, and is again."""
        member = self._members.get(replica_id)
        if member is None or member.state == "alive" or self._state(member, now) != "alive":
            return False
        member.state = "alive"
        return True

    def _state(self, member: Member, now: float) -> MemberState:
        silence = now - member.heard_at
        if silence >= self._settings.dead_after_seconds:
            return "dead"
        if silence >= self._settings.suspect_after_seconds or member.row is None:
            return "suspect"
        return "alive"

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
        stable = NOTHING_SEEN if self._replica_id in lacking else ours
        for member in self._members.values():
            if member.replica_id not in lacking:
                member.settled = member.vector
            stable = stable.meet(member.settled)
        return stable

    def _writers_of_what_lacks(self, ours: VersionVector) -> set[str]:
        """Return who wrote what some member holds and we do not."""
        return {
            replica_of(log)
            for member in self._members.values()
            if not ours.descends(member.vector)
            for log, number in member.vector.items()
            if number > ours[log]
        }
