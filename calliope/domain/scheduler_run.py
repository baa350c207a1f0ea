"""`SchedulerRun`: one run of a scheduler, from its start to its cancellation."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import anyio
from anyio.abc import TaskGroup

from calliope.domain.agenda import Agenda
from calliope.domain.following import Following
from calliope.domain.instants import datetime_of, microseconds_of
from calliope.domain.job_events import JobEvent
from calliope.domain.job_streams import JobStreams
from calliope.domain.job_work import JobWork
from calliope.domain.jobs import Job
from calliope.event_stream import MicrosecondClock
from calliope.flow import Clock
from calliope.journal import Journal
from calliope.recorded_event import RecordedEvent

_DUE_MAX = 256


class _Seen(NamedTuple):
    """A job, and when its stream was seen to be as it is."""

    job: Job
    at: int


class SchedulerRun:
    """Follows the jobs, and has each worked on when its time has come.

    Args:
        journal: where they are kept.
        streams: the jobs.
        work: carries out runs.
        late: after how long a run is missed.
        parallelism: how many jobs are worked on at once, at most.
        wall_clock: what schedules are compared with.
        clock: measures the pauses.
        tasks: owns everything that runs.
    """

    def __init__(
        self,
        journal: Journal,
        streams: JobStreams,
        work: JobWork,
        late: timedelta,
        parallelism: int,
        wall_clock: MicrosecondClock,
        clock: Clock,
        tasks: TaskGroup,
    ) -> None:
        self._streams = streams
        self._work = work
        self._late = late
        self._now = wall_clock
        self._agenda: Agenda[str] = Agenda(wall_clock, clock)
        self._permits = anyio.Semaphore(parallelism)
        self._tasks = tasks
        self._seen: dict[str, _Seen] = {}
        self._worked_on: set[str] = set()
        self._following = Following(journal, streams.name, streams.live_records, self._note, lambda: self._seen)

    async def run(self) -> None:
        """Take up what is unfinished, then follow the jobs until cancelled."""
        for job_id in await self._following.load():
            await self._look_at(job_id)
        self._tasks.start_soon(self._work_when_due)
        await self._following.run()

    async def _note(self, records: Sequence[RecordedEvent[JobEvent]]) -> None:
        for job_id in dict.fromkeys(record.data.job_id for record in records if self._streams.is_ours(record)):
            await self._look_at(job_id)

    async def _look_at(self, job_id: str) -> None:
        """See how a job is, and when to work on it."""
        job = await self._refreshed(job_id)
        if job_id in self._worked_on:
            return
        due = None if job is None or not self._work.knows(job) else self._due(job)
        if due is None:
            self._agenda.discard(job_id)
        else:
            self._agenda.put(job_id, due)

    def _due(self, job: Job) -> int | None:
        if job.running is not None:
            return 0 if job.runner == self._work.runner else self._lease_end(job)
        return None if job.next_run is None else microseconds_of("next run", job.next_run)

    def _lease_end(self, job: Job) -> int:
        return self._seen[job.job_id].at + int(self._work.lease_seconds * 1_000_000)

    async def _refreshed(self, job_id: str) -> Job | None:
        seen = self._seen.get(job_id)
        job = await self._streams.load(job_id, None if seen is None else seen.job)
        if job is None or not job.is_open:
            self._seen.pop(job_id, None)
        elif seen is None or seen.job.version < job.version:
            self._seen[job_id] = _Seen(job, self._now())
        return job

    async def _work_when_due(self) -> None:
        while True:
            for job_id in await self._agenda.next_due(_DUE_MAX):
                if job_id not in self._worked_on:
                    self._worked_on.add(job_id)
                    self._tasks.start_soon(self._work_on, job_id)

    async def _work_on(self, job_id: str) -> None:
        try:
            while await self._step(job_id):
                pass
        finally:
            self._worked_on.discard(job_id)
        await self._look_at(job_id)

    async def _step(self, job_id: str) -> bool:
        """Do the next thing about a job; tell whether there may be more to do now."""
        async with self._permits:
            job = await self._refreshed(job_id)
            if job is None:
                return False
            if job.running is not None:
                return await self._resume(job)
            plan = job.plan(datetime_of(self._now()), self._late)
            if plan.start is not None:
                await self._work.start(job, plan.start)
            elif plan.skip_through is not None:
                await self._work.skip(job, plan.skip_through)
            return plan.start is not None or plan.skip_through is not None

    async def _resume(self, job: Job) -> bool:
        if job.runner != self._work.runner and self._now() < self._lease_end(job):
            return False
        await self._work.resume(job)
        return True
