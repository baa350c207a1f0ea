"""`Following`: who follows keys, or waits until they are what he waits for; nobody is asked again and again.

log tail ──► keys ──► watches ──► updates, wait_until           of one key
└─► announce ──► wait_until_version            of the whole log
"""

from collections.abc import Callable
from typing import Any

import anyio

from calliope.errors import JournalClosedError
from calliope.stores.replica_store import ReplicaStore
from crdts import Crdt
from replication.key_space import KeySpace
from replication.local_changes import handed_out
from replication.plain_functions import check_has_run
from replication.updates import UpdatesInlet
from replication.version_token import VersionToken


class Following:
    """Waiting for changes of keys. Cancellation stops the waiting, and leaves nothing.

    Args:
        store: the journal's store.
        keys: its keys.
    """

    def __init__(self, store: ReplicaStore, keys: KeySpace) -> None:
        self._store = store
        self._keys = keys
        self._moved = anyio.Event()
        self._is_over = False

    async def value(self, key: str) -> Crdt | None:
        """Return an independent copy of what a key shows, once all is followed that is durable now; None: nothing."""
        await self._keys.reach()
        typed = (await self._keys.state(key)).current
        if typed is None or not typed.shown.version:
            return None
        return handed_out(typed.shown, key)

    def inlet(self, key: str) -> UpdatesInlet:
        """Return what hands out the value of a key, then the newest after changes."""
        return UpdatesInlet(self._keys.watches, key, self.value)

    async def until(self, key: str, predicate: Callable[[Any], object], timeout: float | None) -> Any:
        """Return the value of a key once a predicate is true of it; see `Replicator.wait_until`."""
        inlet = self.inlet(key)
        try:
            with anyio.move_on_after(timeout):
                while True:
                    for update in await inlet.pull(1):
                        is_so = predicate(update.value)
                        check_has_run(is_so, "the predicate given to wait_until")
                        if is_so:
                            return update.value
        finally:
            await inlet.aclose()
        raise TimeoutError(f"key {key!r} did not become what was waited for within {timeout} seconds")

    async def until_version(self, token: VersionToken, timeout: float | None) -> None:
        """Return when the update is shown that a token was returned for; see `Replicator.wait_until_version`."""
        with anyio.move_on_after(timeout):
            while self._store.vector[token.log_id] < token.number:
                if self._is_over:
                    raise JournalClosedError("the replicator was closed while somebody waited for a version")
                moved = self._moved
                await moved.wait()
            await self._keys.reach()
            return
        raise TimeoutError(f"version {token} did not come within {timeout} seconds")

    def announce(self) -> None:
        """Say that the journal holds more than before."""
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    def close(self) -> None:
        """Tell everybody that nothing will change any more."""
        self._is_over = True
        self._keys.watches.close()
        self.announce()
