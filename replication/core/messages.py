"""What replicas say to one another. Everything in here is data; `replication.wire` turns it into bytes.

Digest           what I hold, what I know of others, whom I am connected to; doubles as acknowledgement
Heartbeat        nothing has changed since my last digest to you
Acknowledgement  these entries are durable here, too
Entries          log entries that you lack, in an order in which each follows its causal past
SnapshotRequest  I am new, or behind your floor: send states
SnapshotChunk    some states, in the order of their keys
Question/Answer  what do you hold at this moment? (for reads at a quorum)
"""

import msgspec

from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import LogEntry
from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN


class Row(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a member says of itself: its row of the matrix clock (Wuu and Bernstein, PODC 1984).

    Attributes:
        replica_id: the member.
        incarnation: counts its starts; a later one replaces all that was said of an earlier one (SWIM, section 4.2).
        log_id: the log that it writes.
        vector: what it holds, durably.
        address: where it listens; empty if nowhere.
    """

    replica_id: str
    incarnation: int
    log_id: str
    vector: VersionVector
    address: str


class Introduction(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Who a member is.

    Attributes:
        replica_id: the member.
        incarnation: the last that was heard of; 0: it was not heard.
        address: where it listens; empty if that is not known.
    """

    replica_id: str
    incarnation: int
    address: str


class Claim(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Members, by the bits of the sender's roster, that hold at least what is in a vector, by their own word."""

    vector: VersionVector
    members: bytes


class Heard(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Members, by the bits of the sender's roster, that were heard so many seconds ago, or later."""

    age_seconds: float
    members: bytes


class Fence(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A removed replica, and the highest of its numbers that a survivor holds: nothing above is taken any more."""

    replica_id: str
    vector: VersionVector


class Digest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="digest"):
    """What the sender holds and knows.

    Attributes:
        own: the sender's row.
        floor: operations at or below it are no longer in the sender's log: who lacks some of them needs a snapshot.
        introductions: members that the receiver may not know yet; bounded in number.
        roster: the fingerprint of the sender's roster.
        incarnations: the fingerprint of all incarnations that the sender knows.
        claims: what members hold that the receiver is not connected with, as far as it may not know.
        heard: when they were heard.
        fences: all removed replicas.
        neighbours: the members with which the sender is connected; what they have, it need not be told by others.
        beginning: how often something sent on this connection was not taken (a gap, a failed disk): if that is more
            than before, begin again at this vector.
        asks: an answer by a digest is wished for.
        staged: how far the parts of a snapshot reach that the sender has, and will hold if it gets the rest.
    """

    own: Row
    floor: VersionVector
    introductions: tuple[Introduction, ...] = ()
    roster: int = 0
    incarnations: int = 0
    claims: tuple[Claim, ...] = ()
    heard: tuple[Heard, ...] = ()
    fences: tuple[Fence, ...] = ()
    neighbours: tuple[str, ...] = ()
    beginning: int = 0
    asks: bool = False
    staged: VersionVector = NOTHING_SEEN


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="heartbeat"):
    """Alive, and nothing new since the last digest or acknowledgement that was sent on this connection.

    Attributes:
        fingerprint: of the sender's vector; if the receiver knows another, it asks for a digest.
        roster: the fingerprint of the sender's roster; 0: as it said last.
        incarnations: the fingerprint of all incarnations that the sender knows; 0: as it said last.
        heard: members that the receiver is not connected with, and when they were heard.
    """

    fingerprint: int
    roster: int = 0
    incarnations: int = 0
    heard: tuple[Heard, ...] = ()


class Acknowledgement(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="ack"):
    """The logs that have grown durably at the sender, with their new numbers. Cumulative: a lost one does no harm."""

    vector: VersionVector


class Entries(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="entries"):
    """Log entries, each the next of its log for the receiver, and with everything before that the receiver lacks.

    Attributes:
        entries: the entries.
        beginning: the highest that the receiver's digests have named. What belongs to an earlier one is not taken: its
            past may be in what was not taken.
    """

    entries: tuple[LogEntry, ...]
    beginning: int = 0


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How far a snapshot has been taken over: first states in the order of their keys, then entries in log order.

    Attributes:
        after_key: states up to this key are taken over; None: all are.
        after_position: entries up to this log position of the sender are taken over.
    """

    after_key: str | None = ""
    after_position: int = 0


class SnapshotRequest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="snapshot?"):
    """Asks for the next chunk of a snapshot.

    Attributes:
        cursor: where to go on.
        cut: what the states must contain; None at the beginning: what the receiver of this holds now.
        have: which entries are not needed.
    """

    cursor: Cursor
    cut: VersionVector | None = None
    have: VersionVector = NOTHING_SEEN


class SnapshotChunk(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="snapshot"):
    """States that contain all operations up to a cut, and perhaps later ones; or entries that they do not contain.

    Attributes:
        cursor: what was asked for.
        cut: what the whole snapshot contains at least.
        states: in the order of their keys.
        entries: in log order: events, and operations after the cut.
        following: where the next chunk begins; None: there were no more entries.
        reach: what the sender held when the states were read: they contain nothing beyond it.
    """

    cursor: Cursor
    cut: VersionVector
    states: tuple[StoredState, ...]
    entries: tuple[LogEntry, ...]
    following: Cursor | None
    reach: VersionVector = NOTHING_SEEN


class Question(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="question"):
    """What do you hold? Passed on to those whom the asker is not connected with.

    Attributes:
        asker: who wants to know.
        number: which of its questions this is.
        vector: what the asker holds.
    """

    asker: str
    number: int
    vector: VersionVector


class Answer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="answer"):
    """What the answerer held, durably, when it was asked; goes back the way the question came."""

    asker: str
    number: int
    replica_id: str
    vector: VersionVector


Message = Digest | Heartbeat | Acknowledgement | Entries | SnapshotRequest | SnapshotChunk | Question | Answer
