"""What must hold after every step, whatever went wrong; a violation ends the simulation with its seed.

The checks see everything: all disks, all messages, and what each writer held when it wrote. They know what was *ever*
durable at a replica, so a disk that goes back in time makes none of them a liar.
What they check is listed in `replication.testing.promises`.
"""

from collections.abc import Hashable, Sequence
from typing import NoReturn

from calliope.stores.versioned import LogEntry, replica_of
from crdts import VersionVector
from replication.core.agreement import Replicas
from replication.core.effects import Receive
from replication.core.messages import Acknowledgement, Answer, Digest, Entries, Message, SnapshotChunk
from replication.core.quorum import required
from replication.core.settings import Settings
from replication.testing.disk import Commit, Disk
from replication.testing.known import Asked, Checked, Known, Wait, Written
from replication.testing.promises import Promise, SimulationError
from replication.testing.trace import Trace


class Checks:
    """Watches all replicas.

    Args:
        settings: the bounds that the cores keep.
        trace: where it is written down what happens.
        trusts_stability: whether stability is checked. It is promised only where nobody writes before it was heard of.

    Attributes:
        trusts_stability: the same.
        removed: replicas that were removed.
        waiting: all that somebody waits for, by replica and token.
        agreements: how often somebody got what he waited for.
    """

    def __init__(self, settings: Settings, trace: Trace, *, trusts_stability: bool = True) -> None:
        self._settings = settings
        self._trace = trace
        self.trusts_stability = trusts_stability
        self._written: dict[tuple[str, int], Written] = {}
        self._known: dict[str, Known] = {}
        self._replicas: dict[str, Checked] = {}
        self._numbers = 0
        self._largest_message = 0
        self._true_claims: dict[tuple[int, VersionVector], int] = {}
        self.removed: set[str] = set()
        self.waiting: dict[tuple[str, Hashable], Wait | Asked] = {}
        self.agreements = 0

    @property
    def has_gone_back(self) -> bool:
        """Whether any disk was restored."""
        return any(known.went_back for known in self._known.values())

    def fail(self, promise: Promise, problem: str) -> NoReturn:
        """End the simulation.

        Raises:
            SimulationError: always.
        """
        raise SimulationError(promise, self._trace.failed(problem))

    def fresh_number(self) -> int:
        """Return a number that was never returned before, for a log's incarnation."""
        self._numbers += 1
        return self._numbers

    def everything_ever_written(self) -> int:
        """Return how many entries were written and not lost without a trace."""
        return len(self._written)

    def what_was_written(self, disk: Disk, through: VersionVector) -> Disk:
        """Return an empty disk after it was given all that was ever written up to a version, in that order."""
        for log_id, number in self._written:
            if number <= through[log_id]:
                disk.take_effect(self._written[log_id, number].entry)
        return disk

    # A replica's life ---------------------------------------------------------------------------------------------

    def starts(self, replica: Checked) -> None:
        """A replica starts from its disk."""
        self._replicas[replica.replica_id] = replica
        known = self._known.setdefault(replica.replica_id, Known())
        self._note("starts", replica.replica_id)
        if not replica.disk.vector.descends(known.told):
            self.fail(
                "durability", f"{replica.replica_id} had {known.told} durably and starts with {replica.disk.vector}"
            )

    def went_back(self, replica: Checked) -> None:
        """A replica's disk was restored from an earlier moment."""
        known = self._known[replica.replica_id]
        known.told = replica.disk.vector
        known.stable = VersionVector()
        known.went_back = True
        self._note("goes back", replica.replica_id)

    def stepped(self, replica: Checked) -> None:
        """Something has happened at a replica."""
        core = replica.core
        if core is None:
            return
        vector, durable = core.vector, replica.disk.vector
        if vector is not durable and vector != durable:
            self.fail("durability", f"{replica.replica_id} says that it holds {vector}, its disk {durable}")
        known = self._known[replica.replica_id]
        if vector is not known.told:
            if not vector.descends(known.told):
                self.fail("durability", f"{replica.replica_id} held {known.told}, and now {vector}")
            known.told = vector
        queue_bytes = (
            self._settings.incoming_bytes + 2 * self._largest_message
        )  # a last message, and a snapshot's chunk
        if replica.receiving_bytes > queue_bytes:
            self.fail("bounds", f"{replica.replica_id} queues {replica.receiving_bytes} bytes for its disk")

    # Writing ------------------------------------------------------------------------------------------------------

    def committed(
        self, replica: Checked, commit: Commit, before: VersionVector, entries: Sequence[tuple[int, LogEntry]]
    ) -> None:
        """Entries have become durable at a replica, which held `before`."""
        known = self._known[replica.replica_id]
        snapshot = commit.snapshot if isinstance(commit, Receive) else None
        held = dict(before.items())
        for _, entry in entries:
            log_id, number = entry.log_id, entry.number
            written = self._written_by(replica, entry, held, is_own=not isinstance(commit, Receive))
            allowed = held.get(log_id, 0) if snapshot is None else max(held.get(log_id, 0), snapshot[log_id])
            if not held.get(log_id, 0) < number <= allowed + 1:
                self.fail("exactly once", f"{replica.replica_id} takes {log_id}:{number} after {held.get(log_id, 0)}")
            held[log_id] = number
            has = VersionVector.wrap(held) if snapshot is None else VersionVector.wrap(held).merge(snapshot)
            if not has.descends(written.seen):
                self.fail(
                    "causal delivery",
                    f"{replica.replica_id} holds {log_id}:{number} without its past {written.seen}: {has}",
                )
            if self.trusts_stability and not self._saw_stable(written, entry, known):
                self.fail(
                    "stability", f"{log_id}:{number} comes to {replica.replica_id} and had not seen {known.stable}"
                )
            self._note("holds", f"{replica.replica_id} {log_id}:{number}")
        known.ever = known.ever.merge(replica.disk.vector)

    def installed(self, replica: Checked) -> None:
        """A replica holds everything up to a cut, and says all that its states contain."""
        beyond = replica.disk.values.beyond(replica.disk.vector)
        if beyond:
            self.fail("causal delivery", f"{replica.replica_id} has {beyond} in states, and says {replica.disk.vector}")
        known = self._known[replica.replica_id]
        known.ever = known.ever.merge(replica.disk.vector)
        self._note("installed", replica.replica_id)

    def _written_by(self, replica: Checked, entry: LogEntry, held: dict[str, int], *, is_own: bool) -> Written:
        name = entry.log_id, entry.number
        if is_own:
            others = [other for other in self._replicas.values() if other is not replica]
            holders = {other.replica_id for other in others if other.disk.vector[entry.log_id] >= entry.number}
            if holders and not holders <= _removed_by(replica):
                held_by = sorted(holders)
                self.fail(
                    "numbers", f"{replica.replica_id} writes {entry.log_id}:{entry.number} again, which {held_by} hold"
                )
            self._written.pop(name, None)
            self._written[name] = Written(entry, VersionVector(held))
        written = self._written.get(name)
        if written is None:
            self.fail("numbers", f"{replica.replica_id} receives {name}, which nobody wrote")
        elif written.entry.checksum != entry.checksum:
            self.fail("numbers", f"{replica.replica_id} receives {name} with other content than was written last")
        return written

    def _saw_stable(self, written: Written, entry: LogEntry, known: Known) -> bool:
        return written.seen.descends(known.stable) or replica_of(entry.log_id) in self.removed

    # Messages -----------------------------------------------------------------------------------------------------

    def sent(self, replica: Checked, peer: str, message: Message) -> None:
        """A replica sends a message."""
        durable = replica.disk.vector
        if isinstance(message, Digest):
            self._check_claims(replica, message)
        elif isinstance(message, Acknowledgement) or (
            isinstance(message, Answer) and message.replica_id == replica.replica_id
        ):
            if not durable.descends(message.vector):
                self.fail(
                    "durability", f"{replica.replica_id} acknowledges {message.vector}, and has only {durable} durably"
                )
        elif isinstance(message, Entries):
            for entry in message.entries:
                if entry.number > durable[entry.log_id]:
                    self.fail(
                        "durability",
                        f"{replica.replica_id} sends {entry.log_id}:{entry.number}, which it does not hold",
                    )
        self._trace.message("sends", replica.replica_id, peer, message)

    def received(self, sender: str, receiver: str, message: Message) -> None:
        """A message arrives."""
        if isinstance(message, (Entries, SnapshotChunk)):
            self._largest_message = max(self._largest_message, sum([len(e.body) for e in message.entries]))
        self._trace.message("gets", receiver, sender, message)

    def taken(self, replica: Checked, entries: Sequence[LogEntry]) -> None:
        """A replica has decided to store what a peer sent."""
        if not self.removed:
            return
        members = replica.running.members(0.0)
        fences = {member.replica_id: member.vector for member in members if member.state == "removed"}
        for entry in entries:
            fence = fences.get(replica_of(entry.log_id))
            if fence is not None and entry.number > fence[entry.log_id]:
                self.fail(
                    "fences", f"{replica.replica_id} takes {entry.log_id}:{entry.number} behind the fence {fence}"
                )

    def refused(self, replica: Checked, peer: str, reason: str) -> None:
        """A replica ends a connection because of a peer's fault; here nobody is at fault but the removed."""
        self._note("refuses", f"{replica.replica_id} {peer}: {reason}")
        if not {replica.replica_id, peer} & self.removed:
            self.fail("peace", f"{replica.replica_id} refuses {peer}, which {reason}")

    def _check_claims(self, replica: Checked, digest: Digest) -> None:
        if not replica.disk.vector.descends(digest.own.vector):
            self.fail(
                "durability",
                f"{replica.replica_id} says {digest.own.vector}, and has only {replica.disk.vector} durably",
            )
        for claim in digest.claims:
            name, members = (digest.roster, claim.vector), int.from_bytes(claim.members, "little")
            true = self._true_claims.get(name, 0)  # what was ever held only grows
            if members & ~true:
                for replica_id in replica.running.named(digest.roster, members & ~true):
                    if not self._known[replica_id].ever.descends(claim.vector):
                        problem = f"says that {replica_id} holds {claim.vector}, which it never did"
                        self.fail("quorums", f"{replica.replica_id} {problem}")
                self._true_claims[name] = true | members

    # Agreement ----------------------------------------------------------------------------------------------------

    def waits(self, replica: Checked, token: Hashable, log_id: str, number: int, replicas: Replicas) -> None:
        """Somebody begins to wait for replicas to hold an entry."""
        self.waiting[replica.replica_id, token] = Wait(log_id, number, self._count(replica, replicas))

    def asks(self, replica: Checked, token: Hashable, replicas: Replicas) -> None:
        """Somebody begins to wait for what replicas hold now."""
        held = {replica_id: other.disk.vector for replica_id, other in self._replicas.items()}
        self.waiting[replica.replica_id, token] = Asked(self._count(replica, replicas), held)

    def agreed(self, replica: Checked, token: Hashable) -> None:
        """A replica says that what somebody waited for has come."""
        waited = self.waiting.pop((replica.replica_id, token), None)
        if waited is None:
            self.fail("quorums", f"{replica.replica_id} announces {token!r} twice, or without being asked")
        self.agreements += 1
        self._note("agreed", f"{replica.replica_id} {token!r}")
        if isinstance(waited, Wait):
            self._check_holders(replica, waited)
        elif waited is not None:
            vector = replica.running.vector
            nothing = VersionVector()
            known = [name for name in self._replicas if vector.descends(waited.held.get(name, nothing))]
            if len(known) < waited.needed and not self.removed and not self.has_gone_back:
                self.fail(
                    "quorums", f"{replica.replica_id} has read at {waited.needed} replicas, and holds what {known} held"
                )

    def stable(self, replica: Checked, vector: VersionVector) -> None:
        """A replica says that a version is stable."""
        known = self._known[replica.replica_id]
        known.stable = known.stable.merge(vector)
        if not replica.disk.vector.descends(vector):
            self.fail(
                "stability", f"{replica.replica_id} says that {vector} is stable, and holds only {replica.disk.vector}"
            )
        self._note("stable", replica.replica_id)

    def _check_holders(self, replica: Checked, wait: Wait) -> None:
        held = {name for name, known in self._known.items() if known.ever[wait.log_id] >= wait.number}
        claimed = replica.running.holders(wait.log_id, wait.number)
        if not claimed <= held:
            self.fail(
                "quorums", f"{replica.replica_id} counts {sorted(claimed - held)} as holding {wait}, who never did"
            )
        if len(held) < wait.needed and not self.removed:
            self.fail(
                "quorums",
                f"{replica.replica_id} says that {wait.needed} replicas hold {wait}, but only {sorted(held)} do",
            )

    def _count(self, replica: Checked, replicas: Replicas) -> int:
        return required(replicas, replica.running.member_count)

    def _note(self, what: str, whom: str) -> None:
        self._trace.note(what, whom)


def _removed_by(replica: Checked) -> set[str]:
    """Return whom a replica knows to be removed: what they alone hold does not come back."""
    members = [] if replica.core is None else replica.core.members(0.0)
    return {member.replica_id for member in members if member.state == "removed"}
