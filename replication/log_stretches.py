"""`LogStretches`: which entries lie up to which log position, so that operations that all replicas hold can go."""

from collections import deque

from crdts import VersionVector

STRETCH_BYTES = 256 * 1024
"""About how long a stretch is; operations are forgotten by whole stretches."""

LOG_KEPT_BYTES = 4 * 1024 * 1024
"""How many bytes of the newest operations stay in the log, for peers that are a little behind."""


class _Stretch:
    """Entries of operations that follow one another in the log, up to a position."""

    __slots__ = ("byte_count", "numbers", "through")

    def __init__(self, through: int, numbers: dict[str, int]) -> None:
        self.through = through
        self.numbers = numbers
        self.byte_count = 0


class LogStretches:
    """The part of the log that has not been forgotten, in stretches; memory grows by a few bytes a stretch.

    Args:
        through: a log position.
        vector: covers all entries up to there; what is known of them is no more.
    """

    def __init__(self, through: int, vector: VersionVector) -> None:
        self._stretches: deque[_Stretch] = deque([_Stretch(through, dict(vector))])
        self._byte_count = 0

    def add(self, log_id: str, number: int, byte_count: int) -> None:
        """Add an entry of operations, the next in the log."""
        if not self._stretches or self._stretches[-1].byte_count >= STRETCH_BYTES or not self._byte_count:
            self._stretches.append(_Stretch(0, {}))
        stretch = self._stretches[-1]
        stretch.numbers[log_id] = number
        stretch.byte_count += byte_count
        self._byte_count += byte_count

    def extend(self, through: int) -> None:
        """Say that all entries up to a position have been added."""
        if self._stretches:
            self._stretches[-1].through = through

    def forgettable(self, stable: VersionVector, through: int, kept_bytes: int) -> int:
        """Return up to which position all operations are stable.

        Args:
            stable: what all replicas hold.
            through: not beyond this position.
            kept_bytes: how much stays in any case.
        """
        found, left = 0, self._byte_count
        for stretch in self._stretches:
            left -= stretch.byte_count
            if stretch.through > through or left < kept_bytes:
                break
            if not stable.descends(VersionVector.wrap(stretch.numbers)):
                break
            found = stretch.through
        return found

    def forget(self, through: int) -> None:
        """Drop the stretches up to a position."""
        while self._stretches and 0 < self._stretches[0].through <= through:
            self._byte_count -= self._stretches.popleft().byte_count
