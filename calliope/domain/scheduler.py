"""Scheduled jobs: functions that run at times, one run at a time for each job, whichever process does it.

    async def send_report(run: JobRun) -> None: ...

    scheduler = Scheduler(journal, "office", {"report": send_report})
    await scheduler.schedule("daily", "report", Cron("0 8 * * *", "Europe/Berlin"))
    async with scheduler.running(): ...

A job is a stream: scheduled, started, ended, perhaps skipped or cancelled. To start a run is to append `JobStarted`
behind exactly what one knows of the job (expected version), so that of several schedulers one starts it. What runs is
in the hands of its runner, who *renews* it in the journal while it lasts. One that was not renewed for `lease_seconds`
is begun again by whoever looks, with the same `JobRun.id`: a function whose effects must happen once uses it, as the id
of a command or of an event.

Invariant: each planned run of a job is started once, or skipped, and none before the wall clock shows its time.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from random import random as any_chance
from typing import Any, get_args
from uuid import uuid4

import anyio
from msgspec.structs import replace

from calliope.domain.instants import datetime_of
from calliope.domain.job_events import JobCancelled, JobScheduled, Missed
from calliope.domain.job_streams import JobStreams
from calliope.domain.job_work import JobRun, JobWork
from calliope.domain.jobs import Job
from calliope.domain.schedule import Cron, Every, Once, Schedule
from calliope.domain.scheduler_run import SchedulerRun
from calliope.domain.timers import NAME_BYTES_MAX
from calliope.errors import ExpectedVersionError
from calliope.event_stream import MicrosecondClock, system_clock
from calliope.flow import Backoff, Clock
from calliope.flow.arguments import check_callable, check_count, check_seconds
from calliope.flow.clock import LOOP_CLOCK
from calliope.journal import Journal
from calliope.limits import TYPE_NAME_BYTES_MAX, checked_text
from calliope.owning import owned, single_error

_SINCE_EVER = datetime_of(0)


class Scheduler:
    """Schedules jobs, and runs them while somebody runs it: `async with scheduler.running():`, or `run()`.

    Any number of programs may schedule and run the jobs of one journal. One that only schedules needs no tasks; jobs
    whose task a program does not know are left to the others.

    Args:
        journal: where jobs are kept.
        name: names the set; its streams are `<name>-<job id>`.
        tasks: the functions that jobs run, by name.
        late_seconds: a run that nobody started for so long after its time is missed.
        lease_seconds: after how long without a sign of life of its runner a run is begun again elsewhere.
        attempts: how often a run is tried before it is recorded as failed.
        backoff: the pauses between.
        parallelism: how many runs there are here at once, at most.
        runner: names this scheduler. One that takes over the name of another that has ended goes on with its runs at
            once. Never run two of one name at the same time.
        wall_clock: what schedules are compared with, in microseconds since 1970 UTC.
        clock: measures the pauses.
        chance: gives random numbers from 0 to 1, which spread the pauses.
    """

    def __init__(
        self,
        journal: Journal,
        name: str,
        tasks: Mapping[str, Callable[[JobRun], Awaitable[object]]] | None = None,
        *,
        late_seconds: float = 60.0,
        lease_seconds: float = 30.0,
        attempts: int = 3,
        backoff: Backoff = Backoff(),  # noqa: B008 - it is frozen
        parallelism: int = 16,
        runner: str | None = None,
        wall_clock: MicrosecondClock = system_clock,
        clock: Clock = LOOP_CLOCK,
        chance: Callable[[], float] = any_chance,
    ) -> None:
        self.name = checked_text("name", name, NAME_BYTES_MAX)
        check_seconds("late_seconds", late_seconds)
        check_seconds("lease_seconds", lease_seconds)
        check_count("attempts", attempts)
        check_count("parallelism", parallelism)
        for task, function in (tasks or {}).items():
            check_callable(f"task {task!r}", function)
        self._journal = journal
        self._streams = JobStreams(journal, name)
        self._late = timedelta(seconds=late_seconds)
        self._parallelism = parallelism
        self._wall_clock = wall_clock
        self._clock = clock
        runner = runner or str(uuid4())
        self._work = JobWork(self._streams, dict(tasks or {}), runner, lease_seconds, attempts, backoff, clock, chance)

    async def schedule(
        self,
        job_id: str,
        task: str,
        schedule: Schedule,
        *,
        missed: Missed = "once",
        data: Any = None,
        request_id: str | None = None,
    ) -> None:
        """Schedule a job; return when that is durable. A job of this id that there is follows the new schedule.

        Args:
            job_id: names the job.
            task: the name of the function that runs.
            schedule: when: `Once`, `Every` or `Cron`. One run whose time has passed is due at once, or missed.
            missed: what becomes of runs that nobody started in time: "once": the latest of them is run, "all": all
                are, one after the other, "skip": none is.
            data: plain data for the function.
            request_id: scheduling again under the same id changes nothing, so who was cut off may safely try again.

        Raises:
            TypeError, ValueError: an argument is not legal; nothing was written.

        Cancellation leaves the job scheduled or not; schedule it again with the same request id to find out.
        """
        checked_text("task", task, TYPE_NAME_BYTES_MAX)
        if missed not in get_args(Missed):
            raise ValueError(f"missed must be one of {', '.join(get_args(Missed))}, not {missed!r}")
        now = datetime_of(self._wall_clock())
        since = now
        if isinstance(schedule, Every):
            schedule = schedule if schedule.start else replace(schedule, start=now + schedule.interval)
        elif isinstance(schedule, Once):
            since = _SINCE_EVER
        elif not isinstance(schedule, Cron):
            raise TypeError(f"schedule must be Once, Every or Cron, not {schedule!r}")
        scheduled = JobScheduled(job_id, task, schedule, missed, since, data)
        await self._streams.stream(job_id).persist(scheduled, event_id=request_id)

    async def cancel(self, job_id: str) -> bool:
        """Start a job no more; tell whether there was anything to cancel. A run that is under way goes on.

        Cancellation of the caller leaves the job cancelled or not.
        """
        while (job := await self._streams.load(job_id)) is not None and job.next_run is not None:
            try:
                await self._streams.stream(job_id).persist(JobCancelled(job_id), expected_version=job.version)
            except ExpectedVersionError:
                continue  # something happened to it meanwhile
            return True
        return False

    async def job(self, job_id: str) -> Job | None:
        """Return a job as the journal has it, also when it has ended; None if there never was one."""
        return await self._streams.load(job_id)

    async def jobs(self) -> list[Job]:
        """Return the jobs that run or will run, in the order of their ids."""
        return [job async for job in self._streams.all() if job.is_open]

    def running(self) -> AbstractAsyncContextManager[None]:
        """Run jobs while an `async with` block lasts; an error ends the block and is raised in its place."""
        return owned(self.run)

    async def run(self) -> None:
        """Run jobs until cancelled; what is under way then is cancelled, and begun again by whoever runs next."""
        with single_error():
            async with anyio.create_task_group() as tasks:
                await SchedulerRun(
                    self._journal,
                    self._streams,
                    self._work,
                    self._late,
                    self._parallelism,
                    self._wall_clock,
                    self._clock,
                    tasks,
                ).run()
