"""Projections of numbers for tests, some of which fail."""

from collections import Counter
from dataclasses import dataclass

from calliope import Backoff, RecordedEvent, event
from calliope.domain.projection import Projection
from calliope.domain.projection_target import InMemory
from calliope.testing import ManualClock


class Happened:
    pass


@event("projection-test-counted")
@dataclass(frozen=True)
class Counted(Happened):
    n: int


@event("projection-test-named")
@dataclass(frozen=True)
class Named(Happened):
    name: str


@event("projection-test-ignored")
@dataclass(frozen=True)
class Ignored(Happened):
    n: int


def counted(*numbers):
    return [Counted(number) for number in numbers]


def summing(journal, **settings):
    """A projection of numbers into a list."""
    target = InMemory(list)
    projection = Projection("numbers", journal, target, **settings)

    @projection.on(Counted)
    def count(record: RecordedEvent[Counted], numbers: list[int]) -> None:
        numbers.append(record.data.n)

    return projection, target


class Failing:
    """Fails at one number, for a number of times."""

    def __init__(self, at, times=10**6):
        self.at, self.times, self.calls = at, times, Counter()

    def __call__(self, record, numbers):
        self.calls[record.data.n] += 1
        if record.data.n == self.at and self.calls[self.at] <= self.times:
            raise RuntimeError("out of paper")
        numbers.append(record.data.n)


def failing(journal, handler, **settings):
    clock, target = ManualClock(), InMemory(list)
    pauses = Backoff(first_seconds=1, longest_seconds=3, jitter=0)
    projection = Projection("numbers", journal, target, attempts=4, backoff=pauses, clock=clock, **settings)
    projection.on(Counted)(handler)
    return projection, target, clock


async def parked(projection, clock):
    await clock.advance(60)
    return await projection.status()
