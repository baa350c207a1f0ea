"""The log, states and facts of a journal in memory."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from calliope.stores.log_state import LogState, new_among
from calliope.stores.log_tail import LogTail
from calliope.stores.replica_store import LogPage, StoredState
from calliope.stores.versioned import LogEntry
from crdts import VersionVector


class MemoryLog:
    """Keeps log entries in a list; a forgotten one leaves its place empty.

    Attributes:
        state: what is held, and where new entries are numbered.
        tail: the newest entries.
        states: the stored state of each key.
        facts: the small facts.
    """

    def __init__(self) -> None:
        self.state = LogState()
        self.tail = LogTail()
        self.states: dict[str, StoredState] = {}
        self.facts: dict[str, bytes] = {}
        self._entries: list[LogEntry | None] = []
        self._numbers: dict[str, list[int]] = {}
        self._positions: dict[str, list[int]] = {}
        self._sorted_keys: list[str] | None = []

    def add(self, entries: Sequence[LogEntry]) -> None:
        """Add entries that are the next of their logs, or jump over what is in states; then publish them."""
        position = self.state.position
        self.state = self.state.adding(entries)
        for place, entry in enumerate(entries, position + 1):
            self._numbers.setdefault(entry.log_id, []).append(entry.number)
            self._positions.setdefault(entry.log_id, []).append(place)
        self._entries += entries
        self.tail.publish(list(enumerate(entries, position + 1)))

    def new_among(self, entries: Sequence[LogEntry], snapshot: VersionVector) -> list[LogEntry]:
        """Return the entries that are not held, after checking that each is the next of its log.

        Raises:
            LogGapError, ForkedLogError: as `ReplicaStore.receive`.
        """
        return new_among(entries, self.state.vector, snapshot, self._held)

    def page(self, have: VersionVector, after: int, bytes_max: int) -> LogPage:
        """Return a page of entries; see `ReplicaStore.read_log`."""
        head = self.state.position
        entries: list[LogEntry] = []
        byte_count = 0
        for position in range(max(after, self._first_lacking(have) - 1) + 1, head + 1):
            entry = self._entries[position - 1]
            if entry is None or entry.number <= have[entry.log_id]:
                continue
            byte_count += len(entry.body)
            if entries and byte_count > bytes_max:
                return LogPage(entries, position - 1, head)
            entries.append(entry)
        return LogPage(entries, max(after, head), head)

    def sorted_keys(self) -> list[str]:
        """Return the keys of all states by code point."""
        if self._sorted_keys is None:
            self._sorted_keys = sorted(self.states)
        return self._sorted_keys

    def save(self, states: Mapping[str, StoredState], checkpoint: int) -> None:
        """Replace states and raise the checkpoint."""
        if not states.keys() <= self.states.keys():
            self._sorted_keys = None
        self.states.update(states)
        self.state = self.state.checkpointing(checkpoint)

    def forget_operations(self, through: int) -> None:
        """Empty the places of operations, and raise the floor."""
        floor: dict[str, int] = {}
        for index in range(self.state.forgotten_through, through):
            entry = self._entries[index]
            if entry is not None and entry.kind == "operations":
                floor[entry.log_id] = entry.number
                self._entries[index] = None
        self.state = self.state.forgetting(through, VersionVector(floor))

    def install(self, vector: VersionVector) -> None:
        """Hold everything up to a vector."""
        self.state = self.state.installing(vector)

    def _first_lacking(self, have: VersionVector) -> int:
        """Return the first position that may hold what somebody lacks who has this."""
        first = len(self._entries) + 1
        for log_id, numbers in self._numbers.items():
            index = bisect_right(numbers, have[log_id])
            if index < len(numbers):
                first = min(first, self._positions[log_id][index])
        return first

    def _held(self, log_id: str, number: int) -> LogEntry | None:
        """Return an entry, or None if it is in states only."""
        numbers = self._numbers.get(log_id, [])
        index = bisect_right(numbers, number) - 1
        if index < 0 or numbers[index] != number:
            return None
        return self._entries[self._positions[log_id][index] - 1]
