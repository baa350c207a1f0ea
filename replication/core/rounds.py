"""Gossip rounds: what is done as time passes."""

from random import Random

from replication.core.effects import Effects
from replication.core.link import Link
from replication.core.parts import Parts


class Rounds:
    """Judges, repairs and gossips, again and again, a little irregularly, so that replicas do not march in step.

    Args:
        parts: of this replica.
        random: where chance comes from.
        now: the time.

    Attributes:
        next_at: when the next round is.
    """

    def __init__(self, parts: Parts, random: Random, now: float) -> None:
        self._parts = parts
        self._random = random
        self.next_at = now

    def tick(self, now: float, effects: Effects) -> None:
        """Go on, if it is time: who is silent, what was lost, what is new?"""
        if now < self.next_at:
            return
        parts = self._parts
        self.next_at = now + parts.settings.gossip_interval_seconds * self._random.uniform(0.9, 1.1)
        parts.membership.remember_again(effects)
        parts.membership.judge(now, effects)
        parts.stability.advance(effects)
        for link in parts.neighbours:
            if link.ready:
                self._repair(now, link, effects)
        parts.gossip.tick(now, effects)
        parts.questions.ask_again(now, effects)
        parts.target.tick(now, effects)

    def _repair(self, now: float, link: Link, effects: Effects) -> None:
        if not self._parts.settings.ordered:
            self._parts.gossip.tell_again(link, now)
        self._parts.intake.ask_again(now, link, effects)
        self._parts.anti_entropy.repair(link, now, effects)
