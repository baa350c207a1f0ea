"""Entries of peers, on their way to the disk.

Invariant: an entry is given to the disk only directly after its predecessor in its log.

Gaps are never skipped: over an ordered transport they are the sender's fault and end the connection, unless we
ourselves refused something before; otherwise we ask to begin again. And nothing that was sent before the sender has
begun again is taken, even if it is the next of its log: its past may be in what was not taken.
"""

from calliope.stores.versioned import LogEntry
from replication.core.effects import Effects, Receive, Refuse
from replication.core.gossip import Gossip
from replication.core.holdings import Holdings
from replication.core.link import Link
from replication.core.members import Members
from replication.core.messages import Entries
from replication.core.neighbours import Neighbours
from replication.core.scrutiny import Scrutiny
from replication.core.settings import Settings
from replication.core.takeover import Takeover


class Intake:
    """Takes what is next, refuses what is wrong, and asks again for what it could not take.

    Args:
        holdings: what this journal holds.
        scrutiny: what is wrong with an entry.
        members: the others, and the fences of removed ones.
        neighbours: the links.
        gossip: tells peers what we hold.
        takeover: a snapshot that is being made ours.
        settings: times and bounds.
    """

    def __init__(
        self,
        holdings: Holdings,
        scrutiny: Scrutiny,
        members: Members,
        neighbours: Neighbours,
        gossip: Gossip,
        takeover: Takeover,
        settings: Settings,
    ) -> None:
        self._holdings = holdings
        self._scrutiny = scrutiny
        self._members = members
        self._neighbours = neighbours
        self._gossip = gossip
        self._takeover = takeover
        self._settings = settings

    def take(self, now: float, link: Link, message: Entries, effects: Effects) -> None:
        """Have stored what is next, up to the first entry that cannot be taken."""
        if message.beginning < link.wanted:
            if not self._settings.ordered and not link.stale:
                self._gossip.tell(link, now, effects)  # what asked to begin again may be lost
            return
        if self._takeover.is_under_way:  # what states contain must not come after what was written after them
            link.miss()
            return
        taken: list[LogEntry] = []
        for entry in message.entries:
            problem = self._scrutiny.problem(entry)
            if problem:
                effects.refuse.append(Refuse(link.peer, problem))
                break
            link.has(entry.log_id, entry.number)
            following = self._holdings.promised(entry.log_id) + 1
            if entry.number < following:
                continue
            if entry.number > following or self._members.is_fenced(entry.log_id, entry.number):
                self._miss(now, link, entry, effects)
                break
            if self._holdings.waiting_bytes > self._settings.incoming_bytes:
                link.miss()
                break
            self._holdings.wait(entry)
            taken.append(entry)
        if taken:
            effects.persist.append(Receive(link.peer, tuple(taken)))
        elif not self._settings.ordered and not effects.refuse and not link.stale:
            self._gossip.acknowledge(link, effects)  # all of it is known: the acknowledgement was lost

    def failed(self) -> None:
        """Something received could not be stored, nor what follows it: everybody is asked to begin again."""
        self._holdings.forget_promises()
        for link in self._neighbours:
            link.miss()

    def ask_again(self, now: float, link: Link, effects: Effects) -> None:
        """Ask a peer to begin again, once there is room for what it sends."""
        if link.stale and self._holdings.waiting_bytes == 0:
            link.stale = False
            self._gossip.tell(link, now, effects)

    def _miss(self, now: float, link: Link, entry: LogEntry, effects: Effects) -> None:
        """An entry is not the next of its log, or lies behind a fence."""
        log_id, number = entry.log_id, entry.number
        is_fenced = self._members.is_fenced(log_id, number)
        if not self._settings.ordered and not is_fenced:
            link.miss()
            link.stale = False
            self._gossip.tell(link, now, effects)
        elif is_fenced or link.stale:
            link.miss()
        else:
            following = self._holdings.promised(log_id) + 1
            effects.refuse.append(Refuse(link.peer, f"sent {log_id}:{number} where {following} was next"))
