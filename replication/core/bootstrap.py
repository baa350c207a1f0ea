"""A snapshot that is being taken over: what is staged of it, and what is asked for next.

Nothing of a snapshot touches the keys and the log before all of it is here. One chunk at a time is asked for, and kept
as a *part* in a staging area of the journal, apart from everything else:

1. *States*, in the order of their keys. They contain every operation up to the *cut*, what the peer held when it was
   first asked, and perhaps later ones, up to what it held when they were read: that is told with them.
2. *Entries*, in log order: events up to the cut, and everything after the cut. Between them numbers are missing: those
   of operations up to the cut, all of which are in the states.
3. Once entries have come for all that the states contain, the snapshot is complete: `takeover` makes it ours.

So what is staged has a *reach*, and is left without a trace if nobody can complete it: its source was removed, or its
disk went back in time. Who takes a snapshot over is as whole as before, and hands on what it writes meanwhile.

A second peer may go on where a first one stopped, if it holds all within the reach, and still has the operations after
the cut: keys have the same order everywhere, and what is staged of each log is told with each request. Log positions
are each journal's own, so the second phase begins anew with it, and passes over what is staged.
"""

from dataclasses import dataclass, replace

import msgspec

from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN
from replication.core.messages import Cursor, SnapshotChunk, SnapshotRequest


class _Progress(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`Staged` as it is remembered."""

    cut: dict[str, int]
    reach: dict[str, int]
    entries: dict[str, int]
    after_key: str | None
    part_count: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Staged:
    """What is staged of a snapshot.

    Attributes:
        cut: the states contain everything up to it.
        reach: nothing that is staged goes beyond it.
        entries: the last entry of each log that is staged.
        after_key: states up to this key are staged; None: all are.
        part_count: how many parts there are; they are numbered 1, 2, 3 ….
        is_complete: whether that is all.
    """

    cut: VersionVector
    reach: VersionVector
    entries: VersionVector = NOTHING_SEEN
    after_key: str | None = ""
    part_count: int = 0
    is_complete: bool = False

    def with_chunk(self, chunk: SnapshotChunk, held: VersionVector) -> "Staged":
        """Return what is staged when a chunk is, too; `held` is held beside it."""
        entries = self.entries.merge(VersionVector.wrap({entry.log_id: entry.number for entry in chunk.entries}))
        reach = self.reach.merge(chunk.reach).merge(entries)
        contained = self.cut.merge(entries).merge(held)
        return replace(
            self,
            reach=reach,
            entries=entries,
            after_key=self.after_key if chunk.following is None else chunk.following.after_key,
            part_count=self.part_count + bool(chunk.states or chunk.entries),
            is_complete=chunk.following is None and contained.descends(reach),
        )

    def encoded(self) -> bytes:
        """Return what to remember."""
        vectors = self.cut.to_dict(), self.reach.to_dict(), self.entries.to_dict()
        return _encode(_Progress(*vectors, self.after_key, self.part_count, self.is_complete))

    @classmethod
    def remembered(cls, fact: bytes) -> "Staged":
        """Return what was remembered."""
        known = _decode(fact)
        vectors = VersionVector(known.cut), VersionVector(known.reach), VersionVector(known.entries)
        return cls(*vectors, known.after_key, known.part_count, known.is_complete)


@dataclass(slots=True)
class Bootstrap:
    """What is asked for.

    Attributes:
        peer: whom.
        cursor: from where on.
        asked_at: when.
        asked: everybody who was asked for it, for an answer may be late.
        storing: what the chunk that is on its way to the disk will make of what is staged; None: there is none.
        following: where the next chunk begins.
    """

    peer: str
    cursor: Cursor
    asked_at: float
    asked: set[str]
    storing: Staged | None = None
    following: Cursor | None = None

    def request(self, staged: Staged | None, held: VersionVector) -> SnapshotRequest:
        """Return what asks for the next chunk."""
        if staged is None:
            return SnapshotRequest(self.cursor)
        have = held.merge(staged.entries) if self.cursor.after_key is None else NOTHING_SEEN
        return SnapshotRequest(self.cursor, staged.cut, have)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Progress).decode
