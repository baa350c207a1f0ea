"""What has happened in a simulation: a hash of everything, and the last lines to show when it fails."""

from collections import deque
from hashlib import blake2b

from replication import wire
from replication.core.messages import Entries, Message
from replication.testing.virtual_time import VirtualTime

LINES_SHOWN = 60
"""How many lines a failure shows."""


class Trace:
    """Writes down what happens.

    Args:
        time: virtual time.
        title: what a failure says first: how to run it again.
        is_detailed: whether the hash takes in the bytes of all messages, too.
    """

    def __init__(self, time: VirtualTime, title: str, *, is_detailed: bool = False) -> None:
        self._time = time
        self._title = title
        self._is_detailed = is_detailed
        self._hash = blake2b(digest_size=16)
        self._lines: deque[tuple[float, str, str]] = deque(maxlen=LINES_SHOWN)

    @property
    def hash(self) -> str:
        """A digest of everything so far: equal for equal runs."""
        return self._hash.hexdigest()

    def note(self, what: str, whom: str) -> None:
        """Write down that something happened to somebody."""
        now = self._time.now
        self._lines.append((now, what, whom))
        self._hash.update(f"{now!r} {what} {whom}\n".encode())

    def message(self, what: str, one: str, other: str, message: Message) -> None:
        """Write down that a message was sent or received."""
        name = type(message).__name__
        if type(message) is Entries:
            name += "".join([f" {entry.log_id}:{entry.number}" for entry in message.entries])
        self.note(what, f"{one} {other} {name}")
        if self._is_detailed:
            self._hash.update(wire.encode(message))

    def failed(self, problem: str) -> str:
        """Return what is to be said of a failure."""
        lines = [f"{now:10.3f} {what} {whom}" for now, what, whom in self._lines]
        return "\n".join([f"{self._title}: {problem}", *lines, f"{self._title}: {problem}"])
