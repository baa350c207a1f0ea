"""Operations: what a CRDT replicates.

An operation is prepared once, at its source, and takes effect everywhere. It carries

* its `Dot`: the replica that made it and the number that this replica gave it;
* its causal past: which operations of which replica its source had seen;
* what it does: the name of the CRDT's type, an action, and a plain argument.

Consecutive operations of one replica share one immutable vector of the *others*; their own counter stands
apart. So preparing an operation copies no dictionary, and everything else (the full version, the bytes) is
computed when somebody asks.

Byte form: the msgpack array [1, replica id, counter, {others}, type, action, argument], and after a rebase
one more item, the gap. `payload` is the part without dot and version, for those who store these elsewhere.
"""

from typing import Any

import msgspec

from crdts.causal_context import CausalContext
from crdts.errors import MalformedOperationError
from crdts.version_vector import NOTHING_SEEN, Dot, VersionVector
from crdts.wire import FORMAT, Counter, Counters, Format, Name, decode, encode, expect, plain


class _Whole(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The byte form of an operation."""

    format: Format
    replica_id: Name
    counter: Counter
    others: Counters
    type_name: Name
    action: Name
    argument: Any
    gap: tuple[Counter, Counter] | None = None


class _Payload(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The byte form of what an operation does."""

    format: Format
    type_name: Name
    action: Name
    argument: Any
    gap: tuple[Counter, Counter] | None = None


_whole = msgspec.msgpack.Decoder(_Whole)
_payload = msgspec.msgpack.Decoder(_Payload)


class Operation(msgspec.Struct, eq=False, gc=False):
    """One operation of one replica; treat it as immutable. CRDTs make them, users only carry them.

    Attributes:
        replica_id: The replica that prepared it.
        counter: Its number among the operations of that replica, from 1.
        others: What its source had seen of *other* replicas.
        type_name: The name of the CRDT type it belongs to.
        action: What it does, in the words of that type.
        argument: The plain argument of the action.
    """

    # A Struct is made in a third of the time of a class with slots; plain values have no cycles to collect.

    replica_id: str
    counter: int
    others: VersionVector
    type_name: str
    action: str
    argument: Any

    @property
    def dot(self) -> Dot:
        """The unique name of this operation."""
        return Dot(self.replica_id, self.counter)

    @property
    def version(self) -> VersionVector:
        """What the source had seen, this operation included."""
        return VersionVector.wrap({**self.others, self.replica_id: self.counter})

    @property
    def context(self) -> CausalContext:
        """The operations that the source had seen, this one included."""
        return CausalContext(self.version)

    @property
    def gap(self) -> tuple[int, int] | None:
        """The first and last of the own counters that it has *not* seen though they are lower; see `rebased`."""
        return None

    def saw(self, replica_id: str, counter: int) -> bool:
        """Says whether the operation's source had seen the operation (replica_id, counter); it saw itself."""
        if replica_id == self.replica_id:
            return counter <= self.counter
        return counter <= self.others[replica_id]

    def rebased(self, base: int, shift: int, argument: Any, seen: VersionVector = NOTHING_SEEN) -> "Operation":
        """Returns this operation as one prepared after `shift` more operations of its own replica.

        A copy of a CRDT that was handed out prepares operations from its own counter `base` on; meanwhile the
        replica itself went on by `shift` operations, which this one has not seen. The new operation has a
        higher number and a *gap* for what it has not seen. Use `Crdt.adopt`, which knows the argument too.

        Args:
            base: The replica's counter when the copy was made.
            shift: The number of operations that the replica has made since.
            argument: The argument, with the own counters in it renumbered likewise.
            seen: What the operation shall count as having seen in any case.
        """
        first = max(base, seen[self.replica_id]) + 1
        gap = (first, base + shift) if first <= base + shift else None
        others = self.others.merge(seen.without(self.replica_id))
        return _assembled(self.replica_id, self.counter + shift, others, self.type_name, self.action, argument, gap)

    @property
    def payload(self) -> bytes:
        """What the operation does, as bytes, without its dot and version."""
        return encode((FORMAT, *self._body()))

    def to_bytes(self) -> bytes:
        """Returns the whole operation as bytes."""
        return encode((FORMAT, self.replica_id, self.counter, self.others.to_dict(), *self._body()))

    @staticmethod
    def from_bytes(data: bytes) -> "Operation":
        """Returns the operation that `to_bytes` encoded.

        Its type need not be known here. That the argument suits the action is checked by `apply`.

        Raises:
            MalformedOperationError: These are not the bytes of an operation.
        """
        whole = decode(_whole, data)
        if whole.replica_id in whole.others:
            raise MalformedOperationError("malformed: expected a vector of the other replicas only")
        others = VersionVector.wrap(whole.others) if whole.others else NOTHING_SEEN
        return _assembled(
            whole.replica_id, whole.counter, others, whole.type_name, whole.action, plain(whole.argument), whole.gap
        )

    @staticmethod
    def from_payload(payload: bytes, dot: Dot, version: VersionVector) -> "Operation":
        """Returns the operation whose `payload`, `dot` and `version` were stored apart.

        Raises:
            MalformedOperationError: They are not those of an operation.
        """
        part = decode(_payload, payload)
        replica_id, counter = dot.replica_id, dot.counter
        if not version[replica_id] == counter > 0:  # the message takes longer than all the rest
            raise MalformedOperationError(f"malformed: expected a version that ends with {dot}")
        others = version.without(replica_id) if len(version) > 1 else NOTHING_SEEN
        return _assembled(replica_id, counter, others, part.type_name, part.action, plain(part.argument), part.gap)

    def _body(self) -> tuple[Any, ...]:
        return (self.type_name, self.action, self.argument)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Operation):
            return NotImplemented
        return self.dot == other.dot and self.to_bytes() == other.to_bytes()

    def __ne__(self, other: object) -> bool:  # a Struct has one of its own, which does not ask __eq__
        return not self == other

    def __hash__(self) -> int:
        return hash((self.replica_id, self.counter))

    def __repr__(self) -> str:
        what = "" if self.argument is None else f"{self.argument!r:.100}"
        return (
            f"<{self.replica_id}:{self.counter} {self.type_name}.{self.action}({what}) after {self.others.to_dict()}>"
        )


