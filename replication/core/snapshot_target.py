"""Taking over states of a peer, for whoever is new, or was away for so long that logs were compacted meanwhile.

`bootstrap` tells in what order a snapshot comes, and how it is staged; `takeover` makes it ours when all of it is here.

Who is asked may never answer: it makes a snapshot its own, or is gone. So somebody else is asked after a while, who can
go on with what is staged. If nobody can, what is staged is dropped, and all begins anew: whoever is connected can give
a snapshot of its own, for a replica is whole but for the moment in which it makes one its own, alone.
"""

from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN
from replication.core.bootstrap import Bootstrap, Staged
from replication.core.effects import Effects, Refuse, Remember, Send, Stage, Unstage
from replication.core.holdings import Holdings
from replication.core.link import Link
from replication.core.members import Members
from replication.core.messages import Cursor, SnapshotChunk
from replication.core.neighbours import Neighbours
from replication.core.scrutiny import Scrutiny
from replication.core.settings import Settings
from replication.core.takeover import Takeover


class SnapshotTarget:
    """Asks for chunks, stages them, and hands over what is complete.

    Args:
        progress: what was remembered of a snapshot, or None.
        now: the time.
        holdings: what this journal holds.
        scrutiny: what is wrong with an entry, or a claim.
        members: who was removed, and what of theirs is taken.
        neighbours: the links.
        takeover: makes a complete snapshot ours.
        settings: times and bounds.
    """

    def __init__(
        self,
        progress: bytes | None,
        now: float,
        holdings: Holdings,
        scrutiny: Scrutiny,
        members: Members,
        neighbours: Neighbours,
        takeover: Takeover,
        settings: Settings,
    ) -> None:
        self._holdings = holdings
        self._scrutiny = scrutiny
        self._members = members
        self._neighbours = neighbours
        self._takeover = takeover
        self._settings = settings
        self._staged = None if progress is None else Staged.remembered(progress)
        self._bootstrap: Bootstrap | None = None
        self._asked_last = ""
        self._came_at = now
        self._is_forgotten = False
        self._is_littered = True  # an earlier run may have left parts behind
        if self._staged is not None and self._staged.is_complete:
            takeover.begin(self._staged)

    @property
    def reach(self) -> VersionVector:
        """How far what is staged reaches."""
        return NOTHING_SEEN if self._staged is None else self._staged.reach

    def want(self, now: float, link: Link, effects: Effects) -> None:
        """Ask a peer for its states, if it no longer has the operations that are missing here."""
        if self._bootstrap is None and not self._takeover.is_under_way and self._can_give(link):
            self._ask(now, link, effects)

    def tick(self, now: float, effects: Effects) -> None:
        """Begin where it is needed, and ask somebody else for what was not answered."""
        if self._is_forgotten:
            self._is_forgotten = False
            effects.persist.append(self._remember())
        elif self._is_littered and self._staged is None:
            self._is_littered = False
            effects.persist.append(Unstage())
        if self._takeover.is_under_way:
            self._takeover.go_on(effects)
            return
        bootstrap, patience = self._bootstrap, self._settings.resend_after_seconds
        if bootstrap is not None and bootstrap.storing is None and now - bootstrap.asked_at > patience:
            self._bootstrap = None
        if self._bootstrap is None:
            self._begin(now, effects, asked=bootstrap.asked if bootstrap is not None else set())

    def take(self, now: float, link: Link, chunk: SnapshotChunk, effects: Effects) -> None:
        """A chunk has arrived: have it staged."""
        bootstrap = self._bootstrap
        if bootstrap is None or not self._is_awaited(bootstrap, link, chunk):
            return
        if not self._is_good(link, chunk, effects):
            return
        lacking = tuple([e for e in chunk.entries if e.number > self._has(e.log_id)])
        chunk = SnapshotChunk(chunk.cursor, chunk.cut, chunk.states, lacking, chunk.following, chunk.reach)
        staged = self._staged or Staged(chunk.cut, chunk.cut)
        bootstrap.peer = link.peer
        bootstrap.storing = staged.with_chunk(chunk, self._holdings.vector)
        bootstrap.following = chunk.following
        self._staged = staged
        if bootstrap.storing.part_count > staged.part_count:
            effects.persist += [self._remember(), Stage(link.peer, bootstrap.storing.part_count, chunk)]
        else:
            self.stored(now, effects)

    def stored(self, now: float, effects: Effects) -> None:
        """The chunk is staged: ask for the next one; after the last, it is made ours."""
        bootstrap = self._bootstrap
        if bootstrap is None or bootstrap.storing is None:
            return
        self._staged, bootstrap.storing = bootstrap.storing, None
        self._came_at = now
        if self._staged.is_complete:
            self._bootstrap = None
            effects.persist.append(self._remember())
            self._takeover.begin(self._staged)
            self._takeover.go_on(effects)
        elif bootstrap.following is None or not bootstrap.peer:
            self._bootstrap = None  # the rest is asked for in the next round
        else:
            bootstrap.cursor = bootstrap.following
            bootstrap.asked_at = now
            bootstrap.asked = {bootstrap.peer}
            effects.send.append(Send(bootstrap.peer, bootstrap.request(self._staged, self._holdings.vector)))

    def part_loaded(self, chunk: SnapshotChunk | None, effects: Effects) -> None:
        """A part was read: it is made ours, if it is remembered that this was decided."""
        self._takeover.loaded(None if self._is_forgotten else chunk, effects)

    def installed(self, vector: VersionVector, effects: Effects) -> None:
        """All of it is ours, durably."""
        self._takeover.installed(vector)
        self._drop(effects)

    def forgot(self) -> None:
        """How far it has come could not be remembered: it is tried again."""
        self._is_forgotten = True

    def give_up(self) -> None:
        """A chunk could not be staged: it is asked for again."""
        self._bootstrap = None

    def disconnected(self, peer: str) -> None:
        """A connection is gone: go on with another peer; but what is on its way to the disk is staged."""
        bootstrap = self._bootstrap
        if bootstrap is not None and bootstrap.peer == peer:
            bootstrap.peer = ""
            if bootstrap.storing is None:
                self._bootstrap = None

    def _begin(self, now: float, effects: Effects, asked: set[str]) -> None:
        """Ask whoever can give what is needed, another one than the last time; drop what nobody can go on with."""
        wanted = [link for link in self._neighbours if link.ready and self._is_behind(link)]
        able = [link for link in wanted if self._can_give(link)]
        is_idle = now - self._came_at > self._settings.resend_after_seconds
        if self._is_useless() or (is_idle and wanted and not able):
            self._drop(effects)
            able, asked = wanted, set()
        following = [link for link in able if link.peer > self._asked_last] or able
        link = min(following, key=lambda link: link.peer, default=None)
        if link is not None:
            self._ask(now, link, effects, asked)

    def _ask(self, now: float, link: Link, effects: Effects, asked: set[str] | None = None) -> None:
        if self._staged is None:
            self._came_at = now
        cursor = Cursor() if self._staged is None else Cursor(self._staged.after_key, 0)
        self._asked_last = link.peer
        self._bootstrap = Bootstrap(link.peer, cursor, now, {link.peer, *(asked or ())})
        effects.send.append(Send(link.peer, self._bootstrap.request(self._staged, self._holdings.vector)))

    def _is_behind(self, link: Link) -> bool:
        return not self._holdings.vector.descends(link.floor)

    def _can_give(self, link: Link) -> bool:
        """Say whether a peer can go on with what is staged, or, if nothing is, begin."""
        staged = self._staged
        if not self._is_behind(link):
            return False
        return staged is None or (link.said.descends(staged.reach) and staged.cut.descends(link.floor))

    def _is_useless(self) -> bool:
        """Say whether what is staged came in another way, or is nothing that others will ever take."""
        staged = self._staged
        return staged is not None and (self._holdings.vector.descends(staged.cut) or self._is_fenced(staged.reach))

    def _is_fenced(self, reach: VersionVector) -> bool:
        """Say whether something is of a removed replica, and no survivor is known to hold it."""
        return any(self._members.is_fenced(log_id, number) for log_id, number in reach.items())

    def _drop(self, effects: Effects) -> None:
        """Forget what is staged; its parts are deleted when it is durable that nobody needs them."""
        self._staged = None
        self._is_littered = True
        effects.persist.append(self._remember())

    def _remember(self) -> Remember:
        return Remember("bootstrap", None if self._staged is None else self._staged.encoded())

    def _has(self, log_id: str) -> int:
        """Return up to which number entries of a log are held or staged."""
        return max(self._holdings.vector[log_id], 0 if self._staged is None else self._staged.entries[log_id])

    def _is_awaited(self, bootstrap: Bootstrap, link: Link, chunk: SnapshotChunk) -> bool:
        """Say whether a chunk answers the last request, and not an earlier one."""
        if bootstrap.storing is not None or chunk.cursor != bootstrap.cursor:
            return False
        if link.peer not in (bootstrap.asked if chunk.cursor.after_position == 0 else (bootstrap.peer,)):
            return False
        return self._staged is None or chunk.cut == self._staged.cut

    def _is_good(self, link: Link, chunk: SnapshotChunk, effects: Effects) -> bool:
        """Say whether a chunk may be staged; refuse its sender if that is its fault."""
        if not self._scrutiny.believes(link, chunk.cut.merge(chunk.reach), effects):
            return False
        has: dict[str, int] = {}
        for entry in chunk.entries:
            log_id, number, cut = entry.log_id, entry.number, chunk.cut[entry.log_id]
            before = has.get(log_id, self._has(log_id))
            problem = self._scrutiny.problem(entry)
            if number - 1 > max(before, cut) or (entry.kind != "events" and number <= cut):
                problem = problem or f"sent {log_id}:{number} outside of its snapshot"
            if problem:
                effects.refuse.append(Refuse(link.peer, problem))
                return False
            has[log_id] = max(number, before)
        return not self._is_fenced(chunk.reach) and not self._is_fenced(VersionVector.wrap(has))
