"""Operations: what a CRDT replicates.

An operation is prepared once, at its source, and takes effect everywhere. It carries

* its `Dot`: the replica that made it and the number that this replica gave it;
* its causal past: which operations of which replica its source had seen;
* what it does: the name of the CRDT's type, an action, and a plain argument.

Consecutive operations of one replica share one immutable vector of the *others*; their own counter stands
apart. So preparing an operation copies no dictionary, and everything else (the full version, the bytes) is
computed when somebody asks.

Byte form: the msgpack array [1, replica id, counter, {others}, type, action, argument], and after a rebase
two more items, the gap. `payload` is the part without dot and version, for those who store these elsewhere.
"""

from collections.abc import Mapping
from typing import Any

from crdts.version_vector import COUNTER_MAX, Dot, VersionVector
from crdts.wire import FORMAT, decode, encode, expect

REPLICA_ID_BYTES_MAX = 255
REPLICAS_MAX = 2**20
TYPE_NAME_LENGTH_MAX = 255


class Operation:
    """One operation of one replica; treat it as immutable. CRDTs make them, users only carry them.

    Attributes:
        replica_id: The replica that prepared it.
        counter: Its number among the operations of that replica, from 1.
        others: What its source had seen of *other* replicas.
        type_name: The name of the CRDT type it belongs to.
        action: What it does, in the words of that type.
        argument: The plain argument of the action.
    """

    __slots__ = ("action", "argument", "counter", "others", "replica_id", "type_name")

    def __init__(
        self, replica_id: str, counter: int, others: VersionVector, type_name: str, action: str, argument: Any
    ) -> None:
        self.replica_id = replica_id
        self.counter = counter
        self.others = others
        self.type_name = type_name
        self.action = action
        self.argument = argument

    @property
    def dot(self) -> Dot:
        """The unique name of this operation."""
        return Dot(self.replica_id, self.counter)

    @property
    def version(self) -> VersionVector:
        """What the source had seen, this operation included."""
        return VersionVector.wrap({**self.others, self.replica_id: self.counter})

    @property
    def gap(self) -> tuple[int, int] | None:
        """The own counters (first, last) that this operation has *not* seen though they are lower; see `rebased`."""
        return None

    def saw(self, replica_id: str, counter: int) -> bool:
        """Says whether the operation's source had seen the operation (replica_id, counter); it saw itself."""
        if replica_id == self.replica_id:
            return counter <= self.counter
        return counter <= self.others[replica_id]

    def rebased(self, base: int, shift: int, argument: Any, seen: VersionVector | None = None) -> "Operation":
        """Returns this operation as one prepared after `shift` more operations of its own replica.

        A copy of a CRDT that was handed out prepares operations from its own counter `base` on; meanwhile the
        replica itself went on by `shift` operations, which this one has not seen. The new operation has a
        higher number and a *gap* for what it has not seen. Use `Crdt.adopt`, which knows the argument too.

        Args:
            base: The replica's counter when the copy was made.
            shift: The number of operations that the replica has made since.
            argument: The argument, with the dots in it renumbered likewise.
            seen: What the operation shall count as having seen in any case.
        """
        counter = self.counter + shift
        others, first = self.others, base + 1
        if seen is not None:
            first = max(first, seen[self.replica_id] + 1)
            others = VersionVector({**others.merge(seen), self.replica_id: 0})
        if first > base + shift:
            return Operation(self.replica_id, counter, others, self.type_name, self.action, argument)
        return RebasedOperation(
            self.replica_id, counter, others, self.type_name, self.action, argument, (first, base + shift)
        )

    @property
    def payload(self) -> bytes:
        """What the operation does, as bytes, without its dot and version."""
        return encode((FORMAT, *self._body()))

    def to_bytes(self) -> bytes:
        """Returns the whole operation as bytes."""
        return encode((FORMAT, self.replica_id, self.counter, dict(self.others), *self._body()))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Operation":
        """Returns the operation that `to_bytes` encoded.

        Its type need not be known here. That the argument suits the action is checked by `apply`.

        Raises:
            MalformedOperationError: These are not the bytes of an operation.
        """
        plain = decode(data)
        expect(type(plain) is tuple and len(plain) in (7, 9) and plain[0] == FORMAT, "an operation of format 1")
        _, replica_id, counter, others, *body = plain
        vector = checked_vector(others)
        return cls._assembled(replica_id, counter, vector, body)

    @classmethod
    def from_payload(cls, payload: bytes, dot: Dot, version: VersionVector) -> "Operation":
        """Returns the operation whose `payload`, `dot` and `version` were stored apart.

        Raises:
            MalformedOperationError: They are not those of an operation.
        """
        plain = decode(payload)
        expect(type(plain) is tuple and len(plain) in (4, 6) and plain[0] == FORMAT, "a payload of format 1")
        expect(version[dot.replica_id] == dot.counter, f"a version that ends with {dot}")
        others = VersionVector.wrap({r: c for r, c in version.items() if r != dot.replica_id})
        return cls._assembled(dot.replica_id, dot.counter, others, plain[1:])

    @staticmethod
    def _assembled(replica_id: Any, counter: Any, others: VersionVector, body: Any) -> "Operation":
        type_name, action, argument, *gap = body
        check_replica_id(replica_id)
        expect(type(counter) is int and 0 < counter <= COUNTER_MAX, "a counter from 1 to 2**63 - 1")
        expect(replica_id not in others, "a vector of the other replicas only")
        expect(type(type_name) is str and 0 < len(type_name) <= TYPE_NAME_LENGTH_MAX, "the name of a type")
        expect(type(action) is str and 0 < len(action) <= TYPE_NAME_LENGTH_MAX, "the name of an action")
        if not gap:
            return Operation(replica_id, counter, others, type_name, action, argument)
        first, last = gap
        expect(type(first) is int and type(last) is int and 0 < first <= last < counter, "a gap below the counter")
        return RebasedOperation(replica_id, counter, others, type_name, action, argument, (first, last))

    def _body(self) -> tuple[Any, ...]:
        return (self.type_name, self.action, self.argument)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Operation):
            return NotImplemented
        return self.to_bytes() == other.to_bytes() or (
            self.dot == other.dot and self.others == other.others and self._body() == other._body()
        )

    def __hash__(self) -> int:
        return hash((self.replica_id, self.counter))

    def __repr__(self) -> str:
        what = "" if self.argument is None else f"{self.argument!r:.100}"
        return f"<{self.replica_id}:{self.counter} {self.type_name}.{self.action}({what}) after {dict(self.others)}>"


