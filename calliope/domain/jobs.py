"""`Job`: one scheduled job, a fold of its stream, and what is to be done about it next."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from calliope.domain.job_events import (
    JobCancelled,
    JobEvent,
    JobFailed,
    JobRenewed,
    JobScheduled,
    JobSkipped,
    JobStarted,
    JobSucceeded,
    Missed,
)
from calliope.domain.schedule import Schedule
from calliope.recorded_event import RecordedEvent


@dataclass(frozen=True)
class Job:
    """A job as its stream tells it.

    Attributes:
        job_id: names it.
        task: the name of the function that runs.
        schedule: when.
        missed: what becomes of runs that nobody started in time.
        data: plain data for the function.
        since: runs until then are past: started, skipped or before it was scheduled.
        version: the sequence number of the last event.
        cancelled: whether it was cancelled.
        running: the run that was started and has not ended, or None.
        run_id: names this run, or None.
        runner: who runs it, or None.
        succeeded: how many runs came to their ends.
        failed: how many runs failed.
        error: the error of the last run that failed, or None.
    """

    job_id: str
    task: str
    schedule: Schedule
    missed: Missed
    data: Any
    since: datetime
    version: int
    cancelled: bool = False
    running: datetime | None = None
    run_id: str | None = None
    runner: str | None = None
    succeeded: int = 0
    failed: int = 0
    error: str | None = None

    @property
    def next_run(self) -> datetime | None:
        """When the next run that has not been started is due, or None if there will be none."""
        return None if self.cancelled else self.schedule.next_after(self.since)

    @property
    def is_open(self) -> bool:
        """Whether it runs or will run."""
        return self.running is not None or self.next_run is not None

    def plan(self, now: datetime, late: timedelta) -> "Plan":
        """Return what to do now about a job that is not running.

        Args:
            now: the time.
            late: a run that is due for longer than this counts as missed.
        """
        due = self.next_run
        if due is None or due > now:
            return Plan(wait_until=due)
        if self.missed == "all" or due >= now - late:
            return Plan(start=due)
        latest = self.schedule.last_until(now) or due
        if self.missed == "once":
            return Plan(start=latest)
        if latest >= now - late:  # runs before it are missed, it is not
            return Plan(start=latest)
        return Plan(skip_through=latest)


@dataclass(frozen=True)
class Plan:
    """What to do next: one of these, or nothing at all.

    Attributes:
        start: the run to start.
        skip_through: the last run to skip.
        wait_until: when to look again.
    """

    start: datetime | None = None
    skip_through: datetime | None = None
    wait_until: datetime | None = None


_ENDED: dict[str, Any] = {"running": None, "run_id": None, "runner": None}


def job_of(records: Iterable[RecordedEvent[JobEvent]], job: Job | None = None) -> Job | None:
    """Return what a job has become by further records of its stream; those that it has seen change nothing."""
    for record in records:
        if job is None or record.sequence_number > job.version:
            job = _after(job, record.data, record.sequence_number)
    return job


def _after(job: Job | None, event: JobEvent, version: int) -> Job | None:
    if isinstance(event, JobScheduled):
        scheduled = Job(event.job_id, event.task, event.schedule, event.missed, event.data, event.since, version)
        if job is None:
            return scheduled
        return replace(
            scheduled,
            running=job.running,
            run_id=job.run_id,
            runner=job.runner,
            succeeded=job.succeeded,
            failed=job.failed,
            error=job.error,
        )
    if job is None:
        raise ValueError(f"the stream of job {event.job_id!r} begins with {type(event).__name__}")
    return replace(job, version=version, **_changes(job, event))


def _changes(job: Job, event: JobEvent) -> dict[str, Any]:
    match event:
        case JobCancelled():
            return {"cancelled": True}
        case JobStarted(_, run_id, planned, runner):
            return {"running": planned, "run_id": run_id, "runner": runner, "since": max(planned, job.since)}
        case JobRenewed(_, runner):
            return {"runner": runner}
        case JobSucceeded():
            return {**_ENDED, "succeeded": job.succeeded + 1}
        case JobFailed(_, _, error):
            return {**_ENDED, "failed": job.failed + 1, "error": error}
        case JobSkipped(_, through):
            return {"since": through}
        case _:
            raise TypeError(f"{event!r} is nothing that happens to a job")
