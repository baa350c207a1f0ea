"""Virtual time: what is to happen, in the order of its time. No event loop, no waiting."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

Action = Callable[..., None]


class VirtualTime:
    """Runs actions at their time; those of one moment in the order in which they were asked for.

    Attributes:
        now: seconds since the beginning.
        steps: how many actions were run.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._asked = 0
        self._actions: list[tuple[float, int, Action, tuple[Any, ...]]] = []

    def after(self, seconds: float, action: Action, *arguments: Any) -> None:
        """Have an action run in so many seconds."""
        self._asked += 1
        heappush(self._actions, (self.now + max(0.0, seconds), self._asked, action, arguments))

    def run_next(self, until: float) -> bool:
        """Run the next action that is due by a time; say whether there was one."""
        if not self._actions or self._actions[0][0] > until:
            self.now = max(self.now, until)
            return False
        self.now, _, action, arguments = heappop(self._actions)
        self.steps += 1
        action(*arguments)
        return True

    def run_until(self, until: float) -> None:
        """Run everything that is due by a time, and be there then."""
        while self.run_next(until):
            pass


@dataclass(frozen=True, slots=True)
class SkewedClock:
    """A replica's monotonic clock: it began somewhere and is fast or slow.

    Attributes:
        rate: how many seconds it shows to have passed in a true one.
        offset: what it showed at the beginning.
    """

    rate: float = 1.0
    offset: float = 0.0

    def read(self, now: float) -> float:
        """Return what it shows at a true time."""
        return self.offset + self.rate * now

    def true_seconds(self, seconds: float) -> float:
        """Return how long it takes until it has gone on by so many seconds."""
        return seconds / self.rate
