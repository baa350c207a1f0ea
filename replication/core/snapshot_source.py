"""Giving states to a peer that is new, or was away for so long that the log was compacted meanwhile.

A peer asks for one chunk after the other; what it holds already is all that is remembered of it here.
"""

from collections.abc import Sequence

from calliope.stores.replica_store import LogPage, StoredState
from crdts import VersionVector
from replication.core.effects import Effects, Read, ReadStates, Send
from replication.core.holdings import Holdings
from replication.core.link import Link
from replication.core.messages import Cursor, SnapshotChunk, SnapshotRequest
from replication.core.settings import Settings


class SnapshotSource:
    """Reads and sends what a peer asks for.

    Args:
        holdings: what this journal holds.
        settings: times and bounds.
    """

    def __init__(self, holdings: Holdings, settings: Settings) -> None:
        self._holdings = holdings
        self._settings = settings
        self._cuts: dict[str, VersionVector] = {}

    def forget(self, peer: str) -> None:
        """A connection is gone."""
        self._cuts.pop(peer, None)

    def asked(self, link: Link, request: SnapshotRequest, effects: Effects) -> None:
        """A peer asks for a chunk: have it read."""
        cut = request.cut if request.cut is not None else self._holdings.vector
        if not link.ready or not self._can_go_on(cut):
            return  # we do not know what it holds, or cannot go on with it: it asks again, or begins again
        self._cuts[link.peer] = cut
        link.fetching = True
        cursor, bytes_max = request.cursor, self._settings.batch_bytes
        if cursor.after_key is not None:
            effects.read.append(ReadStates(link.peer, cursor.after_key, bytes_max, link.epoch))
        else:
            effects.read.append(Read(link.peer, request.have, cursor.after_position, bytes_max, link.epoch, True))

    def send_states(
        self,
        link: Link,
        read: ReadStates,
        states: Sequence[StoredState],
        after_key: str,
        held: VersionVector,
        effects: Effects,
        *,
        complete: bool,
    ) -> None:
        """Send states that were read, and contain nothing beyond what is held now; when all are, entries follow."""
        link.fetching = False
        cut = self._cuts.get(link.peer)
        if cut is None or not self._can_go_on(cut):
            return
        following = Cursor(None, 0) if complete else Cursor(after_key, 0)
        effects.send.append(
            Send(link.peer, SnapshotChunk(Cursor(read.after_key, 0), cut, tuple(states), (), following, held))
        )

    def send_entries(self, link: Link, read: Read, page: LogPage, effects: Effects) -> None:
        """Send what the states do not contain of a page that was read."""
        link.fetching = False
        cut = self._cuts.get(link.peer)
        if cut is None or not self._can_go_on(cut):
            return
        entries = tuple([e for e in page.entries if e.kind == "events" or e.number > cut[e.log_id]])
        following = None if page.complete else Cursor(None, page.through)
        effects.send.append(Send(link.peer, SnapshotChunk(Cursor(None, read.after), cut, (), entries, following)))

    def _can_go_on(self, cut: VersionVector) -> bool:
        """Say whether we hold a cut, and our log has the operations after it."""
        holdings = self._holdings
        return holdings.is_whole and holdings.vector.descends(cut) and cut.descends(holdings.floor)
