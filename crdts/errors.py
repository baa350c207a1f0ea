"""Everything that can go wrong in `crdts`, shaped by the `except` clauses people write.

    CrdtError
    ├── CausalityError            an operation or a state came before its past; deliver that first
    ├── MalformedOperationError   bytes or an operation that no correct replica can have made (also a ValueError)
    │   └── OperationTypeError    an operation of another type than the object it was given to (also a TypeError)
    ├── InsufficientRightsError   this replica holds too few rights of a BoundedCounter
    └── UpdateInterruptedError    the function given to ORMap.update failed after it had changed something

After `CausalityError`, `MalformedOperationError` and `InsufficientRightsError` the object is as it was.
Mistakes of the programmer (a wrong argument, an element that cannot be one) stay `TypeError` and `ValueError`.
"""

from collections.abc import Mapping


class CrdtError(Exception):
    """The root of all errors of this package."""


class CausalityError(CrdtError):
    """An operation or a state was given to an object that lacks its causal past.

    Attributes:
        missing: For each replica, the counter that must have been seen before; deliver up to there and retry.
    """

    def __init__(self, message: str, missing: Mapping[str, int]) -> None:
        super().__init__(message)
        self.missing = dict(missing)


class MalformedOperationError(CrdtError, ValueError):
    """Bytes or an operation that no correct replica can have produced."""


class OperationTypeError(MalformedOperationError, TypeError):
    """An operation of one type was given to an object of another.

    Attributes:
        expected: The name of the object's type.
        actual: The name of the operation's type.
    """

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"an operation of type {actual} cannot be applied to a {expected}")
        self.expected = expected
        self.actual = actual


class InsufficientRightsError(CrdtError):
    """A replica tried to spend more of a bounded counter than it holds rights to.

    Attributes:
        replica_id: The replica that tried.
        required: The rights that it needed.
        available: The rights that it holds.
    """

    def __init__(self, replica_id: str, required: int, available: int) -> None:
        super().__init__(
            f"replica {replica_id!r} holds rights to {available} and needs {required}; "
            "ask another replica to transfer some"
        )
        self.replica_id = replica_id
        self.required = required
        self.available = available


class UpdateInterruptedError(CrdtError):
    """The function given to `ORMap.update` raised after it had already changed the nested value.

    What it did until then stands as one operation, which must be shipped like any other. The error
    that the function raised is the cause (`__cause__`).

    Attributes:
        operation: The operation that records what was done.
    """

    def __init__(self, operation: object) -> None:
        super().__init__("the update was interrupted by an error; what it did before stands and must be shipped")
        self.operation = operation
