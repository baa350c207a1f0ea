"""Taking over states chunk by chunk: asking, storing, going on, also after a crash or with another peer.

`Bootstrap` tells in what order a snapshot comes, and why it may be cut off anywhere.
"""

from crdts import VersionVector
from replication.core.bootstrap import Bootstrap, decode_progress
from replication.core.effects import Effects, Install, MergeStates, Receive, Refuse, Remember, Send
from replication.core.holdings import Holdings
from replication.core.link import Link
from replication.core.messages import SnapshotChunk
from replication.core.neighbours import Neighbours
from replication.core.scrutiny import Scrutiny
from replication.core.settings import Settings


class SnapshotTarget:
    """Asks a peer for its states when it no longer has the operations that are missing here.

    Args:
        progress: what was remembered of a snapshot that was cut off, or None.
        holdings: what this journal holds.
        scrutiny: what is wrong with an entry, or a claim.
        neighbours: the links.
        settings: times and bounds.
    """

    def __init__(
        self, progress: bytes | None, holdings: Holdings, scrutiny: Scrutiny, neighbours: Neighbours, settings: Settings
    ) -> None:
        self._progress = progress
        self._holdings = holdings
        self._scrutiny = scrutiny
        self._neighbours = neighbours
        self._settings = settings
        self._bootstrap: Bootstrap | None = None
        self._is_forgotten = False
        holdings.is_whole = progress is None

    @property
    def is_under_way(self) -> bool:
        """Whether a snapshot is being taken over."""
        return self._bootstrap is not None

    @property
    def is_storing(self) -> bool:
        """Whether a chunk is on its way to the disk."""
        return self._bootstrap is not None and self._bootstrap.storing

    def want(self, now: float, link: Link, effects: Effects) -> None:
        """Ask a peer for its states, if it no longer has the operations that are missing here."""
        if self._bootstrap is None and not self._holdings.vector.descends(link.floor):
            self._bootstrap = Bootstrap.resumed(link.peer, link.said, self._progress, now)
            effects.send.append(Send(link.peer, self._bootstrap.request()))

    def tick(self, now: float, effects: Effects) -> None:
        """Begin where it is needed, and ask again for what was not answered."""
        if self._is_forgotten:
            self._is_forgotten = False
            effects.persist.append(Remember("bootstrap", self._progress))
        for link in self._neighbours:
            self.want(now, link, effects)
        bootstrap = self._bootstrap
        if bootstrap is None:
            self._forget_progress(effects)
        elif not bootstrap.storing and now - bootstrap.asked_at > self._settings.resend_after_seconds:
            self._ask_another(now, bootstrap, effects)

    def take(self, now: float, link: Link, chunk: SnapshotChunk, effects: Effects) -> None:
        """A chunk has arrived: remember how far it goes on, then have it stored."""
        bootstrap = self._bootstrap
        if bootstrap is None or not _is_awaited(bootstrap, link, chunk) or not self._is_good(link, chunk, effects):
            return
        bootstrap.peer = link.peer
        bootstrap.cut = chunk.cut
        bootstrap.following = chunk.following
        bootstrap.storing = True
        self._holdings.is_whole = False
        self._progress = bootstrap.progress(bootstrap.cursor, chunk.cut)
        effects.persist.append(Remember("bootstrap", self._progress))
        if chunk.states:
            effects.persist.append(MergeStates(link.peer, chunk.states))
        if chunk.entries:
            self._holdings.waiting_bytes += sum([len(entry.body) for entry in chunk.entries])
            effects.persist.append(Receive(link.peer, chunk.entries, chunk.cut))
        if not chunk.states and not chunk.entries:
            self.stored(now, effects)

    def stored(self, now: float, effects: Effects) -> None:
        """The chunk is durable: ask for the next one; after the last, everything up to the cut is held."""
        bootstrap = self._bootstrap
        if bootstrap is None or not bootstrap.storing:
            return
        bootstrap.storing = False
        if bootstrap.following is None:
            if bootstrap.cut is not None:
                effects.persist.append(Install(bootstrap.cut))
                bootstrap.storing = True
            return
        bootstrap.cursor = bootstrap.following
        self._ask(now, bootstrap, effects)

    def installed(self, effects: Effects) -> None:
        """Everything up to the cut is held durably."""
        self._bootstrap = None
        self._progress = None
        effects.persist.append(Remember("bootstrap", None))

    def forgot(self) -> None:
        """How far it has come could not be remembered: it is tried again."""
        self._is_forgotten = True

    def give_up(self) -> None:
        """Something of it could not be stored: begin again where it was cut off."""
        self._bootstrap = None

    def disconnected(self, peer: str) -> None:
        """A connection is gone: go on with another peer, unless a chunk is on its way to the disk."""
        if self._bootstrap is not None and self._bootstrap.peer == peer and not self._bootstrap.storing:
            self._bootstrap = None

    def _ask(self, now: float, bootstrap: Bootstrap, effects: Effects) -> None:
        if bootstrap.peer not in self._neighbours:
            self._bootstrap = None
            return
        bootstrap.asked_at = now
        effects.send.append(Send(bootstrap.peer, bootstrap.request()))

    def _ask_another(self, now: float, bootstrap: Bootstrap, effects: Effects) -> None:
        """Ask again for what was not answered, whoever comes next: a peer that is not whole itself never answers."""
        if bootstrap.cursor.after_position == 0:  # else only this peer knows what the position means
            able = [link for link in self._neighbours if link.ready and self._is_able(link, bootstrap)]
            later = [link for link in able if link.peer > bootstrap.peer]
            following = min(later or able, key=lambda link: link.peer, default=None)
            if following is not None:
                bootstrap = self._bootstrap = self._handed_over(now, bootstrap, following)
        self._ask(now, bootstrap, effects)

    def _is_able(self, link: Link, bootstrap: Bootstrap) -> bool:
        """Say whether a peer could go on with a snapshot, or, if nothing of it is here yet, begin one."""
        if bootstrap.cut is None:
            return not self._holdings.vector.descends(link.floor)
        return link.said.descends(bootstrap.cut)

    def _handed_over(self, now: float, bootstrap: Bootstrap, link: Link) -> Bootstrap:
        """Return a snapshot as a peer can go on with it; who was asked before may still answer."""
        following = Bootstrap.resumed(link.peer, link.said, self._progress, now)
        if bootstrap.cut is not None:
            following.cursor, following.cut = bootstrap.cursor, bootstrap.cut
        following.asked |= bootstrap.asked
        return following

    def _is_good(self, link: Link, chunk: SnapshotChunk, effects: Effects) -> bool:
        """Say whether nothing is wrong with a chunk; refuse its sender otherwise."""
        if not self._scrutiny.believes(link, chunk.cut, effects):
            return False
        for entry in chunk.entries:
            problem = self._scrutiny.problem(entry)
            if problem or entry.number > chunk.cut[entry.log_id] or entry.kind != "events":
                problem = problem or f"sent {entry.log_id}:{entry.number} outside of its snapshot"
                effects.refuse.append(Refuse(link.peer, problem))
                return False
        return True

    def _forget_progress(self, effects: Effects) -> None:
        """Forget a snapshot that was not taken over to its end, once its cut has come in another way."""
        if self._progress is None:
            return
        if self._holdings.vector.descends(VersionVector(decode_progress(self._progress).cut)):
            self._progress = None
            self._holdings.is_whole = True
            effects.persist.append(Remember("bootstrap", None))


def _is_awaited(bootstrap: Bootstrap, link: Link, chunk: SnapshotChunk) -> bool:
    """Say whether a chunk answers the last request, and not an earlier one."""
    if bootstrap.storing or chunk.cursor != bootstrap.cursor:
        return False
    if link.peer not in (bootstrap.asked if chunk.cursor.after_position == 0 else (bootstrap.peer,)):
        return False
    return bootstrap.cut is None or chunk.cut == bootstrap.cut