class RebasedOperation(Operation):
    """An operation that has not seen some operations of its own replica that come before it."""

    __slots__ = ("_gap",)

    def __init__(
        self,
        replica_id: str,
        counter: int,
        others: VersionVector,
        type_name: str,
        action: str,
        argument: Any,
        gap: tuple[int, int],
    ) -> None:
        super().__init__(replica_id, counter, others, type_name, action, argument)
        self._gap = gap

    @property
    def gap(self) -> tuple[int, int]:
        """The first and the last own counter that this operation has not seen."""
        return self._gap

    def saw(self, replica_id: str, counter: int) -> bool:
        """Says whether the operation's source had seen the operation (replica_id, counter); it saw itself."""
        if replica_id == self.replica_id and self._gap[0] <= counter <= self._gap[1]:
            return False
        return super().saw(replica_id, counter)

    def _body(self) -> tuple[Any, ...]:
        return (*super()._body(), *self._gap)


def check_replica_id(replica_id: object) -> None:
    """Refuses a decoded replica id that no replica can have."""
    expect(type(replica_id) is str and len(replica_id) > 0, "a replica id")
    expect(
        len(str(replica_id).encode()) <= REPLICA_ID_BYTES_MAX, f"a replica id of at most {REPLICA_ID_BYTES_MAX} bytes"
    )


def checked_vector(plain: object) -> VersionVector:
    """Returns the decoded map as a vector, or refuses it."""
    expect(isinstance(plain, Mapping) and len(plain) <= REPLICAS_MAX, "a version vector")
    assert isinstance(plain, dict)
    for replica_id, counter in plain.items():
        check_replica_id(replica_id)
        expect(type(counter) is int and 0 < counter <= COUNTER_MAX, "counters from 1 to 2**63 - 1")
    return VersionVector.wrap(plain)
