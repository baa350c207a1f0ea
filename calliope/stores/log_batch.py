"""The log within one transaction, whatever database it is in: what is added to it, and what it will be then.

What is to be written is gathered, so that a store writes each of its tables by one statement at the end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from calliope.stores.log_state import LogState, check_forgettable, new_among
from calliope.stores.protocol import AppendRequest
from calliope.stores.replica_store import StoredState, Writing
from calliope.stores.versioned import EntryGathering, EntryKind, LogEntry
from crdts import VersionVector


class LogTables(Protocol):
    """The log as it is stored, and what cannot wait until the end of a transaction."""

    def entry(self, log_id: str, number: int) -> LogEntry | None:
        """Return an entry that is held, or None if it is in states only."""
        ...

    def delete_operations(self, after: int, through: int) -> dict[str, int]:
        """Delete operations at log positions after one, through another; return the last number gone of each log."""
        ...


class LogBatch:
    """The log within one transaction.

    Args:
        state: the log before it.
        tables: the log as it is stored.

    Attributes:
        before: the log before it.
        state: the log as it will be when the transaction is committed.
        entries: the new entries, each with its log position.
        states: the states to replace, by key.
        facts: the facts to keep, or to forget, by name.
    """

    def __init__(self, state: LogState, tables: LogTables) -> None:
        self.before = self.state = state
        self.entries: list[tuple[int, LogEntry]] = []
        self.states: dict[str, StoredState] = {}
        self.facts: dict[str, bytes | None] = {}
        self._tables = tables
        self._gathering: EntryGathering | None = None
        self._new: dict[tuple[str, int], LogEntry] = {}

    def use(self, log_id: str) -> None:
        """Number what is written from now on in a log."""
        self.finish()
        self.state = self.state.using(log_id)

    def add_changes(self, kind: EntryKind, changes: Sequence[bytes]) -> int:
        """Add what is written here, encoded; return the number of the entry that the last change is in."""
        if self._gathering is None:
            self._gathering = EntryGathering(self.state.log_id, self.state.vector[self.state.log_id])
        return self._gathering.add(kind, changes)

    def add_operations(self, changes: Sequence[bytes]) -> tuple[str, int]:
        """Add operations, encoded; see `ReplicaStore.append_operations`."""
        if not changes or not self.state.log_id:
            raise ValueError("there are no operations" if self.state.log_id else "no log was ever used")
        return self.state.log_id, self.add_changes("operations", changes)

    def new_among(self, entries: Sequence[LogEntry], snapshot: VersionVector) -> list[LogEntry]:
        """Return the entries that are not held, after checking that each is the next of its log.

        Raises:
            LogGapError, ForkedLogError: as `ReplicaStore.receive`.
        """
        self.finish()
        return new_among(entries, self.state.vector, snapshot, self._held)

    def add_entries(self, entries: Sequence[LogEntry]) -> None:
        """Add entries that are the next of their logs, or jump over what is in states."""
        if entries:
            self.entries += enumerate(entries, self.state.position + 1)
            self._new |= {(entry.log_id, entry.number): entry for entry in entries}
            self.state = self.state.adding(entries)

    def save_states(self, states: Sequence[StoredState], checkpoint: int) -> None:
        """Replace states, and raise the checkpoint."""
        self.states |= {state.key: state for state in states}
        self.state = self.state.checkpointing(checkpoint)

    def forget_operations(self, through: int) -> None:
        """Delete operations, and raise the floor.

        Raises:
            ValueError: the states do not contain them.
        """
        check_forgettable(through, self.state.checkpoint)
        numbers = self._tables.delete_operations(self.state.forgotten_through, through)
        self.state = self.state.forgetting(through, VersionVector(numbers))

    def install(self, vector: VersionVector) -> None:
        """Hold everything up to a vector."""
        self.finish()
        self.state = self.state.installing(vector)

    def remember(self, name: str, fact: bytes | None) -> None:
        """Keep or forget a fact."""
        self.facts[name] = fact

    def finish(self) -> None:
        """Make entries of what was gathered; before that, `entries` and `state` lack it."""
        if self._gathering is not None:
            gathering, self._gathering = self._gathering, None
            self.add_entries(gathering.entries())

    @property
    def changed_logs(self) -> list[str]:
        """The ids of the logs whose last number or floor has changed."""
        state, before = self.state, self.before
        return sorted(
            log_id
            for log_id in {*state.vector, *state.floor}
            if state.vector[log_id] != before.vector[log_id] or state.floor[log_id] != before.floor[log_id]
        )

    def _held(self, log_id: str, number: int) -> LogEntry | None:
        return self._new.get((log_id, number)) or self._tables.entry(log_id, number)


@dataclass(frozen=True, slots=True)
class ReplicatedAppend:
    """A request: events for a replicated stream, and who writes them."""

    request: AppendRequest
    writing: Writing


@dataclass(frozen=True, slots=True)
class Receive:
    """A request: entries of other replicas; numbers up to `snapshot` may be jumped over."""

    entries: Sequence[LogEntry]
    snapshot: VersionVector


@dataclass(frozen=True, slots=True)
class LogWrite:
    """A request that concerns the log only; doing it twice in two transactions does no harm."""

    write: Callable[[LogBatch], object]
