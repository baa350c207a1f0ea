"""What is wrong with peers, logged: one line a matter and minute, however often it happens."""

import logging
from collections import OrderedDict
from collections.abc import Callable

from replication.printable import printable

MATTERS_MAX = 256
"""Matters that are remembered; the oldest is forgotten first."""

QUIET_SECONDS = 60.0

LINES_MAX = 60
"""Lines within `QUIET_SECONDS`, whatever they are about: what strangers say can always be new."""


class Complaints:
    """Logs warnings about peers at a bounded rate.

    Args:
        logger: where they go.
        now: a monotonic clock.

    Attributes:
        count: how many complaints there were, logged or not.
    """

    def __init__(self, logger: logging.Logger, now: Callable[[], float]) -> None:
        self._logger = logger
        self._now = now
        self._last: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._lines_since = float("-inf")
        self._lines = 0
        self.count = 0

    def add(self, who: str, what: str) -> None:
        """Log that something is wrong with somebody, unless the same was logged a short while ago."""
        self.count += 1
        matter = (who, what)
        logged_at, left_out = self._last.get(matter, (float("-inf"), 0))
        if self._now() - logged_at < QUIET_SECONDS:
            self._last[matter] = (logged_at, left_out + 1)
            return
        if not self._may_log():
            return
        self._last[matter] = (self._now(), 0)
        self._last.move_to_end(matter)
        if len(self._last) > MATTERS_MAX:
            self._last.popitem(last=False)
        again = f" (and {left_out} times since it was last said)" if left_out else ""
        self._logger.warning("peer %s: %s%s", printable(who), printable(what), again)

    def _may_log(self) -> bool:
        if self._now() - self._lines_since >= QUIET_SECONDS:
            self._lines_since, self._lines = self._now(), 0
        self._lines += 1
        return self._lines <= LINES_MAX
