"""Schedules: when a job is to run, as values without a clock. Once, at an interval, or by a cron expression.

Cron expressions are parsed by `cronsim` (extra `jobs`), which follows Debian's cron, also where clocks are set for
daylight saving: a time that does not exist runs when the clock has jumped, one that comes twice runs once.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from calliope.domain.instants import microseconds_of

try:
    from cronsim import CronSim, CronSimError
except ImportError:  # an extra
    CronSim = None  # type: ignore[assignment,misc] # without it there are no cron expressions

INTERVAL_MIN = timedelta(milliseconds=1)
"""The shortest interval between two runs of a job."""


class Once(msgspec.Struct, frozen=True, tag="once"):
    """One run.

    Attributes:
        at: when, as an aware datetime.
    """

    at: datetime

    def __post_init__(self) -> None:
        microseconds_of("at", self.at)

    def next_after(self, time: datetime) -> datetime | None:
        """Return the first run after a time, or None."""
        return self.at if self.at > time else None

    def last_until(self, time: datetime) -> datetime | None:
        """Return the last run until a time, that time included, or None."""
        return self.at if self.at <= time else None


class Every(msgspec.Struct, frozen=True, tag="every"):
    """Runs at an interval, counted from a start, so that they do not drift.

    Attributes:
        interval: the time between two runs, at least a millisecond.
        start: when the first run is, as an aware datetime; an interval after it is scheduled, if not given.
    """

    interval: timedelta
    start: datetime | None = None

    def __post_init__(self) -> None:
        if self.start is not None:
            microseconds_of("start", self.start)
        if not isinstance(self.interval, timedelta):
            raise TypeError(f"interval must be a timedelta, not {self.interval!r}")
        if self.interval < INTERVAL_MIN:
            raise ValueError(f"interval must be at least {INTERVAL_MIN}, not {self.interval!r}")

    def next_after(self, time: datetime) -> datetime | None:
        """Return the first run after a time."""
        start = self._start
        return start if time < start else start + ((time - start) // self.interval + 1) * self.interval

    def last_until(self, time: datetime) -> datetime | None:
        """Return the last run until a time, that time included, or None."""
        start = self._start
        return None if time < start else start + (time - start) // self.interval * self.interval

    @property
    def _start(self) -> datetime:
        if self.start is None:
            raise ValueError("an interval without a start begins when it is scheduled, and this one was not")
        return self.start


class Cron(msgspec.Struct, frozen=True, tag="cron"):
    """Runs at the times that a cron expression names.

    Attributes:
        expression: five fields: minute, hour, day of month, month, day of week; with six, the first is the second.
        timezone: where the clock hangs that it means, such as "Europe/Berlin".
    """

    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        self._times(datetime(2000, 1, 1, tzinfo=UTC))

    def next_after(self, time: datetime) -> datetime | None:
        """Return the first run after a time, or None if there is none for fifty years."""
        return next(self._times(time), None)

    def last_until(self, time: datetime) -> datetime | None:
        """Return the last run until a time, that time included, or None."""
        # Backwards it is told apart by minutes or seconds, so it begins a whole one after the time.
        for found in self._times(time.replace(microsecond=0) + timedelta(minutes=1), reverse=True):
            if found <= time:
                return found
        return None

    def _times(self, time: datetime, *, reverse: bool = False) -> Iterator[datetime]:
        if CronSim is None:
            raise ModuleNotFoundError("cron expressions need cronsim: install calliope-streams[jobs]")
        local = time.astimezone(_zone(self.timezone))
        try:
            times: Any = CronSim(self.expression, local, reverse=reverse)
        except CronSimError as error:
            raise ValueError(f"{self.expression!r} is no cron expression: {error}") from error
        return (found.astimezone(UTC) for found in times)


Schedule = Once | Every | Cron


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"{name!r} is no time zone that is known here") from error
