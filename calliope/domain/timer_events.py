"""What happens to durable timers, as events: each timer has a stream of its own, `<name>-<timer id>`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from calliope.event import event


@event("calliope.timer.set")
@dataclass(frozen=True)
class TimerSet:
    """A timer was set, or set to another time.

    Attributes:
        timer_id: the timer.
        due: when it fires.
        data: what it was given to hold, as plain data.
    """

    timer_id: str
    due: datetime
    data: Any = None


@event("calliope.timer.cancelled")
@dataclass(frozen=True)
class TimerCancelled:
    """A timer was cancelled before it fired."""

    timer_id: str


@event("calliope.timer.fired")
@dataclass(frozen=True)
class TimerFired:
    """A timer's time had come.

    Attributes:
        timer_id: the timer.
        due: when it was due; it is recorded then or later.
        data: what it was given to hold.
    """

    timer_id: str
    due: datetime
    data: Any = None


TimerEvent = TimerSet | TimerCancelled | TimerFired
