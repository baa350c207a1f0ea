"""What has happened in a simulation: a hash of everything, and the last lines to show when it fails."""

from collections import deque
from collections.abc import Callable
from hashlib import blake2b

import msgspec

from replication import wire
from replication.core.messages import Entries, Message
from replication.testing.virtual_time import VirtualTime

LINES_SHOWN = 60
"""How many lines a failure shows."""

HASHED_AT_ONCE = 1000
"""So many events are hashed together, which is cheaper."""


class Trace:
    """Writes down what happens.

    Args:
        time: virtual time.
        title: what a failure says first: how to run it again.
        is_detailed: whether the hash takes in the bytes of all messages, too.
        show: what is given each line, at once; for instance `print`.
    """

    def __init__(
        self,
        time: VirtualTime,
        title: str,
        *,
        is_detailed: bool = False,
        show: Callable[[str], object] | None = None,
    ) -> None:
        self._time = time
        self._title = title
        self._is_detailed = is_detailed
        self._show = show
        self._hash = blake2b(digest_size=16)
        self._lines: deque[tuple[float, str, str]] = deque(maxlen=LINES_SHOWN)
        self._unhashed: list[tuple[float, str, str]] = []

    @property
    def hash(self) -> str:
        """A digest of everything so far: equal for equal runs."""
        self._hash_rest()
        return self._hash.hexdigest()

    def note(self, what: str, whom: str) -> None:
        """Write down that something happened to somebody."""
        line = self._time.now, what, whom
        self._lines.append(line)
        self._unhashed.append(line)
        if len(self._unhashed) >= HASHED_AT_ONCE:
            self._hash_rest()
        if self._show is not None:
            self._show(_shown(line))

    def message(self, what: str, one: str, other: str, message: Message) -> None:
        """Write down that a message was sent or received."""
        name = type(message).__name__
        if type(message) is Entries:
            name += "".join([f" {entry.log_id}:{entry.number}" for entry in message.entries])
        self.note(what, f"{one} {other} {name}")
        if self._is_detailed:
            self._hash_rest()
            self._hash.update(wire.encode(message))

    def failed(self, problem: str) -> str:
        """Return what is to be said of a failure."""
        return "\n".join([f"{self._title}: {problem}", *map(_shown, self._lines), f"{self._title}: {problem}"])

    def _hash_rest(self) -> None:
        self._hash.update(msgspec.msgpack.encode(self._unhashed))
        self._unhashed.clear()


def _shown(line: tuple[float, str, str]) -> str:
    now, what, whom = line
    return f"{now:10.3f} {what} {whom}"
