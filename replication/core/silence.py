"""Who was silent for how long: alive, suspect or dead.

Being heard only puts off the moment in which somebody was silent for too long. So nobody is looked at before the first
such moment, unless somebody was heard who was not alive: where all are well, a round costs nothing, however many there
are.
"""

from collections.abc import Iterable

from replication.core.member import Member, MemberState
from replication.core.settings import Settings

ANY_MOMENT = float("-inf")


class Silence:
    """Judges members by when they were heard last.

    Args:
        settings: when a silent member is suspect, and dead.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._judged_at = ANY_MOMENT
        self._due_at = ANY_MOMENT

    def look(self) -> None:
        """Look at everybody the next time: somebody is new, or has spoken for the first time."""
        self._due_at = ANY_MOMENT

    def hear(self, member: Member, heard_at: float) -> None:
        """Note when a member was heard."""
        if heard_at > member.heard_at:
            member.heard_at = heard_at
            if member.state != "alive" and heard_at + self._settings.suspect_after_seconds > self._judged_at:
                self.look()

    def judge(self, members: Iterable[Member], now: float) -> list[Member]:
        """Set each member's state by how long it was silent; return those whose state is another now."""
        if now < self._due_at:
            return []
        changed, settings = [], self._settings
        self._judged_at, self._due_at = now, now + settings.suspect_after_seconds
        for member in members:
            state = self._state(member, now)
            if state != member.state:
                member.state = state
                changed.append(member)
            if state != "dead":
                patience = settings.suspect_after_seconds if state == "alive" else settings.dead_after_seconds
                self._due_at = min(self._due_at, member.heard_at + patience)
        return changed

    def revive(self, member: Member, now: float) -> bool:
        """Say whether a member was not alive, and is again."""
        if member.state == "alive" or self._state(member, now) != "alive":
            return False
        member.state = "alive"
        self.look()
        return True

    def _state(self, member: Member, now: float) -> MemberState:
        silence = now - member.heard_at
        if silence >= self._settings.dead_after_seconds:
            return "dead"
        if silence >= self._settings.suspect_after_seconds or member.row is None:
            return "suspect"
        return "alive"
