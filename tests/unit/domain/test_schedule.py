"""Schedules say when, without a clock."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from calliope.domain import schedule as schedule_module
from calliope.domain.schedule import Cron, Every, Once, Schedule

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def test_once_is_due_once() -> None:
    assert Once(NOON).next_after(NOON - SECOND) == NOON
    assert Once(NOON).next_after(NOON) is None
    assert Once(NOON).last_until(NOON - SECOND) is None
    assert Once(NOON).last_until(NOON) == NOON


def test_an_interval_does_not_drift() -> None:
    every = Every(HOUR, NOON)
    assert every.next_after(NOON - 5 * HOUR) == NOON
    assert every.next_after(NOON) == NOON + HOUR
    assert every.next_after(NOON + HOUR + SECOND) == NOON + 2 * HOUR
    assert every.last_until(NOON - SECOND) is None
    assert every.last_until(NOON + 2 * HOUR) == NOON + 2 * HOUR
    assert every.last_until(NOON + 3 * HOUR - SECOND) == NOON + 2 * HOUR


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("*/15 * * * *", NOON, NOON + timedelta(minutes=15)),
        ("0 8 * * MON", NOON, datetime(2030, 1, 7, 8, tzinfo=UTC)),
        ("0 0 29 2 *", NOON, datetime(2032, 2, 29, tzinfo=UTC)),
        ("*/10 * * * * *", NOON + SECOND, NOON + 10 * SECOND),
    ],
)
def test_a_cron_expression_names_times(expression: str, after: datetime, expected: datetime) -> None:
    assert Cron(expression).next_after(after) == expected
    assert Cron(expression).last_until(expected) == expected
    before = Cron(expression).last_until(expected - timedelta(microseconds=1))
    assert before is not None
    assert before < expected


def test_a_cron_expression_means_the_clock_of_its_time_zone() -> None:
    berlin = Cron("30 2 * * *", "Europe/Berlin")
    assert berlin.next_after(NOON) == datetime(2030, 1, 2, 1, 30, tzinfo=UTC)
    assert berlin.next_after(datetime(2030, 7, 1, tzinfo=UTC)) == datetime(2030, 7, 1, 0, 30, tzinfo=UTC)


def test_when_clocks_are_set_each_day_has_one_run() -> None:
    berlin, zone = Cron("30 2 * * *", "Europe/Berlin"), ZoneInfo("Europe/Berlin")
    for year, month in [(2030, 3), (2030, 10)]:
        time: datetime | None = datetime(year, month, 1, tzinfo=UTC)
        days = []
        while time is not None and len(days) < 28:
            time = berlin.next_after(time)
            assert time is not None
            days.append(time.astimezone(zone).date())
        assert days == sorted(set(days))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Cron("61 * * * *"), ValueError, "'61 \\* \\* \\* \\*' is no cron expression: Bad minute"),
        (lambda: Cron("* * *"), ValueError, "is no cron expression"),
        (lambda: Cron("* * * * *", "Mars/Olympus"), ValueError, "'Mars/Olympus' is no time zone"),
        (lambda: Every(timedelta(0), NOON), ValueError, "interval must be at least"),
        (lambda: Every(5, NOON), TypeError, "interval must be a timedelta, not 5"),  # type: ignore[arg-type]
        (lambda: Every(HOUR, datetime(2030, 1, 1)), ValueError, "must have a time zone"),
        (lambda: Once(datetime(2030, 1, 1)), ValueError, "must have a time zone"),
        (lambda: Every(HOUR).next_after(NOON), ValueError, "begins when it is scheduled"),
    ],
)
def test_what_is_no_schedule_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_without_cronsim_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule_module, "CronSim", None)
    with pytest.raises(ModuleNotFoundError, match=r"calliope-streams\[jobs\]"):
        Cron("* * * * *")


@pytest.mark.parametrize("schedule", [Once(NOON), Every(HOUR, NOON), Cron("0 * * * *")])
def test_the_next_run_after_the_last_is_the_first_that_is_later(schedule: Schedule) -> None:
    last = schedule.last_until(NOON + 5 * HOUR)
    assert last is not None
    following = schedule.next_after(last)
    assert following is None or following > NOON + 5 * HOUR
