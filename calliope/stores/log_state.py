"""What a store keeps in memory about its log: which entries it holds, and where what is written here is numbered."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from calliope.errors import ForkedLogError, LogGapError
from calliope.stores.versioned import LogEntry, replica_of
from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN


@dataclass(frozen=True, slots=True)
class LogState:
    """A log at one moment; never changed, but replaced by the next.

    Attributes:
        log_id: the log in which what is written here is numbered; empty: none was ever used.
        first_log_id: the log that was used first.
        position: the highest log position.
        checkpoint: the log position through which the stored states contain all operations.
        forgotten_through: the log position through which operations were forgotten.
        vector: the number of the last entry held of each log.
        floor: operations at or below it are only in states.
    """

    log_id: str = ""
    first_log_id: str = ""
    position: int = 0
    checkpoint: int = 0
    forgotten_through: int = 0
    vector: VersionVector = NOTHING_SEEN
    floor: VersionVector = NOTHING_SEEN

    def using(self, log_id: str) -> Self:
        """Return the state in which a log is used from now on."""
        return replace(self, log_id=log_id, first_log_id=self.first_log_id or log_id)

    def forgetting(self, through: int, floor: VersionVector) -> Self:
        """Return the state in which operations up to a log position and numbers are only in states."""
        return replace(self, forgotten_through=max(self.forgotten_through, through), floor=self.floor.merge(floor))

    def adding(self, entries: Sequence[LogEntry]) -> Self:
        """Return the state with entries that are the next of their logs, or jump over what is in states."""
        numbers, floor = self.vector.to_dict().copy(), self.floor
        for entry in entries:
            jumped_through = entry.number - 1
            if jumped_through > numbers.get(entry.log_id, 0):
                floor = floor.merge(VersionVector({entry.log_id: jumped_through}))
            numbers[entry.log_id] = entry.number
        return replace(self, position=self.position + len(entries), vector=VersionVector.wrap(numbers), floor=floor)

    def installing(self, vector: VersionVector) -> Self:
        """Return the state in which everything up to a vector is held."""
        held = self.vector
        jumped = VersionVector({log_id: number for log_id, number in vector.items() if number > held[log_id]})
        return replace(self, vector=held.merge(vector), floor=self.floor.merge(jumped))

    def checkpointing(self, checkpoint: int) -> Self:
        """Return the state in which the stored states contain everything up to a log position."""
        return replace(self, checkpoint=max(self.checkpoint, checkpoint))

    def writer(self, replica_id: str) -> str:
        """Return the name under which a replica's events are numbered.

        When this journal was moved to a later log, an earlier one may have been lost, and with it numbers that others
        have seen. So the numbering begins anew, under a name that carries the incarnation.
        """
        if self.log_id in ("", self.first_log_id):
            return replica_id
        return f"{replica_id}~{self.log_id.rpartition('~')[2]}"


def new_log_id(replica_id: str) -> str:
    """Return the id of a log that nobody has used."""
    return f"{replica_id}~{os.urandom(8).hex()}"


def replica_id_of(writer: str) -> str:
    """Return the replica that numbers its events under a name."""
    return replica_of(writer) if "~" in writer else writer


def new_among(
    entries: Sequence[LogEntry],
    held: VersionVector,
    snapshot: VersionVector,
    stored: Callable[[str, int], LogEntry | None],
) -> list[LogEntry]:
    """Return the entries that are not held, after checking that each is the next of its log.

    Args:
        entries: what another replica sent, in its order.
        held: what is held.
        snapshot: numbers up to this may be jumped over.
        stored: returns an entry that is held, or None if it is in states only.

    Raises:
        LogGapError, ForkedLogError: as `ReplicaStore.receive`.
    """
    numbers = held.to_dict().copy()
    new: dict[tuple[str, int], LogEntry] = {}
    for entry in entries:
        log_id, number = entry.log_id, entry.number
        if number > numbers.get(log_id, 0):
            check_next(entry, numbers.get(log_id, 0), snapshot[log_id])
            new[log_id, number] = entry
            numbers[log_id] = number
        elif (new.get((log_id, number)) or stored(log_id, number) or entry) != entry:
            raise ForkedLogError(log_id, number)
    return list(new.values())


def check_next(entry: LogEntry, held: int, jump_through: int) -> None:
    """Check that an entry is the next of its log, or jumps over nothing but what may be jumped over.

    Args:
        entry: an entry that is not held.
        held: the number of the last entry that is held of its log.
        jump_through: numbers up to this may be jumped over.

    Raises:
        LogGapError: it is not.
    """
    if entry.number - 1 > max(held, jump_through):
        raise LogGapError(entry.log_id, entry.number, held + 1)


def check_forgettable(through: int, checkpoint: int) -> None:
    """Check that operations up to a log position are contained in the stored states.

    Raises:
        ValueError: they are not.
    """
    if through > checkpoint:
        raise ValueError(
            f"operations through {through} cannot be forgotten: the states contain only those through {checkpoint}"
        )
