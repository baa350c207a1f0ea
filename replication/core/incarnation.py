"""Which start of this replica is speaking, so that a later word replaces an earlier one (SWIM, section 4.2)."""

from crdts import VersionVector
from replication.core.effects import Effects, Remember
from replication.core.messages import Row


class Incarnation:
    """Counts our starts, and what we said since the last.

    Args:
        replica_id: who we are.
        number: how often this replica was started before.
        address: where it listens; empty if nowhere.
    """

    def __init__(self, replica_id: str, number: int, address: str) -> None:
        self.replica_id = replica_id
        self.address = address
        self._number = number
        self._sequence = 0

    def begin(self, effects: Effects) -> None:
        """Count this start."""
        self._count(self._number + 1, effects)

    def speak(self, log_id: str, vector: VersionVector) -> Row:
        """Return our own row; it replaces all that we said before."""
        self._sequence += 1
        return Row(self.replica_id, self._number, self._sequence, log_id, vector, 0.0, self.address)

    def outdo(self, row: Row, effects: Effects) -> None:
        """Speak louder than a row of ours that we cannot have said yet: our disk went back in time."""
        if (row.incarnation, row.sequence) > (self._number, self._sequence):
            self._count(row.incarnation + 1, effects)

    def _count(self, number: int, effects: Effects) -> None:
        self._number = number
        effects.persist.append(Remember("incarnation", str(number).encode()))
