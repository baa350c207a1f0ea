"""Domain building blocks on event streams: deciders, repositories, projections, typed ids, specifications.

A command is accepted or rejected by a plain call: `await repository.execute(order_id, command)` works or raises.
"""

from calliope.domain.conflict_policy import Change, ConflictPolicy, all_stand, first_stands
from calliope.domain.decider import Decider
from calliope.domain.delivering import Deliver, routed
from calliope.domain.derived_inlet import DerivedRecord
from calliope.domain.derived_stream import DerivedStream
from calliope.domain.errors import CommandExpiredError, ConflictError, UnsavedSnapshotWarning
from calliope.domain.executed import Executed, Loaded
from calliope.domain.identity import Identifier, uuid7
from calliope.domain.job_events import JobFailed, JobSucceeded
from calliope.domain.job_work import JobRun
from calliope.domain.jobs import Job
from calliope.domain.process import CancelDeadline, Complete, Effect, Process, Rejected, Send, SetDeadline
from calliope.domain.process_events import CommandParked, CommandRejected
from calliope.domain.process_manager import ProcessManager, ProcessStatus
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
from calliope.domain.receptor import Receptor
from calliope.domain.receptor_events import ReceptorParked, ReceptorRejected
from calliope.domain.rejection import Rejection
from calliope.domain.repository import Repository
from calliope.domain.schedule import Cron, Every, Once
from calliope.domain.scheduler import Scheduler
from calliope.domain.specification import Specification, Verdict, specification
from calliope.domain.timer_events import TimerFired
from calliope.domain.timers import Timers

__all__ = [
    "AtLeastOnce",
    "CancelDeadline",
    "Change",
    "CommandExpiredError",
    "CommandParked",
    "CommandRejected",
    "Complete",
    "ConflictError",
    "ConflictPolicy",
    "Cron",
    "Decider",
    "Deliver",
    "DerivedRecord",
    "DerivedStream",
    "Effect",
    "Every",
    "Executed",
    "Identifier",
    "InMemory",
    "Job",
    "JobFailed",
    "JobRun",
    "JobSucceeded",
    "JournalOffsets",
    "Loaded",
    "OffsetMovedError",
    "OffsetStore",
    "Once",
    "Parked",
    "Process",
    "ProcessManager",
    "ProcessStatus",
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
    "Receptor",
    "ReceptorParked",
    "ReceptorRejected",
    "Rejected",
    "Rejection",
    "Repository",
    "Scheduler",
    "Send",
    "SetDeadline",
    "Specification",
    "Target",
    "TimerFired",
    "Timers",
    "Transaction",
    "UnsavedSnapshotWarning",
    "Verdict",
    "all_stand",
    "first_stands",
    "routed",
    "specification",
    "uuid7",
]
