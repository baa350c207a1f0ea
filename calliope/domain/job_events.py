"""What happens to scheduled jobs, as events: each job has a stream of its own, `<name>-<job id>`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from calliope.domain.schedule import Cron, Every, Once
from calliope.event import event

Missed = Literal["once", "all", "skip"]
"""What becomes of runs that nobody started in time: the latest of them is run, all are, or none is."""


@event("calliope.job.scheduled")
@dataclass(frozen=True)
class JobScheduled:
    """A job was scheduled, or scheduled anew.

    Attributes:
        job_id: the job.
        task: the name of the function that runs.
        schedule: when.
        missed: what becomes of missed runs.
        since: runs until then do not count.
        data: plain data for the function.
    """

    job_id: str
    task: str
    schedule: Once | Every | Cron
    missed: Missed
    since: datetime
    data: Any = None


@event("calliope.job.cancelled")
@dataclass(frozen=True)
class JobCancelled:
    """A job will not be started any more."""

    job_id: str


@event("calliope.job.started")
@dataclass(frozen=True)
class JobStarted:
    """A run was started.

    Attributes:
        job_id: the job.
        run_id: names the run, also when somebody else begins it again.
        planned: when the run was due.
        runner: who runs it.
    """

    job_id: str
    run_id: str
    planned: datetime
    runner: str


@event("calliope.job.renewed")
@dataclass(frozen=True)
class JobRenewed:
    """A run is still under way, or was begun again by somebody else.

    Attributes:
        job_id: the job.
        runner: who runs it now.
    """

    job_id: str
    runner: str


@event("calliope.job.succeeded")
@dataclass(frozen=True)
class JobSucceeded:
    """A run came to its end."""

    job_id: str
    planned: datetime


@event("calliope.job.failed")
@dataclass(frozen=True)
class JobFailed:
    """A run failed as often as it may be tried.

    Attributes:
        job_id: the job.
        planned: when the run was due.
        error: the last error.
        attempts: how often it was tried.
    """

    job_id: str
    planned: datetime
    error: str
    attempts: int


@event("calliope.job.skipped")
@dataclass(frozen=True)
class JobSkipped:
    """Missed runs were skipped, as the job's policy has it.

    Attributes:
        job_id: the job.
        through: the last of them.
    """

    job_id: str
    through: datetime


JobEvent = JobScheduled | JobCancelled | JobStarted | JobRenewed | JobSucceeded | JobFailed | JobSkipped
