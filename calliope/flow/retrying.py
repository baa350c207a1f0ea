"""Trying again: a failed stream is opened anew, after a pause that grows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from calliope.flow.arguments import check_callable, check_count
from calliope.flow.clock import Clock, check_clock
from calliope.flow.closing import close
from calliope.flow.inlet import Inlet, Open, Stage
from calliope.flow.sequences import checked_errors

T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """How long to pause before trying again: exponentially longer, capped, and spread by chance.

    The pause before the k-th further try is `min(longest_seconds, first_seconds * factor ** (k - 1))`, less a random
    part of at most `jitter` of it. With full jitter, the default, many clients that failed at one moment do not come
    back at one moment (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """

    first_seconds: float = 0.1
    longest_seconds: float = 30.0
    factor: float = 2.0
    jitter: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.first_seconds <= self.longest_seconds:
            raise ValueError(
                f"first_seconds must be from 0 to longest_seconds ({self.longest_seconds}), not {self.first_seconds}"
            )
        if not self.factor >= 1:
            raise ValueError(f"factor must be at least 1, not {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, not {self.jitter}")

    def pause_seconds(self, failures: int, chance: float) -> float:
        """Return the pause after that many failures (1, 2 …); `chance` is a random number from 0 to 1."""
        try:
            longest = min(self.longest_seconds, self.first_seconds * self.factor ** (failures - 1))
        except OverflowError:
            longest = self.longest_seconds
        return longest * (1 - self.jitter * chance)


class RetryInlet(Generic[T]):
    """Opens a recipe again when a run of it has failed."""

    def __init__(
        self,
        open_upstream: Open,
        attempts: int,
        backoff: Backoff,
        errors: tuple[type[Exception], ...],
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._open = open_upstream
        self._inlet: Inlet[T] = open_upstream()
        self._attempts = attempts
        self._failures = 0
        self._backoff = backoff
        self._errors = errors
        self._clock = clock
        self._random = random

    async def pull(self, limit: int) -> Sequence[T]:
        """Return the next elements of the current run, or of the next one if it fails."""
        while True:
            try:
                return await self._inlet.pull(limit)
            except self._errors:
                self._failures += 1
                if self._failures == self._attempts:
                    raise
            await close(self._inlet)
            await self._clock.sleep(self._backoff.pause_seconds(self._failures, self._random()))
            self._inlet = self._open()

    async def aclose(self) -> None:
        """Close the current run."""
        await self._inlet.aclose()


def retrying(attempts: int, backoff: Backoff, errors: Any, clock: Clock, random: Callable[[], float]) -> Stage:
    """Make the stage of `Source.retry`."""
    check_count("attempts", attempts)
    check_callable("random", random)
    check_clock(clock)
    if not isinstance(backoff, Backoff):
        raise TypeError(f"backoff must be a Backoff, not {backoff!r}")
    kinds = checked_errors(errors)

    def stage(open_upstream: Open) -> Open:
        return lambda: RetryInlet(open_upstream, attempts, backoff, kinds, clock, random)

    return stage
