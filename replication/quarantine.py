"""`Quarantine`: counts and logs the operations of other replicas that cannot be read here."""

import logging
from collections.abc import Callable

from calliope.errors import shortened

QUIET_SECONDS = 60.0
"""How long nothing is logged after a line was."""

_logger = logging.getLogger(__name__)


class Quarantine:
    """Counts what was set aside, and logs at most a line a minute.

    Args:
        now: a monotonic clock.

    Attributes:
        count: how many changes were set aside, whole or in part.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._quiet_until = float("-inf")
        self.count = 0

    def add(self, log_id: str, number: int, key: str, error: Exception) -> None:
        """Note a change that cannot be read."""
        self.count += 1
        if self._now() < self._quiet_until:
            return
        self._quiet_until = self._now() + QUIET_SECONDS
        _logger.warning(
            "entry %s of log %s changes key %s in a way that cannot be read here; it is set aside (%s so far): %s",
            number,
            log_id,
            shortened(key),
            self.count,
            shortened(str(error), 300)[1:-1],
        )
