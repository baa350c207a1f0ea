"""`Watches`: who is told that keys have changed. A slow reader is told of the newest change, and holds up nobody."""

from collections.abc import Collection
from typing import Final

import anyio

from calliope.errors import JournalClosedError


class Watch:
    """Tells one reader that a key has changed since he last asked.

    Attributes:
        origin: the log in which the latest change was written; None: it came with other states.
    """

    def __init__(self) -> None:
        self.origin: str | None = None
        self._changed = False
        self._closed = False
        self._wakeup = anyio.Event()

    def notify(self, origin: str | None) -> None:
        """Say that the key has changed."""
        self.origin = origin
        self._changed = True
        self._wakeup.set()

    def close(self) -> None:
        """Say that it will not change any more."""
        self._closed = True
        self._wakeup.set()

    async def wait(self) -> None:
        """Return when the key has changed since `caught_up` was called last.

        Raises:
            JournalClosedError: it will not change any more.
        """
        while not self._changed:
            if self._closed:
                raise JournalClosedError("the replicator was closed while somebody waited for a key to change")
            self._wakeup = anyio.Event()
            await self._wakeup.wait()

    def caught_up(self) -> str | None:
        """Say that the reader has what there is now; return the log in which the latest change was written."""
        self._changed = False
        return self.origin


class Watches:
    """The watches of all keys."""

    def __init__(self) -> None:
        self._watches: Final[dict[str, set[Watch]]] = {}
        self._closed = False

    def open(self, key: str) -> Watch:
        """Return a watch of a key; close it with `drop`."""
        watch = Watch()
        self._watches.setdefault(key, set()).add(watch)
        if self._closed:
            watch.close()
        return watch

    def drop(self, key: str, watch: Watch) -> None:
        """Forget a watch; forgetting it twice does nothing."""
        watches = self._watches.get(key, set())
        watches.discard(watch)
        if not watches:
            self._watches.pop(key, None)

    def notify(self, key: str, origin: str | None) -> None:
        """Tell those who watch a key."""
        for watch in self._watches.get(key, ()):
            watch.notify(origin)

    def notify_all(self, keys: Collection[str]) -> None:
        """Tell those who watch one of several keys."""
        for key in keys:
            self.notify(key, None)

    def close(self) -> None:
        """Tell everybody that nothing will change any more."""
        self._closed = True
        for watches in self._watches.values():
            for watch in watches:
                watch.close()
