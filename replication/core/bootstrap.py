"""Taking over a peer's states: for a replica that is new, or was away for so long that the log was compacted meanwhile.

One chunk at a time is asked for, by a cursor, and the cursor is remembered before each chunk is stored, so that it goes
on where it was cut off, also after a crash; and nothing is handed on until all is there, for what is written meanwhile
may build on what only the states contain:

1. *States*, in the order of their keys. They contain every operation up to the *cut*, what the peer held when it was
   first asked; later ones may be in them too, which does no harm: operations are recognised by their dots.
2. *Entries of events* up to the cut, in log order. Between them numbers are missing: those of operations, all of
   which are in the states by now.
3. Then everything up to the cut is held, and the ordinary exchange of logs goes on from there.

A second peer may go on where a first one stopped, if it holds the cut: keys have the same order everywhere. Log
positions are each journal's own, so the second phase begins anew with it, and passes over what is held already.
Who does not answer may be waiting for a snapshot itself, perhaps ours: so somebody else is asked then.
"""

import msgspec

from crdts import VersionVector
from replication.core.messages import Cursor, SnapshotRequest


class Progress(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is remembered of a snapshot that is being taken over: the cut as a plain dict, and where to go on."""

    cut: dict[str, int]
    after_key: str | None


class Bootstrap:
    """A snapshot that is being taken over.

    Attributes:
        peer: from whom.
        cursor: what is asked for now.
        cut: what the snapshot will contain; None before the first chunk.
        asked_at: when it was asked for.
        storing: the chunk is on its way to the disk.
        asked: everybody who was asked for it, for an answer may be late.
    """

    def __init__(self, peer: str, cursor: Cursor, cut: VersionVector | None, asked_at: float) -> None:
        self.peer = peer
        self.cursor = cursor
        self.cut = cut
        self.asked_at = asked_at
        self.storing = False
        self.asked = {peer}
        self.following: Cursor | None = None

    @classmethod
    def resumed(cls, peer: str, holds: VersionVector, progress: bytes | None, now: float) -> "Bootstrap":
        """Return a snapshot to be taken over from a peer: from the beginning, or from where it was cut off."""
        if progress is not None:
            known = decode_progress(progress)
            cut = VersionVector(known.cut)
            if holds.descends(cut):
                return cls(peer, Cursor(known.after_key, 0), cut, now)
        return cls(peer, Cursor(), None, now)

    def request(self) -> SnapshotRequest:
        """Return what asks for the next chunk."""
        return SnapshotRequest(self.cursor, self.cut)

    def progress(self, cursor: Cursor, cut: VersionVector) -> bytes:
        """Return what to remember before the chunk at a cursor is stored: up to there all is durable."""
        return _encode_progress(Progress(cut.to_dict(), cursor.after_key))


_encode_progress = msgspec.msgpack.Encoder().encode
decode_progress = msgspec.msgpack.Decoder(Progress).decode
