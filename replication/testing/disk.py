"""A simulated disk: the journal of one replica, as `calliope.stores.replica_store` promises it, without waiting.

It is a list of commits. What they amount to, the *image*, can be made again from the list: so a crash cuts off what was
not synced, and a disk goes back in time by being cut off earlier. The image is built with the log of the memory store,
which refuses gaps and forks as every store does.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from calliope.errors import StorageFullError
from calliope.stores.memory_log import MemoryLog
from calliope.stores.replica_store import LogPage
from calliope.stores.versioned import EntryKind, LogEntry, Versioned, log_entry
from crdts import VersionVector
from replication.core.effects import (
    Append,
    Install,
    MergeStates,
    Persist,
    Read,
    Receive,
    Remember,
    Stage,
    Unstage,
    UseLog,
)
from replication.core.messages import SnapshotChunk
from replication.testing.values import AppliedOperations, Values

Entries = list[tuple[int, LogEntry]]
"""Entries with their log positions."""


@dataclass(frozen=True, slots=True)
class WriteEvents:
    """Write own events: what a handle of a replicated stream does, beside the core."""

    changes: tuple[Versioned, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop operations up to a log position from the log; the states contain them."""

    through: int


Commit = Persist | WriteEvents | Forget


class Disk:
    """Keeps what was committed, and loses in a crash what was not synced.

    Args:
        make_values: what operations amount to.

    Attributes:
        values: the states of all keys.
        events: how often which entry of events is held.
        facts: what is remembered.
        parts: what is staged.
        is_full: whether nothing more can be written.
    """

    def __init__(self, make_values: Callable[[], Values] = AppliedOperations) -> None:
        self._make_values = make_values
        self._commits: list[Commit] = []
        self._synced = 0
        self.is_full = False
        self._clear()

    # What is there ------------------------------------------------------------------------------------------------

    @property
    def log_id(self) -> str:
        """The log in which what is written here is numbered."""
        return self._log.state.log_id

    @property
    def vector(self) -> VersionVector:
        """The number of the last entry held of each log."""
        return self._log.state.vector

    @property
    def floor(self) -> VersionVector:
        """What is held only in states."""
        return self._log.state.floor

    @property
    def head(self) -> int:
        """The highest log position."""
        return self._log.state.position

    @property
    def known_members(self) -> set[str]:
        """The other replicas that are remembered."""
        return set(_decode_members(self.facts["members"])) if "members" in self.facts else set()

    def page(self, read: Read) -> LogPage:
        """Return the entries that somebody lacks."""
        return self._log.page(read.have, read.after, read.bytes_max)

    def contents(self) -> dict[str, Any]:
        """Return all values, and which events are held how often."""
        return {**self.values.contents(), "events": dict(self.events)}

    def applied_twice(self) -> list[tuple[str, int]]:
        """Return the entries that took effect more than once."""
        return self.values.applied_twice() + [entry for entry, count in self.events.items() if count > 1]

    def forgettable(self, stable: VersionVector) -> int:
        """Return the log position up to which all operations are stable, so that they may be forgotten."""
        through = self._log.state.forgotten_through
        page = self._log.page(VersionVector(), through, 1 << 60)
        for entry in page.entries:
            if entry.kind == "operations" and entry.number > stable[entry.log_id]:
                return through
            through += 1
        return through

    # Writing ------------------------------------------------------------------------------------------------------

    def commit(self, commit: Commit) -> Entries:
        """Make something durable, all or nothing, and return the entries that are new.

        Raises:
            StorageFullError: there is no room; nothing was written.
            LogGapError, ForkedLogError: what is to be received does not follow what is held; nothing was written.
        """
        if self.is_full:
            raise StorageFullError("the simulated disk is full")
        entries = self._carry_out(commit)
        self._commits.append(commit)
        self.sync()
        return entries

    def take_effect(self, entry: LogEntry) -> None:
        """Let an entry change the values, or the events."""
        if entry.kind == "operations":
            self.values.apply(entry)
        else:
            self.events[entry.log_id, entry.number] += 1

    def sync(self) -> None:
        """Have everything survive a crash."""
        self._synced = len(self._commits)

    def crash(self) -> None:
        """Lose what was not synced."""
        if self._synced < len(self._commits):
            self.go_back(self._synced)

    def mark(self) -> int:
        """Return the name of this moment, for `go_back`."""
        return len(self._commits)

    def go_back(self, mark: int) -> None:
        """Be what it was at an earlier moment: somebody restored a backup."""
        del self._commits[mark:]
        self._synced = mark
        self._clear()
        for commit in self._commits:
            self._carry_out(commit)

    def _clear(self) -> None:
        self._log = MemoryLog()
        self.values = self._make_values()
        self.events: Counter[tuple[str, int]] = Counter()
        self.facts: dict[str, bytes] = {}
        self.parts: dict[int, SnapshotChunk] = {}

    def _carry_out(self, commit: Commit) -> Entries:
        if isinstance(commit, Append):
            return self._write("operations", commit.changes)
        if isinstance(commit, WriteEvents):
            return self._write("events", commit.changes)
        if isinstance(commit, Receive):
            return self._add(self._log.new_among(commit.entries, commit.snapshot or VersionVector()))
        if isinstance(commit, MergeStates):
            self.values.merge(commit.states)
        elif isinstance(commit, Stage):
            self.parts[commit.number] = commit.chunk
        elif isinstance(commit, Unstage):
            self.parts.clear()
        elif isinstance(commit, Install):
            self._log.install(commit.vector)
        elif isinstance(commit, Remember):
            self._remember(commit)
        elif isinstance(commit, UseLog):
            self._log.state = self._log.state.using(commit.log_id)
        else:
            self._log.forget_operations(commit.through)
        return []

    def _write(self, kind: EntryKind, changes: Sequence[Versioned]) -> Entries:
        number = self.vector[self.log_id] + 1
        return self._add([log_entry(self.log_id, number, kind, changes)])

    def _add(self, entries: Sequence[LogEntry]) -> Entries:
        position = self.head
        self._log.add(entries)
        for entry in entries:
            self.take_effect(entry)
        return list(enumerate(entries, position + 1))

    def _remember(self, remember: Remember) -> None:
        if remember.fact is None:
            self.facts.pop(remember.name, None)
        else:
            self.facts[remember.name] = remember.fact


_decode_members = msgspec.msgpack.Decoder(dict[str, str]).decode
