"""Who belongs to the cluster: admitted by a word, removed by an explicit act behind a fence, remembered durably."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from calliope.stores.versioned import replica_of
from crdts import VersionVector
from replication.core.effects import Effects, MemberChanged, Refuse, Remember
from replication.core.holdings import Holdings
from replication.core.incarnation import Incarnation
from replication.core.link import Link
from replication.core.members import Members, MemberState
from replication.core.messages import Claim, Digest, Fence, Heartbeat, Introduction
from replication.core.neighbours import Neighbours
from replication.core.roster import INCARNATION_MAX
from replication.core.scrutiny import Scrutiny
from replication.core.settings import Settings
from replication.core.tally import Tally


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


class Membership:
    """Admits, hears of, judges and removes members.

    Args:
        incarnation: in whose name we speak.
        holdings: what this journal holds.
        scrutiny: what others may hold.
        members: the others.
        neighbours: the links.
        tally: who waits for how many.
        settings: times and bounds.
    """

    def __init__(
        self,
        incarnation: Incarnation,
        holdings: Holdings,
        scrutiny: Scrutiny,
        members: Members,
        neighbours: Neighbours,
        tally: Tally,
        settings: Settings,
    ) -> None:
        self._incarnation = incarnation
        self._holdings = holdings
        self._scrutiny = scrutiny
        self._members = members
        self._neighbours = neighbours
        self._tally = tally
        self._settings = settings
        self._forgotten: set[str] = set()

    def recall(self, now: float, facts: dict[str, bytes]) -> None:
        """Know again whom we knew before this start."""
        for replica_id, address in msgspec.msgpack.decode(facts.get("members", b"\x80"), type=dict[str, str]).items():
            self._members.admit(replica_id, now, address)
        fences = msgspec.msgpack.decode(facts.get("fences", b"\x80"), type=dict[str, dict[str, int]])
        for replica_id, fence in fences.items():
            self._members.fence(Fence(replica_id, VersionVector(fence)), self._holdings.vector)

    def meet(self, link: Link, now: float, effects: Effects) -> None:
        """A peer has connected: it is a member, and alive."""
        if self._members.admit(link.peer, now):
            self._remember_members(effects)
        self._members.hear(link.peer, now)

    def hear(self, link: Link, digest: Digest, now: float, effects: Effects) -> None:
        """A peer tells what others have said; those with whom we are connected say it themselves."""
        members = self._members
        self._meet(link, digest.introductions[: self._settings.introductions_max], now, effects)
        self.agree(link, digest)
        if link.roster == members.fingerprint:
            for claim in digest.claims[: self._settings.claims_max]:
                self._weigh(link, claim, effects)
            link.forget_others(members.held(), 2 * members.variety + self._settings.claims_max)
            members.hear_of(digest.heard, now)

    def agree(self, link: Link, said: Digest | Heartbeat) -> None:
        """Compare a peer's roster with ours."""
        if said.roster:
            link.roster, link.incarnations = said.roster, said.incarnations
        if link.incarnations == self._members.incarnations:
            link.agree(self._members.introductions)

    def _meet(self, link: Link, introductions: Sequence[Introduction], now: float, effects: Effects) -> None:
        is_anybody_new = False
        for introduction in introductions:
            if self._members.knows(introduction) or introduction.incarnation > INCARNATION_MAX:
                continue
            if introduction.replica_id != self._incarnation.replica_id:
                is_anybody_new |= self._members.meet(introduction, now, link.epoch)
            elif introduction.incarnation > self._incarnation.number:
                self._incarnation.outdo(introduction.incarnation, effects)
        if is_anybody_new:
            self._remember_members(effects)

    def _weigh(self, link: Link, claim: Claim, effects: Effects) -> None:
        """Believe what members are said to hold, as far as it is possible, and they do not say otherwise themselves."""
        members, vector = self._members, claim.vector
        if self._scrutiny.is_possible(vector):  # else nobody is counted for it; who tells it may not know better
            near = members.bits(self._neighbours.ids)
            doubtful = self._doubtful(link)
            said = members.believe(claim, near | doubtful) & ~doubtful
            link.learn(members.fingerprint, vector, said)
            for peer in members.named(said & near):
                self._neighbours.hear_rumour(peer, vector)
        is_of_now = link.incarnations == members.incarnations
        if is_of_now and members.is_of_us(claim) and not self._holdings.vector.descends(vector):
            self._incarnation.outdo(self._incarnation.number, effects)

    def _doubtful(self, link: Link) -> int:
        """Return the bits of members of whose earlier incarnations a peer may speak."""
        members = self._members
        if self._settings.ordered:
            return members.recent(link.agreed)
        if link.incarnations == members.incarnations:
            return 0
        return members.others(())  # what it said before it agreed with us may come after that

    def judge(self, now: float, effects: Effects) -> None:
        """Announce who is in another state now, by how long it was silent."""
        effects.announce += [MemberChanged(*judged) for judged in self._members.judge(now)]

    def revive(self, replica_id: str, now: float, effects: Effects) -> None:
        """Announce at once that somebody is alive who was not."""
        if self._members.revive(replica_id, now):
            effects.announce.append(MemberChanged(replica_id, "alive"))

    def told(self) -> list[VersionVector]:
        """Return what those members hold, or may come to hold, who have told us so themselves on a connection."""
        links = [self._neighbours.get(replica_id) for replica_id in self._members]
        return [link.said.merge(link.staged) for link in links if link is not None and link.ready]

    def reports(self, now: float) -> list[MemberReport]:
        """Return all others that are known, removed ones last."""
        reports = [
            MemberReport(
                m.replica_id, m.state, m.address, m.vector, now - m.heard_at, _lag(m.vector, self._holdings.vector)
            )
            for m in map(self._members.get, sorted(self._members))
        ]
        return reports + [
            MemberReport(replica_id, "removed", "", fence, 0.0)
            for replica_id, fence in sorted(self._members.fences.items())
        ]

    # Removal --------------------------------------------------------------------------------------------------

    def refuses(self, peer: str, effects: Effects) -> bool:
        """Say whether a peer was removed, and refuse it then."""
        if peer in self._members.fences:
            effects.refuse.append(Refuse(peer, f"{peer!r} was removed from the cluster"))
            return True
        return False

    def remove(self, replica_id: str, effects: Effects) -> None:
        """Remove a member for ever.

        Raises:
            ValueError: it is ourselves, or no member.
        """
        if replica_id == self._incarnation.replica_id:
            raise ValueError(f"{replica_id!r} is this replica itself; remove it at another one")
        if replica_id not in self._members:
            raise ValueError(f"{replica_id!r} is no member of the cluster")
        self.fence(Fence(replica_id, VersionVector()), effects)

    def fence(self, fence: Fence, effects: Effects) -> None:
        """Take over that a replica was removed, and what survivors hold of it."""
        replica_id = fence.replica_id
        was_known = replica_id in self._members.fences
        if not self._members.fence(fence, self._holdings.vector):
            return
        self._remember_fences(effects)
        self._remember_members(effects)
        self._tally.forget(replica_id)
        if not was_known:
            effects.announce.append(MemberChanged(replica_id, "removed"))
        if replica_id in self._neighbours:
            self.refuses(replica_id, effects)
        self._tally.announce_all(effects)

    def raise_fences(self, log_ids: Sequence[str], effects: Effects) -> None:
        """Logs have grown: what was on its way to the disk when its writer was removed counts, too."""
        for replica_id in map(replica_of, log_ids):
            if replica_id in self._members.fences:
                self.fence(Fence(replica_id, VersionVector()), effects)

    def failed(self, remember: Remember) -> None:
        """A fact could not be remembered: it is tried again, or what it is by then."""
        if remember.name in ("members", "fences"):
            self._forgotten.add(remember.name)

    def remember_again(self, effects: Effects) -> None:
        """Remember what could not be remembered."""
        forgotten, self._forgotten = self._forgotten, set()
        if "fences" in forgotten:
            self._remember_fences(effects)
        if "members" in forgotten:
            self._remember_members(effects)

    def _remember_fences(self, effects: Effects) -> None:
        fences = {removed: held.to_dict() for removed, held in self._members.fences.items()}
        effects.persist.append(Remember("fences", _encode(fences)))

    def _remember_members(self, effects: Effects) -> None:
        effects.persist.append(Remember("members", _encode(self._members.addresses)))


def _lag(theirs: VersionVector, ours: VersionVector) -> int:
    return sum(number - theirs[log_id] for log_id, number in ours.items() if number > theirs[log_id])


_encode = msgspec.msgpack.Encoder().encode
