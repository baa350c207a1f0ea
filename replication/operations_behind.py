"""`OperationsBehind`: the operations that came since the stored states, by key; restart and eviction build on them."""

from collections.abc import Iterator

import msgspec

from calliope.stores.versioned import Versioned

OPERATIONS_BEHIND_BYTES_MAX = 16 * 1024 * 1024
"""About how many bytes of operations wait for a checkpoint; twice as many, and whoever reads the log waits for one."""

CHANGE_BYTES = 600
"""About what a change takes in memory beside its operations."""

ITEM_BYTES = 140
"""About what an operation takes in memory beside its payload."""


class Behind(msgspec.Struct, frozen=True, gc=False):
    """A change of a key that its stored state may lack.

    Attributes:
        position: its log position, or a lower one.
        log_id: the log of its entry.
        number: the entry's place there.
        change: the change.
    """

    position: int
    log_id: str
    number: int
    change: Versioned

    @property
    def byte_count(self) -> int:
        """About how many bytes of memory it takes."""
        items = self.change.items
        return CHANGE_BYTES + ITEM_BYTES * len(items) + sum([len(item.payload) for item in items])


class OperationsBehind:
    """Holds changes by key, in log order.

    Attributes:
        byte_count: about how many bytes of memory they take.
    """

    def __init__(self) -> None:
        self._changes: dict[str, list[Behind]] = {}
        self._byte_counts: dict[str, int] = {}
        self.byte_count = 0

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._changes)

    def __contains__(self, key: str) -> bool:
        return key in self._changes

    def add(self, behind: Behind) -> None:
        """Add a change, which comes after all others in the log."""
        key, byte_count = behind.change.stream_id, behind.byte_count
        self._changes.setdefault(key, []).append(behind)
        self._byte_counts[key] = self._byte_counts.get(key, 0) + byte_count
        self.byte_count += byte_count

    def of(self, key: str) -> list[Behind]:
        """Return the changes of a key."""
        return self._changes.get(key, [])

    def bytes_of(self, key: str) -> int:
        """Return about how many bytes of memory the changes of a key take."""
        return self._byte_counts.get(key, 0)

    def first_position(self, key: str) -> int:
        """Return the log position of the first change of a key that is behind."""
        return self._changes[key][0].position

    def lowest_position(self) -> int | None:
        """Return the lowest log position of all; None: there is none."""
        return min((changes[0].position for changes in self._changes.values()), default=None)

    def drop(self, key: str, count: int) -> None:
        """Drop the first changes of a key: its stored state contains them now."""
        if not count:
            return
        changes = self._changes[key]
        dropped = sum([behind.byte_count for behind in changes[:count]])
        self.byte_count -= dropped
        if count == len(changes):
            del self._changes[key], self._byte_counts[key]
        else:
            del changes[:count]
            self._byte_counts[key] -= dropped
