"""`KeyNames`: the names of the keys as a stream, in order, a page at a time."""

from bisect import bisect_right
from collections.abc import Sequence

from calliope.stores.replica_store import ReplicaStore
from replication.key_record import DELETED
from replication.key_space import KeySpace

PAGE_KEYS = 1_000
"""How many keys are read at once."""


class KeyNames:
    """Hands out the keys that begin with a prefix, those after one.

    Those that are there from the beginning to the end of the run are handed out once; those that come or go meanwhile
    may be among them or not. Memory is bounded by a page, and by the names of the keys that wait for a checkpoint.
    """

    def __init__(self, store: ReplicaStore, keys: KeySpace, prefix: str, after: str = "") -> None:
        self._store = store
        self._keys = keys
        self._prefix = prefix
        self._after = after
        self._behind: list[str] | None = None
        self._ended = False

    async def pull(self, limit: int) -> Sequence[str]:
        """Return the next keys."""
        if self._behind is None:
            await self._keys.reach()
            self._behind = sorted(key for key in self._keys.behind if key.startswith(self._prefix))
        names: list[str] = []
        while not names and not self._ended:
            names = await self._page(self._behind)
        return names

    async def aclose(self) -> None:
        """Hand out nothing any more."""
        self._ended = True

    async def _page(self, behind: list[str]) -> list[str]:
        stored = await self._store.states(prefix=self._prefix, after=self._after, limit=PAGE_KEYS, bodies=False)
        self._ended = len(stored) < PAGE_KEYS
        start = bisect_right(behind, self._after)
        stop = len(behind) if self._ended else bisect_right(behind, stored[-1].key)
        fresh = behind[start:stop]
        listed = {state.key for state in stored if not state.type_name.startswith(DELETED)}
        for key in fresh:
            state = await self._keys.look(key)
            (listed.add if state.is_listed else listed.discard)(key)
        if not self._ended:
            self._after = stored[-1].key
        return sorted(listed)
