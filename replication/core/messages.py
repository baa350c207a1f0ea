"""What replicas say to one another. Everything in here is data; `replication.wire` turns it into bytes.

Digest           what I hold, what I know of others (rows), whom I am connected to; doubles as acknowledgement
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


class Row(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What somebody knows of a member: a row of the matrix clock (Wuu and Bernstein, PODC 1984).

    Attributes:
        replica_id: the member.
        incarnation: counts its starts; a later one replaces all that was said of an earlier one (SWIM, section 4.2).
        sequence: grows with each thing it says within an incarnation.
        log_id: the log that it writes.
        vector: what it holds, durably.
        age_seconds: how long ago it was heard.
        address: where it listens; empty if nowhere.
    """

    replica_id: str
    incarnation: int
    sequence: int
    log_id: str
    vector: VersionVector
    age_seconds: float
    address: str


class Fence(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A removed replica, and the highest of its numbers that a survivor holds: nothing above is taken any more."""

    replica_id: str
    vector: VersionVector


class Digest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="digest"):
    """What the sender holds and knows.

    Attributes:
        own: the sender's row.
        rows: rows of other members that changed since the last digest on this connection; bounded in number.
        fences: all removed replicas.
        neighbours: the members with which the sender is connected; what they have, it need not be told by others.
        again: something sent was not taken (a gap, a failed disk): begin again at this vector.
    """

    own: Row
    rows: tuple[Row, ...] = ()
    fences: tuple[Fence, ...] = ()
    neighbours: tuple[str, ...] = ()
    again: bool = False


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="heartbeat"):
    """Alive, and nothing new since the last digest or acknowledgement that was sent on this connection.

    Attributes:
        incarnation: the sender's.
        sequence: of the last thing it said to this peer; if the peer knows less, it asks for a digest.
    """

    incarnation: int
    sequence: int


class DigestRequest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="digest?"):
    """Tell me all again: I have missed something."""


class Acknowledgement(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="ack"):
    """What has become durable at the sender: the logs whose numbers have grown. Cumulative: a lost one does no harm.

    Attributes:
        incarnation: the sender's.
        sequence: grows with each thing it says.
        vector: the logs that have grown, with their new numbers.
    """

    incarnation: int
    sequence: int
    vector: VersionVector


class Entries(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="entries"):
    """Log entries, each the next of its log for the receiver."""

    entries: tuple[LogEntry, ...]


class SnapshotRequest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="snapshot?"):
    """Asks for states.

    Attributes:
        cut: what the states must contain; None: what the receiver of this holds now.
        after_key: where to go on.
    """

    cut: VersionVector | None = None
    after_key: str = ""


class SnapshotChunk(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="snapshot"):
    """Some states; they contain all operations up to a cut, and perhaps later ones.

    Attributes:
        cut: what the states contain at least.
        states: in the order of their keys.
        after_key: the last key of this chunk.
        complete: whether no key follows.
    """

    cut: VersionVector
    states: tuple[StoredState, ...]
    after_key: str
    complete: bool


class Question(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="question"):
    """What do you hold? Numbered by the asker."""

    number: int


class Answer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="answer"):
    """What the answerer held, durably, when it was asked."""

    number: int
    vector: VersionVector


Message = (
    Digest | Heartbeat | DigestRequest | Acknowledgement | Entries | SnapshotRequest | SnapshotChunk | Question | Answer
)
