"""What waits to be sent on one connection."""

from collections import deque

import anyio

from replication.core.messages import Entries, Message, SnapshotChunk
from replication.errors import ConnectionLostError

OUTBOX_BYTES_MAX = 32 * 1024 * 1024
"""How much may wait for one connection; one message more than that may wait, for a single entry may be larger."""

SMALL_MESSAGE_BYTES = 256
"""About how large a message is that holds neither entries nor states."""


class Outbox:
    """What waits to be sent, in order.

    Attributes:
        closed: whether the connection is to end.
        reason: why.
    """

    def __init__(self) -> None:
        self.closed = False
        self.reason = ""
        self._messages: deque[tuple[Message, int]] = deque()
        self._byte_count = 0
        self._came = anyio.Event()
        self._ended = anyio.Event()

    def put(self, message: Message) -> bool:
        """Add a message, and say whether there was room for it: if not, the peer reads too slowly to be kept."""
        if self._byte_count > OUTBOX_BYTES_MAX:
            return False
        size = _size_of(message)
        self._messages.append((message, size))
        self._byte_count += size
        self._came.set()
        return True

    def close(self, reason: str) -> None:
        """Send nothing more; what waits is dropped."""
        self.closed = True
        self.reason = reason
        self._messages.clear()
        self._came.set()
        self._ended.set()

    async def until_closed(self) -> None:
        """Return when it is closed."""
        await self._ended.wait()

    async def next(self) -> Message:
        """Return the next message, waiting for it; cancellation leaves it where it is.

        Raises:
            ConnectionLostError: it was closed.
        """
        while self.closed or not self._messages:
            if self.closed:
                raise ConnectionLostError(self.reason)
            self._came = anyio.Event()
            await self._came.wait()
        message, size = self._messages.popleft()
        self._byte_count -= size
        return message


def _size_of(message: Message) -> int:
    """Return about how many bytes a message has."""
    size = SMALL_MESSAGE_BYTES
    if isinstance(message, (Entries, SnapshotChunk)):
        size += sum([len(entry.body) + 64 for entry in message.entries])
    if isinstance(message, SnapshotChunk):
        size += sum([len(state.body) + len(state.key) for state in message.states])
    return size
