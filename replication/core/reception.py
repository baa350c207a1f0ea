"""What peers say: each message is led to the part that understands it."""

from replication.core.effects import Effects, Refuse
from replication.core.link import Link
from replication.core.messages import (
    Acknowledgement,
    Answer,
    Digest,
    Entries,
    Heartbeat,
    Message,
    Question,
    SnapshotChunk,
    SnapshotRequest,
)
from replication.core.parts import Parts


class Reception:
    """Takes messages of connected peers.

    Args:
        parts: of this replica.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def take(self, now: float, link: Link, message: Message, effects: Effects) -> None:
        """A message has arrived; a removed peer is refused."""
        parts = self._parts
        if parts.membership.refuses(link.peer, effects):
            return
        parts.members.hear(link.peer, now)
        self._lead(now, link, message, effects)
        parts.membership.revive(link.peer, now, effects)

    def _lead(self, now: float, link: Link, message: Message, effects: Effects) -> None:
        parts = self._parts
        match message:
            case Entries():
                parts.intake.take(now, link, message, effects)
            case Acknowledgement():
                self._take_acknowledgement(link, message, effects)
            case Digest():
                self._take_digest(now, link, message, effects)
            case Heartbeat():
                parts.membership.agree(link, message)
                parts.gossip.hear(now, link, message, effects)
            case Question():
                parts.questions.answer(link, message, effects)
            case Answer():
                parts.questions.hear(link, message, effects)
            case SnapshotRequest():
                parts.source.asked(link, message, effects)
            case SnapshotChunk():
                parts.target.take(now, link, message, effects)

    def _take_digest(self, now: float, link: Link, digest: Digest, effects: Effects) -> None:
        parts, row = self._parts, digest.own
        if row.replica_id != link.peer:
            effects.refuse.append(Refuse(link.peer, f"speaks as {row.replica_id!r}"))
            return
        if not row.vector.descends(digest.floor):
            effects.refuse.append(Refuse(link.peer, "has dropped operations that it never held"))
            return
        if not parts.scrutiny.believes(link, row.vector.merge(digest.staged), effects):
            return
        introductions = parts.members.introductions
        link.speak(row.incarnation)
        if not link.ready:
            link.rumour = parts.members.told_of(row.replica_id, row.incarnation)
        parts.members.say(row, now)
        if not link.ready or digest.beginning > link.beginning:
            link.said = row.vector
            link.beginning = digest.beginning
            parts.neighbours.begin(link)
        link.ready = True
        link.hold(row.vector)
        link.meet(digest.neighbours)
        link.floor = digest.floor
        link.staged = digest.staged
        link.compare(parts.holdings.floor)
        for fence in digest.fences:
            parts.membership.fence(fence, effects)
        if link.peer in parts.members.fences:
            return
        parts.membership.hear(link, digest, now, effects)
        if parts.members.introductions != introductions:
            parts.gossip.pass_on(now, effects)
        self._decide_log(effects)
        parts.target.want(now, link, effects)
        if digest.asks:
            parts.gossip.tell(link, now, effects)
        parts.tally.announce_all(effects)
        parts.anti_entropy.feed(link, effects)

    def _take_acknowledgement(self, link: Link, said: Acknowledgement, effects: Effects) -> None:
        parts = self._parts
        if parts.scrutiny.believes(link, said.vector, effects):
            parts.members.acknowledge(link.peer, link.incarnation, said.vector)
            link.hold(link.said.merge(said.vector))
            link.compare(parts.holdings.floor)
            parts.tally.announce(said.vector, effects)
            parts.anti_entropy.feed(link, effects)

    def _decide_log(self, effects: Effects) -> None:
        parts = self._parts
        if parts.own_log.is_in_doubt:
            told = parts.membership.told()
            is_everybody = len(told) == len(parts.members) and not parts.tally.is_somebody_unknown
            parts.own_log.decide(told, effects, is_everybody=is_everybody)
