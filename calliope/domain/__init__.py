"""Domain building blocks on event streams: deciders, repositories, projections, typed ids, specifications.

A command is accepted or rejected by a plain call: `await repository.execute(order_id, command)` works or raises.
"""

from calliope.domain.decider import Decider
from calliope.domain.derived_inlet import DerivedRecord
from calliope.domain.derived_stream import DerivedStream
from calliope.domain.errors import CommandExpiredError, ConflictError, UnsavedSnapshotWarning
from calliope.domain.identity import Identifier, uuid7
from calliope.domain.projection import Projection
from calliope.domain.projection_errors import (
    OffsetMovedError,
    ProjectionError,
    ProjectionParkedError,
    ProjectionStoppedError,
    ProjectionTimeoutError,
)
from calliope.domain.projection_history import ProjectionParked, ProjectionSkipped
from calliope.domain.projection_offsets import JournalOffsets, OffsetStore
from calliope.domain.projection_progress import Parked, ProjectionState, ProjectionStatus
from calliope.domain.projection_target import AtLeastOnce, InMemory, Rebuildable, Target, Transaction
from calliope.domain.rejection import Rejection
from calliope.domain.repository import Executed, Loaded, Repository
from calliope.domain.specification import Specification, Verdict, specification

__all__ = [
    "AtLeastOnce",
    "CommandExpiredError",
    "ConflictError",
    "Decider",
    "DerivedRecord",
    "DerivedStream",
    "Executed",
    "Identifier",
    "InMemory",
    "JournalOffsets",
    "Loaded",
    "OffsetMovedError",
    "OffsetStore",
    "Parked",
    "Projection",
    "ProjectionError",
    "ProjectionParked",
    "ProjectionParkedError",
    "ProjectionSkipped",
    "ProjectionState",
    "ProjectionStatus",
    "ProjectionStoppedError",
    "ProjectionTimeoutError",
    "Rebuildable",
    "Rejection",
    "Repository",
    "Specification",
    "Target",
    "Transaction",
    "UnsavedSnapshotWarning",
    "Verdict",
    "specification",
    "uuid7",
]
