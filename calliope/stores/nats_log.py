"""`NatsLog`: the messages of a journal, as JetStream keeps them, read and checked.

Direct gets (ADR-31) are answered by any server that keeps the stream, many messages to a question; a server that is
behind the others may answer too. So with several replicas the leader is asked first what the last message is, and an
answer that ends before that is not believed: it is asked for again, until a server answers that has it. How many
replicas there are is looked at when a journal is opened; a mirror of the stream must not answer (`mirror_direct`).
"""

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import msgspec
from nats.aio.msg import Msg

from calliope.errors import CorruptRecordError, StorageError
from calliope.stores.nats_connection import NatsConnection, Pauses
from calliope.stores.nats_errors import MESSAGE_NOT_FOUND, STREAM_NOT_FOUND, ServerError, refusal
from calliope.stores.nats_message import Message, position_of

ANSWER_MESSAGES_MAX = 2_048
"""How many messages one answer has at most."""

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""How many bytes one answer has, about, at most."""


class _Stored(msgspec.Struct):
    seq: int
    data: str = ""


class _Got(msgspec.Struct):
    """The leader's answer to a question for one message."""

    error: ServerError | None = None
    message: _Stored | None = None


_decode_got = msgspec.json.Decoder(_Got).decode


class Raw(msgspec.Struct, frozen=True):
    """A message as it was stored, unchecked."""

    sequence: int
    data: bytes

    def checked(self) -> Message:
        """Return the message of events that it is; raises `CorruptRecordError`."""
        return Message(self.sequence, self.data)


class NatsLog:
    """Reads one JetStream stream.

    Args:
        connection: who is asked.
        stream: the stream's name.
        replicas: how many servers keep it.

    Attributes:
        is_replicated: whether several servers keep it.
    """

    def __init__(self, connection: NatsConnection, stream: str, replicas: int) -> None:
        self._connection = connection
        self._get = f"$JS.API.STREAM.MSG.GET.{stream}"
        self._direct_get = f"$JS.API.DIRECT.GET.{stream}"
        self.is_replicated = replicas > 1

    async def last(self, subject: str) -> Raw | None:
        """Return the last message that a filter lets pass, of all that were acknowledged."""
        return await self._one({"last_by_subj": subject})

    async def end(self, subject: str) -> tuple[int, int]:
        """Return the sequence number of the last message of events and the position of its last event; 0: none."""
        raw = await self.last(subject)
        if raw is None:
            return 0, 0
        try:
            return raw.sequence, raw.checked().last_position
        except CorruptRecordError:
            return raw.sequence, position_of(raw.sequence + 1) - 1  # who reads so far meets the damage

    async def next(self, subject: str, sequence: int) -> Raw | None:
        """Return the first message, from a sequence number on, that a filter lets pass."""
        return await self._one({"seq": max(sequence, 1), "next_by_subj": subject})

    async def read(self, subject: str, sequence: int, limit: int) -> tuple[list[Raw], int]:
        """Return messages from a sequence number on that a filter lets pass, and how many more there are.

        Raises:
            StorageError: no server that knows what is acknowledged answers in time.
        """
        if not self.is_replicated:
            return await self._read(subject, sequence, limit)
        last = await self.last(subject)
        if last is None or last.sequence < sequence:
            return [], 0
        found: list[Raw] = []
        pauses = Pauses(self._connection.address.timeout_seconds)
        while True:
            more, left = await self._read(subject, sequence, limit - len(found))
            found += more
            if left or (found and found[-1].sequence >= last.sequence):
                return found, left
            sequence = found[-1].sequence + 1 if found else sequence
            if pauses.over:
                raise StorageError(
                    f"{self._connection.address.shown}: no server answers that has message {last.sequence}"
                )
            await pauses.pause()

    async def _one(self, question: dict[str, Any]) -> Raw | None:
        if not self.is_replicated:
            answer = await self._connection.ask((self._direct_get, json.dumps(question).encode(), None))
            return None if _status(answer) else Raw(_sequence(answer), answer.data)
        pauses = Pauses(self._connection.address.timeout_seconds)
        while True:
            answer = await self._connection.ask((self._get, json.dumps(question).encode(), None))
            got = _decode_got(answer.data)
            if got.message is not None:
                return Raw(got.message.seq, b64decode(got.message.data))
            error = got.error or ServerError()
            if error.err_code == MESSAGE_NOT_FOUND:
                return None
            if not error.may_be_asked_again or pauses.over:
                raise refusal(error, self._connection.address.shown, doing="to read")
            await pauses.pause()

    async def _read(self, subject: str, sequence: int, limit: int) -> tuple[list[Raw], int]:
        question = {
            "seq": max(sequence, 1),
            "next_by_subj": subject,
            "batch": max(1, min(limit, ANSWER_MESSAGES_MAX)),
            "max_bytes": ANSWER_BYTES_MAX,
        }
        message = self._direct_get, json.dumps(question).encode(), None
        *found, end = await self._connection.ask_for_many(message, lambda answer: bool(_status(answer)))
        status = _status(end)
        if status == "404":
            return [], 0
        if status != "204":
            raise StorageError(f"{self._connection.address.shown} answers {status} to {question}")
        raw = [Raw(_sequence(answer), answer.data) for answer in found]
        return raw, int(_header(end, "Nats-Num-Pending") or "0")


async def asked_of_jetstream(
    connection: NatsConnection, subject: str, question: object, decode: Callable[[bytes], Any]
) -> Any:
    """Return JetStream's answer to a question about streams, asked again for as long as there is no leader.

    Raises:
        CalliopeError: it refuses.
    """
    pauses = Pauses(connection.address.timeout_seconds)
    while True:
        answer = decode((await connection.ask((subject, json.dumps(question).encode(), None))).data)
        error = answer.error
        if error is None or error.err_code == STREAM_NOT_FOUND:
            return answer
        if not error.may_be_asked_again or pauses.over:
            return answer
        await pauses.pause()


def _status(message: Msg) -> str:
    return _header(message, "Status")


def _header(message: Msg, name: str) -> str:
    return (message.headers or {}).get(name, "")


def _sequence(message: Msg) -> int:
    return int(_header(message, "Nats-Sequence"))
