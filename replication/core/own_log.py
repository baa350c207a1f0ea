"""The log that this replica writes. Identity is never reused.

A journal may have gone back in time: a restored backup. Then its numbers are taken, and nothing here shows it. So after
a start we write to a fresh log, unless every member tells us, by its own mouth and before anything was written, that it
knows no more of our old log than we do. What others know of it beyond us is ours to fetch, like anybody's.

An empty log costs nothing, and a number that is never written twice is worth many.
"""

from collections.abc import Sequence

from crdts import VersionVector
from replication.core.effects import Effects, UseLog
from replication.core.holdings import Holdings


class OwnLog:
    """Which log is ours.

    Args:
        log_id: the log that the journal wrote last; empty if it has written none.
        fresh_log_id: a log id that was never used.
        holdings: what this journal holds.

    Attributes:
        log_id: the log in which what is written here is numbered.
    """

    def __init__(self, log_id: str, fresh_log_id: str, holdings: Holdings) -> None:
        self.log_id = log_id or fresh_log_id
        self._fresh_log_id = fresh_log_id
        self._doubted_log_id = log_id if holdings.vector[log_id] else ""
        self._holdings = holdings

    def start(self, effects: Effects, *, is_alone: bool) -> None:
        """Decide where to write to at first: to a fresh log, unless nobody else was ever told anything."""
        if is_alone:
            self._doubted_log_id = ""
        else:
            self.log_id = self._fresh_log_id
        effects.persist.append(UseLog(self.log_id))

    @property
    def is_in_doubt(self) -> bool:
        """Whether we may still go back to the old log."""
        return bool(self._doubted_log_id)

    def decide(self, told: Sequence[VersionVector], effects: Effects, *, is_everybody: bool) -> None:
        """Go back to the old log, once all members have told that they know no more of it than we do.

        Args:
            told: what members hold, by their own words.
            effects: what to do.
            is_everybody: whether these are all members.
        """
        doubted = self._doubted_log_id
        if self._holdings.promised(self._fresh_log_id):
            self._doubted_log_id = ""
        elif any(vector[doubted] > self._holdings.vector[doubted] for vector in told):
            self._doubted_log_id = ""  # our numbers are taken: the fresh log it is
        elif told and is_everybody:
            self._doubted_log_id = ""
            self.log_id = doubted
            effects.persist.append(UseLog(doubted))

    def was_written(self, vector: VersionVector) -> bool:
        """Say whether we have written all that a vector claims of the log that we write."""
        return vector[self.log_id] <= self._holdings.promised(self.log_id)
