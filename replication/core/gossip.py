"""What peers are told of what we hold and know: digests, where something is new, and heartbeats, where nothing is.

A digest goes to a few peers each gossip round. It repairs whatever was lost, and doubles as acknowledgement. A peer is
told of a member only if it is not connected with it, and only what it may not know yet.
"""

from collections.abc import Sequence
from math import ceil
from random import Random

from crdts import VersionVector
from replication.core.effects import Effects, Send
from replication.core.holdings import Holdings, fingerprint
from replication.core.incarnation import Incarnation
from replication.core.link import Link
from replication.core.members import Members, claim
from replication.core.messages import Acknowledgement, Claim, Digest, Fence, Heard, Heartbeat, Introduction
from replication.core.neighbours import Neighbours
from replication.core.own_log import OwnLog
from replication.core.settings import Settings
from replication.core.snapshot_target import SnapshotTarget

INTRODUCING_A_ROUND = 1 / 16
"""For what part of a round a peer to whom somebody was introduced is spared others."""


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
            introductions, claims = self._introductions(link), self._claims(link)
            is_known = link.told_vector == self._holdings.vector and link.told_rest == self._rest()
            if introductions or claims or not is_known:
                self._send_digest(link, introductions, claims, now, effects)
            else:
                rosters = self._members.fingerprint, self._members.incarnations
                told = (0, 0) if link.told_rosters == rosters else rosters
                link.told_rosters = rosters
                heartbeat = Heartbeat(self._holdings.fingerprint, *told, self._heard(link, now))
                effects.send.append(Send(link.peer, heartbeat))

    def tell(self, link: Link, now: float, effects: Effects, *, asks: bool = False) -> None:
        """Send a digest with all that is new to a peer."""
        if not self._is_too_early(link):
            self._send_digest(link, self._introductions(link), self._claims(link), now, effects, asks=asks)

    def greet(self, now: float, effects: Effects) -> None:
        """Send the first digest to those to whom it was too early."""
        for link in self._neighbours:
            if link.told_vector is None:
                self.tell(link, now, effects, asks=True)

    def tell_everybody(self, now: float, effects: Effects) -> None:
        """Send a digest to every peer."""
        for link in self._neighbours:
            self.tell(link, now, effects)

    def pass_on(self, now: float, effects: Effects) -> None:
        """Introduce new members at once, so that rosters are equal again soon; but not to a peer that just was told."""
        patience = self._settings.gossip_interval_seconds * INTRODUCING_A_ROUND
        for link in self._neighbours:
            if link.told_vector is not None and now - link.introduced_at >= patience:
                introductions = self._introductions(link)
                if introductions:
                    link.introduced_at = now
                    self._send_digest(link, introductions, self._claims(link), now, effects)

    def tell_again(self, link: Link, now: float) -> None:
        """Tell everything again from time to time, where messages are lost, but not before all was told once."""
        untold = self._members.introduced_since(link.told_introductions)
        if untold and untold[0][0] <= link.telling_through:
            return
        if link.told_all_at is None or now - link.told_all_at > self._settings.resend_after_seconds:
            link.told_all_at = now
            link.telling_through = self._members.introductions
            link.told_introductions = 0
            link.forget_knowledge()
            link.told_rest = link.told_rosters = None

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
        if link.roster == self._members.fingerprint:
            self._members.hear_of(heartbeat.heard, now)
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

    def _send_digest(
        self,
        link: Link,
        introductions: Sequence[Introduction],
        claims: Sequence[Claim],
        now: float,
        effects: Effects,
        *,
        asks: bool = False,
    ) -> None:
        link.told_vector = self._holdings.vector
        link.told_rest = self._rest()
        link.told_rosters = self._members.fingerprint, self._members.incarnations
        digest = Digest(
            self._incarnation.speak(self._own_log.log_id, self._holdings.vector),
            self._holdings.floor,
            tuple(introductions),
            self._members.fingerprint,
            self._members.incarnations,
            tuple(claims),
            self._heard(link, now, is_news=bool(introductions)),
            tuple([Fence(*item) for item in sorted(self._members.fences.items())]),
            self._neighbours.ids,
            link.wanted,
            asks,
            self._snapshot.reach,
        )
        effects.send.append(Send(link.peer, digest))

    def _introductions(self, link: Link) -> list[Introduction]:
        """Return who was new since a peer was told, as far as there is room; note that it was told."""
        members, told = self._members, list[Introduction]()
        is_news = link.incarnations != members.incarnations or link.told_introductions < members.addressed
        if link.told_introductions != members.introductions and is_news:
            for number, teller, introduction in members.introduced_since(link.told_introductions):
                if len(told) >= self._settings.introductions_max:
                    return told
                link.told_introductions = number
                if link.peer != introduction.replica_id and link.epoch != teller:
                    told.append(introduction)
        link.told_introductions = members.introductions
        if link.ready and link.peer in members and members.incarnation(link.peer) > link.incarnation:
            told.append(members.introduction(link.peer))  # it was further: its disk went back in time
        return told

    def _claims(self, link: Link) -> list[Claim]:
        """Return what a peer may not know of members that it does not hear itself, if it has our roster."""
        members, told = self._members, list[Claim]()
        roster = members.fingerprint
        matrix = roster, members.changes
        if link.roster != roster or link.told_matrix == matrix:
            return told
        far, link.told_matrix = self._far(link), matrix
        if link.knows_through != members.introductions:
            link.forget_of(members.recent(link.knows_through))
            link.knows_through = members.introductions
        if not link.said.descends(link.rumour):
            told.append(claim(link.rumour, members.bits((link.peer,))))
        for vector, holders in members.held():
            news = link.ignorance(roster, vector, holders & far)
            if not news or not vector:
                continue
            if len(told) >= self._settings.claims_max:
                link.told_matrix = None
                break
            link.learn(roster, vector, news)
            told.append(claim(vector, news))
        link.forget_others(members.held(), 2 * members.variety)
        return told

    def _heard(self, link: Link, now: float, *, is_news: bool = False) -> tuple[Heard, ...]:
        """Return who was heard of whom a peer does not hear itself, unless it was told just before."""
        if now - link.told_heard_at < self._members.moment_seconds and not is_news:
            return ()
        link.told_heard_at = now
        return self._members.heard(now, self._far(link))

    def _far(self, link: Link) -> int:
        """Return the members that a peer does not hear itself."""
        return self._members.others((link.peer, *link.neighbours))

    def _rest(self) -> object:
        fences = tuple(sorted(self._members.fences.items()))
        said = self._incarnation.number, self._incarnation.address
        return (self._holdings.floor, fences, self._neighbours.ids, self._snapshot.reach, said)
