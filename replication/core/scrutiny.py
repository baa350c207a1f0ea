"""What peers send, compared with what is known: a lie costs its sender the connection, and us nothing."""

from collections import OrderedDict

from calliope.stores.versioned import LogEntry
from crdts import VersionVector
from replication.core.effects import Effects, Refuse
from replication.core.holdings import Holdings
from replication.core.link import Link
from replication.core.own_log import OwnLog

CHECKSUMS_MAX = 4096
"""Of how many entries the checksums are remembered, to notice a number that is repeated with other content."""


class Scrutiny:
    """Believes nothing that can be compared.

    Args:
        own_log: the log that we write.
        holdings: what this journal holds.
    """

    def __init__(self, own_log: OwnLog, holdings: Holdings) -> None:
        self._own_log = own_log
        self._holdings = holdings
        self._checksums: OrderedDict[tuple[str, int], int] = OrderedDict()

    def know(self, entry: LogEntry) -> None:
        """Remember the content of an entry that is durable here."""
        self._checksums[entry.log_id, entry.number] = entry.checksum
        if len(self._checksums) > CHECKSUMS_MAX:
            self._checksums.popitem(last=False)

    def is_possible(self, vector: VersionVector) -> bool:
        """Say whether somebody may hold this: nobody holds what we have not written yet."""
        return self._own_log.was_written(vector)

    def believes(self, link: Link, vector: VersionVector, effects: Effects) -> bool:
        """Say whether somebody may hold what a peer says; refuse the peer if it claims what we never wrote."""
        if self.is_possible(vector):
            return True
        reason = f"claims that {self._own_log.log_id} has a number that was never written"
        effects.refuse.append(Refuse(link.peer, reason))
        return False

    def problem(self, entry: LogEntry) -> str:
        """Say what is wrong with an entry, in itself or beside what we know; empty: nothing."""
        log_id, number = entry.log_id, entry.number
        if not entry.is_whole:
            return f"sent {log_id}:{number} with a wrong checksum"
        if self._checksums.get((log_id, number), entry.checksum) != entry.checksum:
            return f"sent {log_id}:{number} with other content than is known"
        if log_id == self._own_log.log_id and number > self._holdings.promised(log_id):
            return f"sent {log_id}:{number}, which was never written here"
        return ""