class RebasedOperation(Operation, eq=False, gc=False):
    """An operation that has not seen some operations of its own replica that come before it."""

    unseen: tuple[int, int]

    @property
    def context(self) -> CausalContext:
        """The operations that the source had seen, this one included."""
        first, last = self.unseen
        before = VersionVector({**self.others, self.replica_id: first - 1})
        return CausalContext(before, [Dot(self.replica_id, counter) for counter in range(last + 1, self.counter + 1)])

    @property
    def gap(self) -> tuple[int, int]:
        """The first and last of the own counters that it has not seen."""
        return self.unseen

    def saw(self, replica_id: str, counter: int) -> bool:
        """Says whether the operation's source had seen the operation (replica_id, counter); it saw itself."""
        if replica_id == self.replica_id and self.unseen[0] <= counter <= self.unseen[1]:
            return False
        return Operation.saw(self, replica_id, counter)

    def _body(self) -> tuple[Any, ...]:
        return (self.type_name, self.action, self.argument, self.unseen)


def _assembled(
    replica_id: str,
    counter: int,
    others: VersionVector,
    type_name: str,
    action: str,
    argument: Any,
    gap: tuple[int, int] | None,
) -> Operation:
    if gap is None:
        return Operation(replica_id, counter, others, type_name, action, argument)
    expect(gap[0] <= gap[1] < counter, "a gap below the counter")
    return RebasedOperation(replica_id, counter, others, type_name, action, argument, gap)
