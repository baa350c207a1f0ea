"""Which start of this replica is speaking, so that a later word replaces an earlier one (SWIM, section 4.2)."""

from crdts import VersionVector
from replication.core.effects import Effects, Remember
from replication.core.members import Members
from replication.core.messages import Row
from replication.core.roster import INCARNATION_MAX


class Incarnation:
    """Counts our starts.

    Args:
        replica_id: who we are.
        number: how often this replica was started before.
        address: where it listens; empty if nowhere.
        members: whose roster says our incarnation, too.

    Attributes:
        number: which start this is.
    """

    def __init__(self, replica_id: str, number: int, address: str, members: Members) -> None:
        self.replica_id = replica_id
        self.address = address
        self.number = number
        self._members = members

    def begin(self, effects: Effects) -> None:
        """Count this start."""
        self._count(self.number + 1, effects)

    def speak(self, log_id: str, vector: VersionVector) -> Row:
        """Return our own row; it replaces what others have heard of us."""
        return Row(self.replica_id, self.number, log_id, vector, self.address)

    def outdo(self, incarnation: int, effects: Effects) -> None:
        """Begin a later incarnation than one of which is said what we do not know: our disk went back in time."""
        if incarnation <= INCARNATION_MAX:
            self._count(incarnation + 1, effects)

    def _count(self, number: int, effects: Effects) -> None:
        self.number = number
        self._members.speak(number)
        effects.persist.append(Remember("incarnation", str(number).encode()))
