"""Publishing to JetStream: one message, or several all or nothing.

Several go as an atomic batch (ADR-50): headers name the batch and number its messages, and the last one commits it. It
is stored as a whole, with sequence numbers that follow one another, and acknowledged once. It costs the server a sync
of its disk, so what fits into one message goes as one.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from nats.aio.msg import Msg

from calliope.errors import StorageError
from calliope.stores.nats_connection import NatsConnection, Pauses, Published
from calliope.stores.nats_errors import WRONG_LAST_SEQUENCE, ServerError, refusal

BATCH_MESSAGES_MAX = 1_000
"""How many messages a server takes all or nothing."""

PUBLISHED_MAX = 2_000
"""How many messages may be under way at once; a server refuses more than 10,000 by default."""

PUBLISHED_BYTES_MAX = 32 * 1024 * 1024
"""How many bytes may be under way at once, unless one request alone is larger; a server refuses more than 128 MiB."""


Single = tuple[str, bytes, int, Callable[[int | None], None]]
"""Subject, payload, the sequence number that is expected of the last message on the subject, and what takes the new
one's own: None if it was not acknowledged, for whatever reason."""

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_AMONG = "Nats-Expected-Last-Subject-Sequence-Subject"


class _Acknowledgement(msgspec.Struct):
    seq: int = 0
    error: ServerError | None = None


_decode = msgspec.json.Decoder(_Acknowledgement).decode


class Publisher:
    """Publishes messages, with a bound on what is under way.

    Args:
        connection: who is asked.

    Attributes:
        connection: who is asked.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self.connection = connection
        self._window = Window()

    async def publish(
        self,
        messages: Sequence[tuple[str, bytes]],
        expected: int | None,
        pauses: Pauses | None = None,
        *,
        among: str = "",
    ) -> int | None:
        """Publish messages, all or nothing; return the sequence number of the last, or None if another one is there.

        What is published again after it was stored is refused: then None is returned too, and the caller has to look.

        Args:
            messages: subject and payload of each; of one JetStream stream.
            expected: the sequence number of the last message on the first one's subject (0: there is none), or None.
            pauses: for how long it is tried.
            among: a filter; the last message is that of all subjects that it lets pass.

        Raises:
            StorageFullError, StorageError: the server refuses; nothing was written.
            NoAnswerError: nobody answered; the outcome is unknown if it was sent.
        """
        first = {} if expected is None else {_EXPECTED: str(expected)}
        if among:
            first[_AMONG] = among
        headers = [first, *({} for _ in messages[1:])]
        return await self._publish([(*message, each) for message, each in zip(messages, headers, strict=True)], pauses)

    async def publish_together(self, messages: Sequence[tuple[str, bytes, int | None]], pauses: Pauses) -> int | None:
        """Publish messages, all or nothing, as `publish` does; each with what it expects on its own subject."""
        return await self._publish(
            [
                (subject, payload, {} if expected is None else {_EXPECTED: str(expected)})
                for subject, payload, expected in messages
            ],
            pauses,
        )

    async def _publish(
        self, messages: Sequence[tuple[str, bytes, dict[str, str]]], pauses: Pauses | None
    ) -> int | None:
        shown = self.connection.address.shown
        if len(messages) > BATCH_MESSAGES_MAX:
            raise StorageError(
                f"{shown}: a request of {len(messages)} messages is too large, nothing was written:"
                f" a server takes {BATCH_MESSAGES_MAX} all or nothing"
            )
        pauses = pauses or Pauses(self.connection.address.timeout_seconds)
        size = sum([len(message) for _, message, _ in messages])
        await self._window.enter(len(messages), size)
        try:
            while True:
                asked = _with_headers(messages)
                answer = _decode((await self.connection.ask(*asked, pauses=pauses)).data)
                if answer.error is None:
                    return answer.seq
                if answer.error.err_code in WRONG_LAST_SEQUENCE:
                    return None
                if not answer.error.may_be_asked_again or pauses.over:
                    raise refusal(answer.error, shown, doing="to write")
                await pauses.pause()
        finally:
            self._window.leave(len(messages), size)

    def has_room(self, count: int) -> bool:
        """Tell whether so many small messages may be published at once."""
        return self._window.has_room(count)

    async def publish_once(self, messages: Sequence[Single]) -> None:
        """Publish messages, each by itself and once."""
        self._window.add(len(messages))
        await self.connection.publish_once(
            [
                ((subject, payload, {_EXPECTED: str(expected)}), partial(self._acknowledged, done))
                for subject, payload, expected, done in messages
            ]
        )

    def _acknowledged(self, done: Callable[[int | None], None], answer: Msg | None) -> None:
        self._window.leave(1, 0)
        acknowledgement = None
        if answer is not None and answer.data:  # without data it says that nobody is there
            acknowledgement = _decode(answer.data)
        done(acknowledgement.seq if acknowledgement is not None and acknowledgement.error is None else None)


def _with_headers(messages: Sequence[tuple[str, bytes, dict[str, str]]]) -> list[Published]:
    if len(messages) == 1:
        ((subject, payload, own),) = messages
        return [(subject, payload, own or None)]
    batch, published = secrets.token_hex(11), list[Published]()
    for number, (subject, payload, own) in enumerate(messages, 1):
        headers = {**own, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
        if number == len(messages):
            headers["Nats-Batch-Commit"] = "1"
        published.append((subject, payload, headers))
    return published


class Window:
    """Bounds what is under way; who does not fit in waits, in order."""

    def __init__(self) -> None:
        self._count = self._bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def has_room(self, count: int) -> bool:
        """Tell whether there is room for so many small messages."""
        return self._count + count <= PUBLISHED_MAX and not self._waiting

    def add(self, count: int) -> None:
        """Count small messages."""
        self._count += count

    async def enter(self, count: int, size: int) -> None:
        """Wait until there is room for so many messages and bytes, or until nothing else is under way."""
        while self._count and (self._count + count > PUBLISHED_MAX or self._bytes + size > PUBLISHED_BYTES_MAX):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self._count += count
        self._bytes += size

    def leave(self, count: int, size: int) -> None:
        """Make room."""
        self._count -= count
        self._bytes -= size
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # who waited was cancelled
                turn.set_result(None)
