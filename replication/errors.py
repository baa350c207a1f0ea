"""The errors of `replication`, as a tree shaped by the `except` clauses people write.

    ReplicationError
    ├── QuorumTimeoutError            too few replicas answered in time; what was recorded here stays and spreads
    ├── KeyTypeError                  a key holds a CRDT of another type
    ├── StaleValueError               what was done to a value cannot be submitted any more: get it again
    ├── MalformedStateError           the bytes of a key's state are none; nothing of it was taken over
    ├── ListenError                   the address cannot be listened on
    └── PeerError                     between this replica and one peer:
        ├── ConnectionLostError       gone, or never there; whether the last message arrived is unknown
        ├── PeerRefusedError          the peer is not one of ours (or refuses us): trying again soon does not help
        └── MalformedMessageError     what a peer sent is no message; nothing of it was taken over

Mistakes of the caller that no retry can mend stay `TypeError` and `ValueError`.
"""

from collections.abc import Collection

from calliope.errors import CalliopeError, shortened


class ReplicationError(CalliopeError):
    """The root of everything that `replication` raises about replicas and what joins them."""


class QuorumTimeoutError(ReplicationError):
    """Too few replicas answered in time, or what they hold did not arrive.

    An update is not rolled back: it is recorded here and spreads.

    Attributes:
        required: how many replicas were waited for, this one included.
        acknowledged: the ids of those that did answer, this one included.
    """

    def __init__(self, required: int, acknowledged: Collection[str]) -> None:
        self.required = required
        self.acknowledged = tuple(sorted(acknowledged))
        names = ", ".join(self.acknowledged) or "nobody"
        count = len(self.acknowledged)
        if count < required:
            described = f"{count} of the required {required} replicas answered in time ({names})"
        else:
            described = f"{count} replicas answered in time ({names}), but not all that they hold has arrived"
        super().__init__(f"{described}; what was recorded here stays and spreads")


class KeyTypeError(ReplicationError):
    """A key holds a CRDT of another type than was asked for; nothing was changed.

    Attributes:
        key: the key.
        expected: the name of the type that was asked for.
        actual: the name of the type that the key holds.
    """

    def __init__(self, key: str, expected: str, actual: str) -> None:
        self.key = key
        self.expected = expected
        self.actual = actual
        super().__init__(f"key {key!r} holds a {actual}, not a {expected}; nothing was changed")


class StaleValueError(ReplicationError):
    """What was done to a value cannot be submitted any more; nothing was written. Get the key again.

    Attributes:
        key: the key.
    """

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"the value of key {key!r} cannot be submitted: {reason}; nothing was written, get it again")


class MalformedStateError(ReplicationError):
    """The bytes of a key's state are none, or do not join with what is here; nothing was changed.

    Attributes:
        key: the key, as far as it is known.
        reason: what is wrong.
    """

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"the state of key {shortened(key)} is not taken over: {shortened(reason, 300)[1:-1]}")


class ListenError(ReplicationError):
    """An address cannot be listened on.

    Attributes:
        address: the address.
    """

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f"cannot listen on {address}: {reason}")


class PeerError(ReplicationError):
    """Something is wrong between this replica and one peer; others are not concerned."""


class ConnectionLostError(PeerError):
    """A connection is gone, or was never made; whether the last message arrived is unknown."""


class PeerRefusedError(PeerError):
    """The peer is not one of ours, or refuses us: another cluster, protocol version or secret, or this replica itself.

    Attributes:
        address: where it was found, as far as it is known.
        reason: what does not fit.
        is_ourselves: whether this replica has found itself.
    """

    def __init__(self, address: str, reason: str, *, is_ourselves: bool = False) -> None:
        self.address = address
        self.reason = reason
        self.is_ourselves = is_ourselves
        super().__init__(f"the peer at {address or 'an unknown address'} is refused: {reason}")


class MalformedMessageError(PeerError):
    """What a peer sent is no message of the protocol; nothing of it was taken over."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"malformed message: {shortened(reason, 300)[1:-1]}")
