"""Who was silent for how long: alive, suspect or dead.

When members were heard is kept as *moments*: a time, and the set of those who were heard then or soon after. So a
thousand members cost no more than a few, here and on their way to others, and nobody is ever made younger.

Ages, not times, travel: "heard 0.4 seconds ago" means the same on every clock.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from replication.core.member import MemberState
from replication.core.messages import Heard
from replication.core.roster import Renumber
from replication.core.settings import Settings

MOMENTS_A_SUSPICION = 16
"""Into how many parts the time is divided after which a silent member is suspect."""

FADING = 16
"""Moments that are closer than this part of their age become one."""

HEARD_MAX = 64
"""How many moments others are told of at once: more than there are within a suspicion."""


@dataclass(slots=True)
class Moment:
    """Those who were heard at a time, or soon after."""

    at: float
    members: int


class Silence:
    """Judges members, by the bits of a roster.

    Args:
        settings: when a silent member is suspect, and dead.

    Attributes:
        moment_seconds: what is heard within so long is heard at once.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.moment_seconds = settings.suspect_after_seconds / MOMENTS_A_SUSPICION
        self._moments: list[Moment] = []  # the oldest first; who is in several was heard in the last of them
        self._spoken = 0
        self._alive = 0
        self._dead = 0

    # Hearing --------------------------------------------------------------------------------------------------

    def admit(self, bits: int, at: float) -> None:
        """Begin to count the silence of members that have not spoken yet."""
        moments = self._moments
        if not moments or at - moments[-1].at >= self.moment_seconds:
            moments.append(Moment(at, bits))
            self._tidy(at)
            return
        place = bisect_right(moments, at, key=_at)
        if place and at - moments[place - 1].at < self.moment_seconds:
            moments[place - 1].members |= bits
        elif place < len(moments):
            moments.insert(place, Moment(min(at, moments[place].at - self.moment_seconds), bits))

    def hear(self, bits: int, at: float) -> None:
        """Note when members were heard."""
        self._begin(bits)
        self.admit(bits, at)

    def hear_of(self, heard: Iterable[Heard], now: float, among: int) -> None:
        """Take over how long ago others have heard some members."""
        moments, later = self._moments, 0
        place = len(moments)
        for each in sorted(heard, key=_age):
            bits, at = int.from_bytes(each.members, "little") & among, now - each.age_seconds
            first = bits & ~self._spoken
            if first:
                self._begin(first)
                later &= ~first
            while place and moments[place - 1].at >= at:
                place -= 1
                later |= moments[place].members
            bits &= ~later
            if bits:
                self.admit(bits, at)
                later |= bits

    def heard_at(self, bit: int) -> float:
        """Return when a member was heard, or admitted; never later than it was."""
        return next((moment.at for moment in reversed(self._moments) if moment.members & bit), float("-inf"))

    def told(self, now: float, among: int) -> tuple[Heard, ...]:
        """Return who of some members was heard, and how long ago, as far as it is not too long for others to know."""
        told = []
        among &= self._spoken
        for moment in reversed(self._moments):
            if now - moment.at >= self._settings.suspect_after_seconds:
                break
            if moment.members & among:
                told.append(Heard(max(0.0, now - moment.at), as_bytes(moment.members & among)))
        return tuple(told[:HEARD_MAX])

    # Judging --------------------------------------------------------------------------------------------------

    def judge(self, now: float) -> int:
        """Judge everybody by how long they were silent; return those whose state is another now."""
        heard = lately = known = 0
        for moment in reversed(self._moments):
            silence = now - moment.at
            known |= moment.members
            if silence < self._settings.suspect_after_seconds:
                heard |= moment.members
            if silence < self._settings.dead_after_seconds:
                lately |= moment.members
        alive, dead = heard & self._spoken, known & ~lately
        changed = (alive ^ self._alive) | (dead ^ self._dead)
        self._alive, self._dead = alive, dead
        return changed

    def revive(self, bit: int, now: float) -> bool:
        """Say whether a member was not alive, and is again."""
        if bit & self._alive or not bit & self._spoken:
            return False
        if now - self.heard_at(bit) >= self._settings.suspect_after_seconds:
            return False
        self._alive |= bit
        self._dead &= ~bit
        return True

    def state(self, bit: int) -> MemberState:
        """Return how a member was judged last."""
        return "alive" if self._alive & bit else "dead" if self._dead & bit else "suspect"

    # Keeping --------------------------------------------------------------------------------------------------

    def renumber(self, renumber: Renumber) -> None:
        """Change the numbers of all members; those that get none are forgotten."""
        self._spoken, self._alive, self._dead = map(renumber, (self._spoken, self._alive, self._dead))
        for moment in self._moments:
            moment.members = renumber(moment.members)

    def _begin(self, bits: int) -> None:
        """Members speak: when those were admitted who never spoke before does not count any more."""
        first = bits & ~self._spoken
        if first:
            self._spoken |= first
            for moment in self._moments:
                moment.members &= ~first

    def _tidy(self, now: float) -> None:
        """Have everybody in one moment, and few moments long ago."""
        later, kept = 0, list[Moment]()
        for moment in reversed(self._moments):
            moment.members &= ~later
            later |= moment.members
        for moment in self._moments:
            if kept and moment.at - kept[-1].at < (now - kept[-1].at) / FADING:
                kept[-1].members |= moment.members
            elif moment.members:
                kept.append(moment)
        self._moments = kept


def as_bytes(members: int) -> bytes:
    """Return the bits of members as they travel: number 0 is the lowest bit of the first byte."""
    return members.to_bytes((members.bit_length() + 7) // 8, "little")


_at, _age = attrgetter("at"), attrgetter("age_seconds")
