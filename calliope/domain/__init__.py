"""Domain building blocks on event streams: deciders, repositories, typed ids, specifications.

A command is accepted or rejected by a plain call: `await repository.execute(order_id, command)` works or raises.
"""

from calliope.domain.decider import Decider
from calliope.domain.errors import CommandExpiredError, ConflictError, UnsavedSnapshotWarning
from calliope.domain.identity import Identifier, uuid7
from calliope.domain.rejection import Rejection
from calliope.domain.repository import Executed, Loaded, Repository
from calliope.domain.specification import Specification, Verdict, specification

__all__ = [
    "CommandExpiredError",
    "ConflictError",
    "Decider",
    "Executed",
    "Identifier",
    "Loaded",
    "Rejection",
    "Repository",
    "Specification",
    "UnsavedSnapshotWarning",
    "Verdict",
    "specification",
    "uuid7",
]
