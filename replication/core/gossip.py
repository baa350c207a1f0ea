"""What peers are told of what we hold and know: digests, where something is new, and heartbeats, where nothing is.

A digest goes to a few peers each gossip round. It repairs whatever was lost, and doubles as acknowledgement. A peer is
told of a member only if it is not connected with it, and only what has changed since it was told.
"""

from collections.abc import Sequence
from math import ceil
from random import Random

from crdts import VersionVector
from replication.core.effects import Effects, Send
from replication.core.holdings import Holdings, fingerprint
from replication.core.incarnation import Incarnation
from replication.core.link import Link
from replication.core.members import Member, Members
from replication.core.messages import Acknowledgement, Digest, Fence, Heartbeat, Row
from replication.core.neighbours import Neighbours
from replication.core.own_log import OwnLog
from replication.core.settings import Settings
from replication.core.snapshot_target import SnapshotTarget


class Gossip:
    """Tells peers what is new to them.

    Args:
        incarnation: in whose name we speak.
        own_log: the log that we write.
        holdings: what this journal holds.
        members: the others.
        neighbours: the links.
        snapshot: what is staged.
        settings: times and bounds.
        random: where chance comes from.
    """

    def __init__(
        self,
        incarnation: Incarnation,
        own_log: OwnLog,
        holdings: Holdings,
        members: Members,
        neighbours: Neighbours,
        snapshot: SnapshotTarget,
        settings: Settings,
        random: Random,
    ) -> None:
        self._incarnation = incarnation
        self._own_log = own_log
        self._holdings = holdings
        self._members = members
        self._neighbours = neighbours
        self._snapshot = snapshot
        self._settings = settings
        self._random = random

    def tick(self, now: float, effects: Effects) -> None:
        """Tell a few peers what is new, or that nothing is."""
        for link in self._next_to_hear():
            link.gossiped_at = now
            if self._is_too_early(link):
                continue
            rows = self._news(link, now)
            if rows or link.told_vector != self._holdings.vector or link.told_rest != self._rest():
                self._send_digest(link, rows, effects)
            else:
                heartbeat = Heartbeat(self._holdings.fingerprint, tuple(self._ages(link, now)))
                effects.send.append(Send(link.peer, heartbeat))

    def tell(self, link: Link, now: float, effects: Effects, *, asks: bool = False) -> None:
        """Send a digest with all that is new to a peer."""
        if not self._is_too_early(link):
            self._send_digest(link, self._news(link, now), effects, asks=asks)

    def greet(self, now: float, effects: Effects) -> None:
        """Send the first digest to those to whom it was too early."""
        for link in self._neighbours:
            if link.told_vector is None:
                self.tell(link, now, effects, asks=True)

    def tell_everybody(self, now: float, effects: Effects) -> None:
        """Send a digest to every peer."""
        for link in self._neighbours:
            self.tell(link, now, effects)

    def tell_again(self, link: Link, now: float) -> None:
        """Tell everything again from time to time, where messages are lost, but not before all was told once."""
        untold = self._members.changed_since(link.told_changes)
        if untold and untold[0].changes <= link.telling_through:
            return
        if link.told_all_at is None or now - link.told_all_at > self._settings.resend_after_seconds:
            link.told_all_at = now
            link.telling_through = self._members.changes
            link.told_changes = 0
            link.told_rest = None

    def acknowledge(self, link: Link, effects: Effects) -> None:
        """Say which logs have grown durably since a peer was told."""
        told = link.told_vector
        if not link.ready or told is None:
            return
        grown = self._holdings.vector
        if self._settings.ordered:
            grown = VersionVector.wrap({log: number for log, number in grown.items() if number > told[log]})
        link.told_vector = self._holdings.vector
        effects.send.append(Send(link.peer, Acknowledgement(grown)))

    def hear(self, now: float, link: Link, heartbeat: Heartbeat, effects: Effects) -> None:
        """A peer says that it is alive, and whom it has heard; if it holds something else than we think, ask."""
        self._members.hear_of(heartbeat.ages[: self._settings.ages_max], now)
        if not link.ready or heartbeat.fingerprint != fingerprint(link.said):
            self.tell(link, now, effects, asks=True)

    def _is_too_early(self, link: Link) -> bool:
        """Say whether a peer must wait for our first digest.

        It may have gone back in time, and go on in its old log because we do not know more of it. What it sent before
        it went back may still be on its way to our disk.
        """
        return link.told_vector is None and self._holdings.awaits(link.peer)

    def _next_to_hear(self) -> list[Link]:
        """Return the links that have waited longest; each is served often enough that the peer does not suspect us."""
        settings = self._settings
        rounds = max(1.0, settings.suspect_after_seconds / settings.gossip_interval_seconds / 3)
        count = max(settings.fanout, ceil(len(self._neighbours) / rounds))
        links = list(self._neighbours)
        if len(links) > count:
            self._random.shuffle(links)
            links = sorted(links, key=lambda link: link.gossiped_at)[:count]
        return links

    def _send_digest(self, link: Link, rows: Sequence[Row], effects: Effects, *, asks: bool = False) -> None:
        link.told_vector = self._holdings.vector
        link.told_rest = self._rest()
        own = self._incarnation.speak(self._own_log.log_id, self._holdings.vector)
        fences = tuple([Fence(*item) for item in sorted(self._members.fences.items())])
        floor, neighbours = self._holdings.floor, self._neighbours.ids
        digest = Digest(own, floor, tuple(rows), fences, neighbours, link.wanted, asks, self._snapshot.reach)
        effects.send.append(Send(link.peer, digest))

    def _news(self, link: Link, now: float) -> list[Row]:
        """Return the rows that changed since a peer was told, of members it does not hear itself; note that it was."""
        rows: list[Row] = []
        for member in self._members.changed_since(link.told_changes):
            if len(rows) >= self._settings.rows_max:
                break
            link.told_changes = member.changes
            if _is_far(member, link) and not member.tellers & link.bit:  # who told us need not be told
                rows.append(member.told_at(now))
        return rows

    def _ages(self, link: Link, now: float) -> list[tuple[str, float]]:
        """Return how long ago some members were heard that a peer does not hear itself; others the next time."""
        members, link.ages_told = self._members.part(link.ages_told, self._settings.ages_max)
        return [
            (member.replica_id, max(0.0, now - member.heard_at))
            for member in members
            if member.row is not None and _is_far(member, link)
        ]

    def _rest(self) -> object:
        fences = tuple(sorted(self._members.fences.items()))
        return (self._holdings.floor, fences, self._neighbours.ids, self._snapshot.reach)


def _is_far(member: Member, link: Link) -> bool:
    """Say whether a peer does not hear a member itself."""
    return member.replica_id != link.peer and member.replica_id not in link.neighbours
