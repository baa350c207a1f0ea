"""Scheduled jobs: each planned run once, none early, missed ones as the job says."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from calliope import Journal
from calliope.domain.job_events import JobEvent, JobFailed, JobRenewed, JobSkipped, JobStarted, JobSucceeded
from calliope.domain.job_work import JobRun
from calliope.domain.schedule import Cron, Every, Once
from calliope.domain.scheduler import Scheduler
from calliope.flow import Backoff
from calliope.flow.clock import settle
from calliope.testing import ManualClock

pytestmark = pytest.mark.anyio

START = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class World:
    """A journal in memory, clocks, and a function that notes its runs and may be told to fail or to last."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.set_forward_seconds = 0.0
        self.journal = Journal.open("memory://", clock=self.wall_clock)
        self.runs: list[JobRun] = []
        self.ended: list[JobRun] = []
        self.failures: list[Exception] = []
        self.lasts_seconds = 0.0
        self.at_once = self.at_once_max = 0

    def wall_clock(self) -> int:
        return round((START.timestamp() + self.clock.now() + self.set_forward_seconds) * 1_000_000)

    async def work(self, run: JobRun) -> None:
        self.runs.append(run)
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            if self.lasts_seconds:
                await self.clock.sleep(self.lasts_seconds)
            if self.failures:
                raise self.failures.pop(0)
        finally:
            self.at_once -= 1
        self.ended.append(run)

    def scheduler(self, **options: Any) -> Scheduler:
        options = {"backoff": Backoff(1, 1, jitter=0), **options}
        return Scheduler(
            self.journal, "office", {"work": self.work}, wall_clock=self.wall_clock, clock=self.clock, **options
        )

    @property
    def minutes(self) -> list[float]:
        """When the runs were planned, in minutes from the start."""
        return [(run.planned - START) / MINUTE for run in self.runs]

    async def recorded(self, *types: type) -> list[Any]:
        return [record.data async for record in self.journal.records(types=types, event_type=JobEvent)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    async with world.journal:
        yield world


async def rest() -> None:
    for _ in range(10):
        await settle()


async def test_a_job_runs_once_at_its_time_and_not_before(world: World) -> None:
    scheduler = world.scheduler()
    async with scheduler.running():
        await scheduler.schedule("report", "work", Once(START + 5 * MINUTE), data={"to": "ada"})
        await world.clock.advance(299)
        assert world.runs == []
        await world.clock.advance(1)
        assert world.minutes == [5]
        await world.clock.advance(3600)
    [run] = world.runs
    assert (run.job_id, run.data, run.attempt) == ("report", {"to": "ada"}, 1)
    job = await scheduler.job("report")
    assert job is not None
    assert (job.succeeded, job.failed, job.next_run, job.is_open) == (1, 0, None, False)


async def test_a_job_runs_at_an_interval(world: World) -> None:
    scheduler = world.scheduler()
    async with scheduler.running():
        await scheduler.schedule("report", "work", Every(10 * MINUTE))
        await world.clock.advance(35 * 60)
    assert world.minutes == [10, 20, 30]
    assert len({run.id for run in world.runs}) == 3


async def test_an_interval_may_begin_at_a_time_of_its_own(world: World) -> None:
    scheduler = world.scheduler()
    async with scheduler.running():
        await scheduler.schedule("soon", "work", Every(10 * MINUTE, START + MINUTE))
        await scheduler.schedule("began", "work", Every(10 * MINUTE, START - 3 * MINUTE))
        await world.clock.advance(20 * 60)
    assert world.minutes == [1, 7, 11, 17]


async def test_a_job_runs_by_a_cron_expression(world: World) -> None:
    scheduler = world.scheduler()
    async with scheduler.running():
        await scheduler.schedule("report", "work", Cron("*/20 1 * * *"))
        await world.clock.advance(2 * 3600)
    assert world.minutes == [60, 80, 100]


async def test_a_cancelled_job_runs_no_more(world: World) -> None:
    scheduler = world.scheduler()
    async with scheduler.running():
        await scheduler.schedule("report", "work", Every(10 * MINUTE))
        await world.clock.advance(15 * 60)
        assert await world.scheduler().cancel("report")
        assert not await scheduler.cancel("report")
        assert not await scheduler.cancel("unheard of")
        await world.clock.advance(60 * 60)
    assert world.minutes == [10]


async def test_jobs_are_listed_until_they_end(world: World) -> None:
    scheduler = world.scheduler()
    async with scheduler.running():
        await scheduler.schedule("weekly", "work", Cron("0 8 * * MON"))
        await scheduler.schedule("once", "work", Once(START + MINUTE))
        await scheduler.schedule("daily", "work", Every(timedelta(days=1)))
        await scheduler.cancel("daily")
        assert [job.job_id for job in await scheduler.jobs()] == ["once", "weekly"]
        await world.clock.advance(60)
        assert [(job.job_id, job.next_run) for job in await scheduler.jobs()] == [
            ("weekly", datetime(2030, 1, 7, 8, tzinfo=UTC))
        ]


async def test_a_job_that_is_scheduled_anew_follows_the_new_schedule_only(world: World) -> None:
    scheduler = world.scheduler()
    async with scheduler.running():
        await scheduler.schedule("report", "work", Every(10 * MINUTE))
        await world.clock.advance(10 * 60)
        await scheduler.schedule("report", "work", Once(START + 13 * MINUTE))
        await world.clock.advance(60 * 60)
    assert world.minutes == [10, 13]


async def test_scheduling_again_under_the_same_request_id_changes_nothing(world: World) -> None:
    scheduler = world.scheduler()
    async with scheduler.running():
        for _ in range(2):
            await scheduler.schedule("report", "work", Once(START + MINUTE), request_id="once")
            await world.clock.advance(60)
    assert world.minutes == [1]


@pytest.mark.parametrize(
    ("missed", "expected", "skipped"),
    [("once", [50, 60], []), ("all", [10, 20, 30, 40, 50, 60], []), ("skip", [60], [50])],
)
async def test_missed_runs_are_handled_as_the_job_says(
    world: World, missed: Any, expected: list[float], skipped: list[float]
) -> None:
    await world.scheduler().schedule("report", "work", Every(10 * MINUTE), missed=missed)
    await world.clock.advance(55 * 60)
    async with world.scheduler().running():
        await rest()
        await world.clock.advance(10 * 60)
    assert world.minutes == expected
    assert [(event.through - START) / MINUTE for event in await world.recorded(JobSkipped)] == skipped


@pytest.mark.parametrize(("missed", "runs"), [("once", 1), ("all", 1), ("skip", 0)])
async def test_a_single_run_can_be_missed_too(world: World, missed: Any, runs: int) -> None:
    await world.scheduler().schedule("report", "work", Once(START + MINUTE), missed=missed)
    await world.clock.advance(55 * 60)
    async with world.scheduler().running():
        await rest()
    assert len(world.runs) == runs
    assert await world.scheduler().jobs() == []


async def test_a_run_that_is_only_a_little_late_is_not_missed(world: World) -> None:
    await world.scheduler().schedule("report", "work", Every(10 * MINUTE), missed="skip")
    await world.clock.advance(50 * 60 + 59)
    async with world.scheduler().running():
        await rest()
    assert world.minutes == [50]


async def test_a_failing_run_is_tried_again_and_then_recorded_as_failed(world: World) -> None:
    world.failures = [OSError("unplugged"), OSError("unplugged"), OSError("burnt")]
    scheduler = world.scheduler(attempts=3)
    async with scheduler.running():
        await scheduler.schedule("report", "work", Every(10 * MINUTE))
        await world.clock.advance(25 * 60)
    assert world.minutes == [10, 10, 10, 20]
    assert [run.attempt for run in world.runs] == [1, 2, 3, 1]
    assert len({run.id for run in world.runs}) == 2
    assert await world.recorded(JobFailed) == [JobFailed("report", START + 10 * MINUTE, "OSError: burnt", 3)]
    job = await scheduler.job("report")
    assert job is not None
    assert (job.succeeded, job.failed, job.error) == (1, 1, "OSError: burnt")


async def test_runs_of_one_job_do_not_overlap(world: World) -> None:
    world.lasts_seconds = 15 * 60
    scheduler = world.scheduler()
    async with scheduler.running():
        await scheduler.schedule("report", "work", Every(10 * MINUTE))
        await world.clock.advance(50 * 60)
    assert world.minutes == [10, 20, 40]
    assert world.at_once_max == 1


async def test_at_most_so_many_jobs_run_at_once(world: World) -> None:
    world.lasts_seconds = 5
    scheduler = world.scheduler(parallelism=3)
    async with scheduler.running():
        for number in range(10):
            await scheduler.schedule(str(number), "work", Once(START + MINUTE))
        await world.clock.advance(120)
    assert world.at_once_max == 3
    assert len(world.ended) == 10


async def test_of_several_schedulers_one_runs_a_job(world: World) -> None:
    async with world.scheduler().running(), world.scheduler().running(), world.scheduler().running():
        for number in range(10):
            await world.scheduler().schedule(str(number), "work", Every(MINUTE))
        await world.clock.advance(5 * 60)
    assert sorted(world.minutes) == sorted([1, 2, 3, 4, 5] * 10)
    assert len(await world.recorded(JobStarted)) == len(await world.recorded(JobSucceeded)) == 50


async def test_a_run_is_started_once_though_several_notice_it_at_the_same_moment(world: World) -> None:
    world.lasts_seconds = 5
    for number in range(5):
        await world.scheduler().schedule(str(number), "work", Once(START + MINUTE))
    await world.clock.advance(3600)
    async with world.scheduler().running(), world.scheduler().running(), world.scheduler().running():
        await rest()
        await world.clock.advance(10)
    assert sorted(run.job_id for run in world.runs) == ["0", "1", "2", "3", "4"]
    assert len(await world.recorded(JobStarted)) == len(await world.recorded(JobSucceeded)) == 5


async def test_a_run_that_was_cut_off_is_begun_again_under_its_id_when_its_lease_has_ended(world: World) -> None:
    world.lasts_seconds = 5
    async with world.scheduler().running():
        await world.scheduler().schedule("report", "work", Once(START + MINUTE))
        await world.clock.advance(61)
    async with world.scheduler(lease_seconds=30).running():
        await world.clock.advance(29)
        assert len(world.runs) == 1
        await world.clock.advance(6)
    assert len(world.runs) == 2
    assert len({run.id for run in world.runs}) == 1
    assert len(world.ended) == 1
    assert len(await world.recorded(JobStarted)) == len(await world.recorded(JobSucceeded)) == 1


async def test_who_takes_over_the_name_of_a_runner_goes_on_at_once(world: World) -> None:
    world.lasts_seconds = 5
    async with world.scheduler(runner="one").running():
        await world.scheduler().schedule("report", "work", Once(START + MINUTE))
        await world.clock.advance(61)
    async with world.scheduler(runner="one").running():
        await world.clock.advance(5)
    assert len(world.ended) == 1


async def test_a_long_run_is_renewed_so_that_nobody_else_begins_it(world: World) -> None:
    world.lasts_seconds = 300
    async with world.scheduler(lease_seconds=30).running(), world.scheduler(lease_seconds=30).running():
        await world.scheduler().schedule("report", "work", Once(START + MINUTE))
        await world.clock.advance(600)
    assert len(world.runs) == len(world.ended) == 1
    assert len(await world.recorded(JobRenewed)) in (29, 30)


async def test_a_job_of_an_unknown_task_is_left_to_others(world: World) -> None:
    ignorant = Scheduler(world.journal, "office", wall_clock=world.wall_clock, clock=world.clock)
    async with ignorant.running():
        await ignorant.schedule("report", "work", Once(START + MINUTE))
        await world.clock.advance(90)
        assert world.runs == []
        async with world.scheduler().running():
            await world.clock.advance(1)
    assert world.minutes == [1]


async def test_a_wall_clock_that_is_set_back_starts_nothing_early_and_nothing_twice(world: World) -> None:
    scheduler = world.scheduler()
    async with scheduler.running():
        await scheduler.schedule("report", "work", Every(10 * MINUTE))
        await world.clock.advance(15 * 60)
        world.set_forward_seconds = -12 * 60
        await world.clock.advance(16 * 60)
        assert world.minutes == [10]
        await world.clock.advance(60)
    assert world.minutes == [10, 20]


async def test_an_effect_under_the_id_of_its_run_happens_once_however_often_it_is_begun(world: World) -> None:
    sent = world.journal.event_stream("sent", JobSucceeded)

    async def send_and_fall(run: JobRun) -> None:
        await sent.persist(JobSucceeded(run.job_id, run.planned), event_id=run.id)
        if run.attempt < 3:
            raise OSError("unplugged after all was done")

    scheduler = Scheduler(
        world.journal,
        "office",
        {"send": send_and_fall},
        backoff=Backoff(1, 1, jitter=0),
        wall_clock=world.wall_clock,
        clock=world.clock,
    )
    async with scheduler.running():
        await scheduler.schedule("report", "send", Once(START))
        await world.clock.advance(60)
    assert await sent.version() == 1


async def test_without_its_checkpoint_all_is_read_again_and_nothing_runs_twice(world: World) -> None:
    scheduler = world.scheduler()
    async with scheduler.running():
        await scheduler.schedule("report", "work", Every(10 * MINUTE))
        await scheduler.schedule("once", "work", Once(START))
        await world.clock.advance(15 * 60)
    await world.journal.snapshots.delete_snapshots("office/checkpoint")
    async with world.scheduler().running():
        await world.clock.advance(10 * 60)
    assert world.minutes == [0, 10, 20]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"schedule": "0 8 * * *"}, TypeError, "must be Once, Every or Cron, not '0 8"),
        ({"missed": "twice"}, ValueError, "missed must be one of once, all, skip, not 'twice'"),
        ({"task": ""}, ValueError, "task must not be empty"),
        ({"job_id": "j" * 600}, ValueError, "at most 512 bytes"),
    ],
)
async def test_what_cannot_be_scheduled_is_refused(
    world: World, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    legal: dict[str, Any] = {"job_id": "report", "task": "work", "schedule": Once(START)}
    with pytest.raises(error, match=message):
        await world.scheduler().schedule(**{**legal, **arguments})
    assert await world.scheduler().jobs() == []


async def test_jobs_survive_in_a_file(tmp_path: Path) -> None:
    done = anyio.Event()

    async def work(run: JobRun) -> None:
        done.set()

    async with Journal.open(tmp_path / "jobs.db") as journal:
        await Scheduler(journal, "office").schedule("now", "work", Once(START - 9000 * 24 * 60 * MINUTE))
        await Scheduler(journal, "office").schedule("later", "work", Cron("0 0 1 1 *"))
    async with Journal.open(tmp_path / "jobs.db") as journal:
        async with Scheduler(journal, "office", {"work": work}).running():
            await done.wait()
            ended = journal.live_records(types=JobSucceeded, event_type=JobEvent)
            assert (await ended.run_first()).stream_id == "office-now"
        assert [job.job_id for job in await Scheduler(journal, "office").jobs()] == ["later"]
