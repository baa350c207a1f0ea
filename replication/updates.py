"""`Update`: what those who follow a key are told, and the stream of them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from typing_extensions import TypeVar

from calliope.stores.versioned import replica_of
from crdts import Crdt
from replication.watching import Watch, Watches

C_co = TypeVar("C_co", bound=Crdt, covariant=True, default=Crdt)


@dataclass(frozen=True, slots=True)
class Update(Generic[C_co]):
    """A key's value after a change.

    Attributes:
        key: the key.
        value: an independent copy of its value.
        origin: the replica that made the latest of the changes; None: this is the value that was there at first, or it
            came with the states of another replica.
    """

    key: str
    value: C_co
    origin: str | None


class UpdatesInlet:
    """Hands out the value that a key has, then the newest after changes. What a slow reader misses is left out."""

    def __init__(self, watches: Watches, key: str, value_of: Callable[[str], Awaitable[Crdt | None]]) -> None:
        self._watches = watches
        self._key = key
        self._value_of = value_of
        self._watch: Watch | None = None

    async def pull(self, limit: int) -> Sequence[Update]:
        """Return the newest update, once there is one that was not handed out."""
        if self._watch is None:
            self._watch = self._watches.open(self._key)
            value = await self._value_of(self._key)
            self._watch.caught_up()
            if value is not None:
                return (Update(self._key, value, None),)
        while True:
            await self._watch.wait()
            value = await self._value_of(self._key)
            origin = self._watch.caught_up()
            if value is not None:
                return (Update(self._key, value, None if origin is None else replica_of(origin)),)

    async def aclose(self) -> None:
        """Follow the key no longer."""
        if self._watch is not None:
            self._watches.drop(self._key, self._watch)
