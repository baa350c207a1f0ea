"""`KeyCache`: the keys in use, bounded in number and bytes; the least recently used go first."""

from collections import OrderedDict
from collections.abc import Iterator

from replication.key_state import KeyState

CACHED_KEYS_MAX = 10_000
"""How many keys are kept in memory."""

CACHED_BYTES_MAX = 64 * 1024 * 1024
"""About how many bytes of states are kept in memory, as of their stored form."""

SEARCHED_MAX = 64
"""How many keys with operations under way are passed over in search of one to drop."""


class KeyCache:
    """Keeps keys by name. What is dropped can be loaded again: from its stored state and the operations behind it.

    Invariant: a key with operations under way is not dropped.

    Args:
        keys_max: how many keys are kept.
        bytes_max: how many bytes of states are kept.
    """

    def __init__(self, keys_max: int = CACHED_KEYS_MAX, bytes_max: int = CACHED_BYTES_MAX) -> None:
        self._keys_max = keys_max
        self._bytes_max = bytes_max
        self._states: OrderedDict[str, KeyState] = OrderedDict()
        self._byte_counts: dict[str, int] = {}
        self._byte_count = 0

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator[KeyState]:
        return iter(self._states.values())

    def peek(self, key: str) -> KeyState | None:
        """Return a key that is here, without counting that as use."""
        return self._states.get(key)

    def use(self, key: str) -> KeyState | None:
        """Return a key that is here."""
        state = self._states.get(key)
        if state is not None:
            self._states.move_to_end(key)
            if state.byte_count != self._byte_counts[key]:
                self._count(state, kept=key)
        return state

    def put(self, state: KeyState) -> None:
        """Keep a key, and drop others that were not used for longer, as many as it takes."""
        self._states[state.key] = state
        self._states.move_to_end(state.key)
        self._count(state, kept=state.key)

    def changed(self, state: KeyState) -> None:
        """Count a key that is here anew, and drop others, or itself, if that is too much; that is no use of it."""
        if state.byte_count != self._byte_counts[state.key]:
            self._count(state, kept="")

    def clear(self) -> None:
        """Drop everything."""
        self._states.clear()
        self._byte_counts.clear()
        self._byte_count = 0

    def _count(self, state: KeyState, kept: str) -> None:
        self._byte_count += state.byte_count - self._byte_counts.get(state.key, 0)
        self._byte_counts[state.key] = state.byte_count
        while len(self._states) > self._keys_max or self._byte_count > self._bytes_max:
            if not self._drop_one(kept):
                return

    def _drop_one(self, kept: str) -> bool:
        for searched, (key, state) in enumerate(self._states.items()):
            if searched == SEARCHED_MAX or key == kept or len(self._states) == 1:
                return False
            if not state.is_promised:
                del self._states[key]
                self._byte_count -= self._byte_counts.pop(key)
                return True
        return False
