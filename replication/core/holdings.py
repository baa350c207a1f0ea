"""What this journal holds, and what is on its way to the disk."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from zlib import crc32

from calliope.stores.versioned import LogEntry, replica_of
from crdts import VersionVector


class Holdings:
    """What is durable here, what will be, and what is held only in states.

    Args:
        vector: what the journal holds.
        floor: what it holds only in states.
        head: the last log position.

    Attributes:
        vector: what is durable; replaced, never changed.
        floor: operations at or below it are no longer in our log.
        head: the last log position.
        waiting_bytes: how much of what peers sent waits for the disk.
        is_whole: what is in states is in the vector, too; not so while a snapshot is being taken over.
    """

    def __init__(self, vector: VersionVector, floor: VersionVector, head: int) -> None:
        self.vector = vector
        self.floor = floor
        self.head = head
        self.waiting_bytes = 0
        self.is_whole = True
        self._promised = dict(vector.items())

    def hold(self, entries: Iterable[tuple[int, LogEntry]]) -> list[str]:
        """Note that entries are durable, with their log positions; return their logs, in an order that is decided."""
        grown = dict(self.vector.items())
        logs: dict[str, None] = {}
        for position, entry in entries:
            self.head = position
            grown[entry.log_id] = max(entry.number, grown.get(entry.log_id, 0))
            self.promise(entry)
            logs[entry.log_id] = None
        self.vector = VersionVector.wrap(grown)
        return list(logs)

    def install(self, vector: VersionVector) -> None:
        """Note that everything up to the cut of a snapshot is durable."""
        self.is_whole = True
        self.floor = self.floor.merge(vector)
        self.vector = self.vector.merge(vector)
        for log_id, number in self.vector.items():
            self._promised[log_id] = max(number, self.promised(log_id))

    def promised(self, log_id: str) -> int:
        """Return the highest number of a log that is durable, or on its way to the disk."""
        return self._promised.get(log_id, 0)

    def promise(self, entry: LogEntry) -> None:
        """Note that an entry is durable, or on its way to the disk."""
        self._promised[entry.log_id] = max(entry.number, self.promised(entry.log_id))

    def wait(self, entry: LogEntry) -> None:
        """Note that an entry of a peer's waits for the disk."""
        self.promise(entry)
        self.waiting_bytes += len(entry.body)

    def waited(self, entries: Sequence[LogEntry]) -> None:
        """Note that entries of a peer's wait no more."""
        self.waiting_bytes -= sum([len(entry.body) for entry in entries])

    def awaits(self, replica_id: str) -> bool:
        """Say whether something that a replica wrote is on its way to the disk."""
        return bool(self.waiting_bytes) and any(
            number > self.vector[log] for log, number in self._promised.items() if replica_of(log) == replica_id
        )

    def forget_promises(self) -> None:
        """Only what is durable is promised: something has failed, and what was on its way after it fails, too."""
        self._promised = dict(self.vector.items())

    @property
    def fingerprint(self) -> int:
        """The fingerprint of our vector."""
        return fingerprint(self.vector)


@lru_cache(maxsize=64)
def fingerprint(vector: VersionVector) -> int:
    """Return a number that two equal vectors share, in whatever process, and two others hardly ever."""
    return crc32(repr(sorted(vector.items())).encode())
