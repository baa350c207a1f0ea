"""Making a snapshot ours, once all of it is staged: part by part, from our own disk.

Nobody else is needed for it, so nobody waits for somebody who waits for us. While it is under way our states contain
more than our vector says, so we are not *whole*: nothing is handed on, for what is written meanwhile may build on it.
A crash, or a full disk, leaves it under way; what was made ours already is made so again, and changes nothing.
"""

from crdts import VersionVector
from replication.core.bootstrap import Staged
from replication.core.effects import Effects, Install, MergeStates, ReadStaged, Receive
from replication.core.holdings import Holdings
from replication.core.messages import SnapshotChunk


class Takeover:
    """Merges states, receives entries, and then says that all of it is held.

    Args:
        holdings: what this journal holds.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._staged: Staged | None = None
        self._number = 0
        self._is_busy = False

    @property
    def is_under_way(self) -> bool:
        """Whether a snapshot is being made ours."""
        return self._staged is not None

    def begin(self, staged: Staged) -> None:
        """A snapshot is complete; it is made ours from the next `go_on` on."""
        self._staged = staged
        self._number = 1
        self._is_busy = False
        self._holdings.is_whole = False

    def go_on(self, effects: Effects) -> None:
        """Go on where it stands, if nothing of it is under way."""
        staged = self._staged
        if staged is None or self._is_busy:
            return
        self._is_busy = True
        if self._number <= staged.part_count:
            effects.read.append(ReadStaged(self._number))
        else:
            effects.persist.append(Install(staged.cut))

    def loaded(self, chunk: SnapshotChunk | None, effects: Effects) -> None:
        """A part was read; None: it could not be, and is tried again in the next round."""
        staged = self._staged
        if staged is None or chunk is None:
            self._is_busy = False
            return
        lacking = tuple([e for e in chunk.entries if e.number > self._holdings.vector[e.log_id]])
        if chunk.states:
            effects.persist.append(MergeStates(chunk.states))
        elif lacking:
            self._holdings.waiting_bytes += sum([len(entry.body) for entry in lacking])
            effects.persist.append(Receive("", lacking, staged.cut))
        else:
            self.done(effects)

    def done(self, effects: Effects) -> None:
        """A part is ours."""
        self._number += 1
        self._is_busy = False
        self.go_on(effects)

    def failed(self) -> None:
        """A part could not be made ours: it is tried again in the next round."""
        self._is_busy = False

    def installed(self, vector: VersionVector) -> None:
        """All of it is ours."""
        self._staged = None
        self._is_busy = False
        self._holdings.install(vector)
