"""Running one run of a job: claimed, renewed while it lasts, tried again when it fails, and its end recorded."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio

from calliope.context import with_metadata
from calliope.domain.delivering import derived_id
from calliope.domain.job_events import JobEvent, JobFailed, JobRenewed, JobSkipped, JobStarted, JobSucceeded
from calliope.domain.job_streams import JobStreams
from calliope.domain.jobs import Job
from calliope.errors import ExpectedVersionError
from calliope.flow import Backoff, Clock
from calliope.flow.clock import check_clock

RENEWALS_PER_LEASE = 3
"""How often a run that lasts is renewed within the time after which it would be taken for dead."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobRun:
    """One run of a job, as its function gets it.

    Attributes:
        id: the same whenever this run is tried or begun again, and different from that of any other.
        job_id: the job.
        planned: when the run was due.
        attempt: which try this is here: 1, 2 …
        data: the job's data.
    """

    id: str
    job_id: str
    planned: datetime
    attempt: int
    data: Any


class JobWork:
    """Carries out runs. What it appends, it appends behind what it knows of the job, or not at all.

    Args:
        streams: the jobs.
        tasks: the functions, by name.
        runner: who it is.
        lease_seconds: how long a run may go without being renewed.
        attempts: how often a run is tried.
        backoff: the pauses between.
        clock: measures the pauses.
        chance: gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        streams: JobStreams,
        tasks: Mapping[str, Callable[[JobRun], Awaitable[object]]],
        runner: str,
        lease_seconds: float,
        attempts: int,
        backoff: Backoff,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        check_clock(clock)
        self.runner = runner
        self.lease_seconds = lease_seconds
        self._streams = streams
        self._tasks = tasks
        self._attempts = attempts
        self._backoff = backoff
        self._clock = clock
        self._chance = chance

    def knows(self, job: Job) -> bool:
        """Tell whether the job's function is here."""
        return job.task in self._tasks

    async def start(self, job: Job, planned: datetime) -> None:
        """Start a planned run, unless something happened to the job meanwhile."""
        run_id = derived_id(self._streams.name, job.job_id, job.version)
        started = JobStarted(job.job_id, run_id, planned, self.runner)
        if await self._appended(job, started):
            await self._run(job, run_id, planned)

    async def resume(self, job: Job) -> None:
        """Begin the run again that somebody left, unless something happened to the job meanwhile."""
        if job.running is not None and job.run_id is not None:
            renewed = JobRenewed(job.job_id, self.runner)
            if await self._appended(job, renewed):
                await self._run(job, job.run_id, job.running)

    async def skip(self, job: Job, through: datetime) -> None:
        """Skip missed runs, unless something happened to the job meanwhile."""
        await self._appended(job, JobSkipped(job.job_id, through))

    async def _appended(self, job: Job, event: JobEvent) -> bool:
        try:
            await self._streams.stream(job.job_id).persist(event, expected_version=job.version)
        except ExpectedVersionError:
            return False
        return True

    async def _run(self, job: Job, run_id: str, planned: datetime) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._renew, job, run_id, tasks.cancel_scope)
            with with_metadata(correlation_id=run_id):
                ended = await self._tried(job, run_id, planned)
            event_id = derived_id(run_id, "ended")
            await self._streams.stream(job.job_id).persist(ended, event_id=event_id)
            tasks.cancel_scope.cancel()

    async def _tried(self, job: Job, run_id: str, planned: datetime) -> JobEvent:
        function = self._tasks[job.task]
        for attempt in range(1, self._attempts + 1):
            try:
                await function(JobRun(run_id, job.job_id, planned, attempt, job.data))
            except Exception as error:
                failure = f"{type(error).__name__}: {error}"
                _logger.warning("job %r failed, try %d of %d: %s", job.job_id, attempt, self._attempts, failure)
                if attempt == self._attempts:
                    return JobFailed(job.job_id, planned, failure, attempt)
                await self._clock.sleep(self._backoff.pause_seconds(attempt, self._chance()))
            else:
                break
        return JobSucceeded(job.job_id, planned)

    async def _renew(self, job: Job, run_id: str, running: anyio.CancelScope) -> None:
        """Give signs of life; if the run was taken over or has ended elsewhere, stop running it here."""
        known: Job | None = None
        while True:
            await self._clock.sleep(self.lease_seconds / RENEWALS_PER_LEASE)
            known = await self._streams.load(job.job_id, known)
            while known is not None and not await self._renewed(known, run_id, running):
                known = await self._streams.load(job.job_id, known)

    async def _renewed(self, job: Job, run_id: str, running: anyio.CancelScope) -> bool:
        if job.run_id == run_id and job.runner == self.runner:
            return await self._appended(job, JobRenewed(job.job_id, self.runner))
        _logger.warning("run %s of job %r went on elsewhere, so it is stopped here", run_id, job.job_id)
        running.cancel()
        return True
