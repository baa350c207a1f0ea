"""The streams of a scheduler's jobs: where they are, and what they say."""

from collections.abc import AsyncIterator

from calliope.domain.job_events import (
    JobCancelled,
    JobEvent,
    JobFailed,
    JobRenewed,
    JobScheduled,
    JobSkipped,
    JobStarted,
    JobSucceeded,
)
from calliope.domain.jobs import Job, job_of
from calliope.event_stream import EventStream
from calliope.flow import Source
from calliope.journal import Journal
from calliope.recorded_event import RecordedEvent

_TYPES = (JobScheduled, JobCancelled, JobStarted, JobRenewed, JobSucceeded, JobFailed, JobSkipped)


class JobStreams:
    """Finds, loads and follows jobs.

    Args:
        journal: where they are kept.
        name: what their streams' ids begin with, with a hyphen.
    """

    def __init__(self, journal: Journal, name: str) -> None:
        self.name = name
        self._prefix = f"{name}-"
        self._journal = journal

    def stream(self, job_id: str) -> EventStream[JobEvent]:
        """Return the stream of a job."""
        return self._journal.event_stream(f"{self._prefix}{job_id}", JobEvent)

    async def load(self, job_id: str, known: Job | None = None) -> Job | None:
        """Return a job as its stream has it now, or None if it was never scheduled.

        Args:
            job_id: the job.
            known: what was loaded of it before.
        """
        after = known.version if known is not None else 0
        return job_of(await self.stream(job_id).records(after).run_collect(), known)

    async def all(self) -> AsyncIterator[Job]:
        """Yield every job that was ever scheduled, in the order of their ids."""
        ids = self._journal.records(types=JobScheduled, prefix=self._prefix, event_type=JobScheduled)
        for job_id in sorted({record.data.job_id async for record in ids if self.is_ours(record)}):
            job = await self.load(job_id)
            if job is not None:
                yield job

    def live_records(self, after: int) -> Source[RecordedEvent[JobEvent]]:
        """Yield what happened to jobs after a position, then what happens."""
        return self._journal.live_records(after, types=_TYPES, prefix=self._prefix, event_type=JobEvent)

    def is_ours(self, record: RecordedEvent[JobEvent]) -> bool:
        """Tell whether a record is of one of these jobs, and not of a set with a longer name."""
        return record.stream_id == f"{self._prefix}{record.data.job_id}"
