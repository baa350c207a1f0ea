"""Handing on: each peer is sent what it lacks, in our own log order (Petersen et al., SOSP 1997).

Our journal took each entry after the entry's causal past, so the peer does as well, and whoever is connected with
anybody gets everything. What becomes durable here is read for each connected peer and sent, at once; but what its
writer, who is connected with the peer, has sent anyway, is *passed over*. Only the tail of the log can be: what comes
before anything that must be sent is sent as well, for it may be its past. If what was passed over does not arrive
within a moment, the link becomes *eager* and nothing is passed over any more. A window bounds what is on the way.
"""

from collections.abc import Sequence

from calliope.stores.replica_store import LogPage
from calliope.stores.versioned import LogEntry, replica_of
from crdts import VersionVector
from replication.core.effects import Effects, Read, Send
from replication.core.holdings import Holdings
from replication.core.link import Link
from replication.core.members import Members
from replication.core.messages import Entries
from replication.core.neighbours import Neighbours
from replication.core.settings import Settings


class AntiEntropy:
    """Sends peers what they lack.

    Args:
        replica_id: who we are.
        holdings: what this journal holds.
        members: the others.
        neighbours: the links.
        settings: times and bounds.
    """

    def __init__(
        self, replica_id: str, holdings: Holdings, members: Members, neighbours: Neighbours, settings: Settings
    ) -> None:
        self._replica_id = replica_id
        self._holdings = holdings
        self._members = members
        self._neighbours = neighbours
        self._settings = settings

    def feed_all(self, effects: Effects) -> None:
        """Have the next page read for everybody who needs one."""
        for link in self._neighbours:
            self.feed(link, effects)

    def feed(self, link: Link, effects: Effects) -> None:
        """Have the next page read for a peer, if there is something, and room on the way."""
        settings, holdings = self._settings, self._holdings
        room = settings.window_bytes - link.byte_count
        if not link.ready or link.reading or link.fetching or link.behind_floor or room <= 0:
            return
        if self._members.are_we_removed or not holdings.is_whole:
            return
        if link.byte_count and not settings.ordered:  # if it is lost, what follows must not be taken without it
            return
        link.move(holdings.head, holdings.vector)
        if link.looked >= holdings.head:
            return
        link.reading = True
        effects.read.append(Read(link.peer, link.have, link.cursor, min(settings.batch_bytes, room), link.epoch))

    def loaded(self, now: float, link: Link, page: LogPage, effects: Effects) -> None:
        """Send what a peer needs of a page that was read for it."""
        link.reading = False
        if link.behind_floor:
            return  # operations were dropped from our log since the page was asked for: it may have holes
        link.looked = max(link.looked, page.through)
        chosen, complete = self._chosen(link, page)
        if complete:
            link.cursor = max(link.cursor, page.through)
        if chosen:
            link.send(chosen, now)
            effects.send.append(Send(link.peer, Entries(tuple(chosen), link.beginning)))
        self.feed(link, effects)

    def pass_over(self, link: Link, entries: Sequence[tuple[int, LogEntry]], before: int) -> None:
        """Note that entries after a log position are new, and a peer needs none of them from us now, if that is so."""
        if link.looked != before:
            return
        lacking = [entry for _, entry in entries if entry.number > link.have[entry.log_id]]
        if all(self._is_left(link, entry) for entry in lacking):
            link.passed_over = link.passed_over or bool(lacking)
            link.looked = self._holdings.head

    def begin_eagerly(self, link: Link) -> None:
        """Begin again with what a peer has said that it holds, and leave nothing to others."""
        link.eager = True
        self._neighbours.begin(link)

    def repair(self, link: Link, now: float, effects: Effects) -> None:
        """Begin again where something sent, or left to others, has not arrived for a while."""
        if link.said.descends(self._holdings.vector):
            link.behind_since = None
            link.eager = False
            return
        if link.behind_since is None:
            link.behind_since = now
            return
        patience = self._settings.resend_after_seconds
        if link.passed_over and not link.byte_count:
            patience = 2 * self._settings.gossip_interval_seconds
        is_overdue = now - link.behind_since > patience and not link.byte_count
        if is_overdue or self._is_lost(link, now):
            self.begin_eagerly(link)
            self.feed(link, effects)

    def _chosen(self, link: Link, page: LogPage) -> tuple[list[LogEntry], bool]:
        """Return what is to be sent of a page, and whether that is all of it that the peer lacks.

        Each entry follows its past. So only what comes after everything that must be sent is left to nearer ones.
        """
        have = dict(link.have.items())
        chosen: list[LogEntry] = []
        count, complete = 0, True
        for entry in page.entries:
            following = have.get(entry.log_id, 0) + 1
            if entry.number > following:  # what lies between is only in states
                complete = False
                break
            if entry.number == following:
                have[entry.log_id] = entry.number
                chosen.append(entry)
                if not self._is_left(link, entry):
                    count = len(chosen)
        if not page.complete:
            count = len(chosen)
        if count < len(chosen):
            complete = False
            del chosen[count:]
        link.passed_over = link.passed_over or not complete
        if chosen:
            link.have = link.have.merge(VersionVector.wrap({entry.log_id: entry.number for entry in chosen}))
        return chosen, complete

    def _is_left(self, link: Link, entry: LogEntry) -> bool:
        """Say whether an entry is left to its writer, who is alive, connected with a peer, and sends it itself."""
        writer = replica_of(entry.log_id)
        if link.eager or writer in (self._replica_id, link.peer) or writer not in link.neighbours:
            return False
        return self._members.is_alive(writer)

    def _is_lost(self, link: Link, now: float) -> bool:
        sent_at = link.oldest_sent_at
        return sent_at is not None and now - sent_at > self._settings.resend_after_seconds
