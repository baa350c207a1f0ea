"""`NatsConnection`: questions to NATS servers, asked again until somebody answers.

What was asked of a server that died is lost. So every question is asked anew, of whichever server can be reached,
until there is an answer or its time is over. All questions may be asked twice: those that write carry the sequence
number that the server must expect, so that a second time is refused. A server that does not answer is asked whether it
is there, and left if it does not say so.

Of a cluster's servers some questions are answered by a stream's leader alone, and by nobody until one is elected. They
are asked again and again meanwhile, and whichever answer comes counts: who asked only now and then could miss all of a
leader that does not lead for long, and the next one, and be told that there was no answer.

A connection is made anew, and not by the client of nats-py itself: that would send later what was given up meanwhile.

All of this runs in the event loop of the store's own thread: nats-py knows asyncio only.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from itertools import count
from secrets import token_hex
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from calliope.errors import JournalFormatError, StorageError
from calliope.stores.nats_address import NatsAddress
from calliope.stores.nats_errors import NoAnswerError

SERVER_VERSION_MIN = (2, 12)
"""The oldest server that is understood: the first with atomic batches (ADR-50); batched reads (ADR-31) are older."""

PAYLOAD_BYTES_MIN = 1024 * 1024
"""The smallest `max_payload` of a server that may hold a journal: its default."""

CONNECT_SECONDS = 5.0
"""How long one attempt to connect may take."""

ATTEMPT_SECONDS = 3.0
"""How long an answer is waited for before a question is asked again."""

SILENCE_SECONDS = 0.5
"""How long a stream's leader is waited for before it is asked once more, meanwhile: who leads nothing says nothing."""

PING_SECONDS = 2
"""How long a server may take to say that it is there, when it does not answer a question."""

RETRY_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""The pauses before a question is asked again; the last one repeats."""

RECONNECT_SECONDS = 0.05
"""For how long nobody tries to connect after somebody could not."""

PARTS_BYTES_MAX = 256 * 1024 * 1024
"""How much may wait to be taken from the connection; what is asked for at once is limited well below."""

_OF_LEADER = "$JS.API.STREAM.MSG.GET."
"""How the subjects begin of questions for one message: a stream's leader alone answers them, and it costs it little."""

_NO_GREETING = "no server greeted in time"

Done = Callable[[Msg | None], None]
"""Takes the answer to a message; None: there was none."""

Published = tuple[str, bytes, dict[str, str] | None]
"""Subject, payload and headers of a message."""


class Pauses:
    """The pauses of one question, and the time when it is given up."""

    def __init__(self, seconds: float) -> None:
        self._give_up_at = time.monotonic() + seconds
        self._pauses = iter(RETRY_SECONDS)

    @property
    def over(self) -> bool:
        """Whether there is no time left."""
        return time.monotonic() >= self._give_up_at

    @property
    def left(self) -> float:
        """How many seconds are left."""
        return max(0.0, self._give_up_at - time.monotonic())

    async def pause(self) -> None:
        """Wait a little, longer each time."""
        await asyncio.sleep(min(next(self._pauses, RETRY_SECONDS[-1]), self.left))


class NatsConnection:
    """Asks servers. Use it in one asyncio event loop.

    Args:
        address: where they are.

    Attributes:
        address: where they are.
    """

    def __init__(self, address: NatsAddress) -> None:
        self.address = address
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._inbox = f"_INBOX.{token_hex(11)}"
        self._own = token_hex(8).encode()
        self._tokens = count(1)
        self._answers: dict[str, Answer] = {}
        self._expected: dict[str, Done] = {}
        self._heard: dict[str, Callable[[], None]] = {}
        self._last_error = ""
        self._failure: StorageError | None = None
        self._failed_at = 0.0
        self._checking = False
        self._closed = False

    async def open(self) -> None:
        """Connect.

        Raises:
            StorageError: no server can be connected to.
            JournalFormatError: the server is too old, or takes no messages of one MiB.
        """
        try:
            await self._connected(Pauses(self.address.timeout_seconds))
        except TimeoutError as error:
            raise self._unreachable(_NO_GREETING) from error

    async def close(self) -> None:
        """Give up what is asked, and disconnect."""
        self._closed = True
        self._lose_answers()
        if self._client is not None:
            await self._leave(self._client)

    def give_up(self) -> None:
        """Ask nothing again: the journal is being closed."""
        self._closed = True

    async def listen(self, subject: str, heard: Callable[[], None]) -> None:
        """Call a function for each message on a subject that others send, and after each reconnection."""
        self._heard[subject] = heard
        client = self._client
        if client is not None and not client.is_closed:
            with suppress(nats.errors.Error):  # it is closed meanwhile; the next one listens too
                await client.subscribe(subject, cb=self._was_heard)

    async def ask(self, *messages: Published, pauses: Pauses | None = None) -> Msg:
        """Publish messages until somebody answers the last of them; return the answer.

        Raises:
            NoAnswerError: nobody did in time.
            JournalFormatError: the user may not publish there.
        """
        return (await self._asked(messages, Answer(), pauses))[-1]

    async def ask_for_many(self, message: Published, ends: Callable[[Msg], bool]) -> list[Msg]:
        """Publish a message until it is answered by many; return them.

        Args:
            message: the question.
            ends: tells which answer is the last.

        Raises:
            NoAnswerError: nobody answered in time.
            JournalFormatError: the user may not publish there.
        """
        return await self._asked((message,), Answer(ends), None)

    async def publish_once(self, messages: Sequence[tuple[Published, Done]]) -> None:
        """Publish messages, once; what stands beside each is given its answer, or None when its time is over."""
        client, tokens = self._client, list[str]()
        asyncio.get_running_loop().call_later(ATTEMPT_SECONDS, self._expire, tokens)
        for (subject, payload, headers), done in messages:
            if client is None or not client.is_connected:
                done(None)
                continue
            token = str(next(self._tokens))
            tokens.append(token)
            self._expected[token] = done
            try:
                await client.publish(subject, payload, reply=f"{self._inbox}.{token}", headers=headers)
            except Exception:  # it is tried again, and told then
                self._expire([token])

    def _expire(self, tokens: Sequence[str]) -> None:
        for token in tokens:
            done = self._expected.pop(token, None)
            if done is not None:
                done(None)

    async def tell(self, subject: str) -> None:
        """Say to those who listen on a subject in other processes that there is something, if there is a connection."""
        client = self._client
        if client is not None and client.is_connected:
            with suppress(nats.errors.Error):
                await client.publish(subject, self._own)

    async def _asked(self, messages: tuple[Published, ...], answer: "Answer", pauses: Pauses | None) -> list[Msg]:
        pauses = pauses or Pauses(self.address.timeout_seconds)
        was_sent = nobody_listens = False
        while True:
            try:
                client = await self._connected(pauses)
                was_sent = True
                return await self._attempt(client, messages, answer, min(ATTEMPT_SECONDS, pauses.left))
            except nats.errors.MaxPayloadError:
                raise
            except (nats.errors.Error, StorageError, OSError) as error:  # TimeoutError is one, too
                reason = str(error) or "no answer"
                nobody_listens = nobody_listens or isinstance(error, nats.errors.NoRespondersError)
                if isinstance(error, TimeoutError) and not pauses.over:
                    await self._leave_if_it_hangs()
                if pauses.over or self._closed:
                    last = f"; the last error was {self._last_error}" if self._last_error else ""
                    raise NoAnswerError(reason + last, was_sent=was_sent, nobody_listens=nobody_listens) from error
            await pauses.pause()

    async def _attempt(
        self, client: Client, messages: Iterable[Published], answer: "Answer", seconds: float
    ) -> list[Msg]:
        token = str(next(self._tokens))
        *others, last = messages
        answer.begin(seconds, last[0])
        self._answers[token] = answer
        try:
            for subject, payload, headers in others:
                await client.publish(subject, payload, headers=headers)
            await client.publish(last[0], last[1], reply=f"{self._inbox}.{token}", headers=last[2])
            if last[0].startswith(_OF_LEADER):
                while not await answer.comes_within(SILENCE_SECONDS):
                    await client.publish(last[0], last[1], reply=f"{self._inbox}.{token}", headers=last[2])
            return await answer.wait()
        finally:
            del self._answers[token]
            answer.end()

    async def _leave_if_it_hangs(self) -> None:
        """Connect to another server if this one answers nothing at all."""
        client = self._client
        if client is None or not client.is_connected or self._checking:
            return
        self._checking = True
        try:
            await client.flush(timeout=PING_SECONDS)
        except (nats.errors.Error, TimeoutError):
            await self._leave(client)
        finally:
            self._checking = False

    async def _connected(self, pauses: Pauses) -> Client:
        """Return the client once it is connected; a new one if it was closed."""
        client = self._client
        if client is not None and client.is_connected:
            return client
        async with asyncio.timeout(pauses.left), self._connecting:
            client = self._client
            if client is not None and client.is_connected:
                return client
            if self._closed:
                raise StorageError("the journal is being closed")
            if self._failure is not None and time.monotonic() < self._failed_at + RECONNECT_SECONDS:
                raise copy(self._failure)  # those who wait for the connection together fail together
            if client is not None:
                await self._leave(client)
            try:
                self._client = await self._new_client(pauses)
            except StorageError as error:
                self._failure, self._failed_at = error, time.monotonic()
                raise
            return self._client

    async def _leave(self, client: Client) -> None:
        """Close a client, whether its server is still there or not."""
        if self._client is client:
            self._client = None
            self._lose_answers()
        with suppress(Exception):  # it is of no use any more
            async with asyncio.timeout(PING_SECONDS):
                await client.close()

    async def _new_client(self, pauses: Pauses) -> Client:
        address, client = self.address, Client()
        self._last_error = ""
        who: dict[str, Any] = {"user": address.user, "password": address.password, "token": address.token}
        if address.credentials is not None:
            who["user_credentials"] = address.credentials
        if address.encrypted:
            who["tls"] = ssl.create_default_context()
        try:
            async with asyncio.timeout(min(CONNECT_SECONDS * len(address.servers), pauses.left)):
                await client.connect(
                    servers=list(address.servers),
                    name="calliope",
                    connect_timeout=CONNECT_SECONDS,  # type: ignore[arg-type] # seconds, and parts of them
                    reconnect_time_wait=0,
                    max_reconnect_attempts=1,
                    allow_reconnect=False,
                    error_cb=self._note_error,
                    disconnected_cb=partial(self._disconnected, client),
                    **who,
                )
            self._check(client)
            await client.subscribe(f"{self._inbox}.*", cb=self._answered, pending_bytes_limit=PARTS_BYTES_MAX)
            for subject in self._heard:
                await client.subscribe(subject, cb=self._was_heard)
        except JournalFormatError:
            await self._leave(client)
            raise
        except Exception as error:
            known = str(error) if isinstance(error, nats.errors.Error) and "no servers" not in str(error) else ""
            silent = _NO_GREETING if isinstance(error, TimeoutError) else type(error).__name__
            described = known or self._last_error or str(error) or silent
            await self._leave(client)
            raise self._unreachable(described) from error
        except BaseException:
            await self._leave(client)
            raise
        self._last_error = ""
        self._tell_those_who_listen()
        return client

    def _unreachable(self, described: str) -> StorageError:
        return StorageError(f"{self.address.shown} cannot be connected to; nothing was written: {described}")

    def _check(self, client: Client) -> None:
        version, shown = client.connected_server_version, self.address.shown
        if (version.major, version.minor) < SERVER_VERSION_MIN:
            raise JournalFormatError(
                f"{shown} is a NATS server {version.major}.{version.minor};"
                f" Calliope needs {SERVER_VERSION_MIN[0]}.{SERVER_VERSION_MIN[1]} or newer"
            )
        if client.max_payload < PAYLOAD_BYTES_MIN:
            raise JournalFormatError(
                f"{shown} takes messages of {client.max_payload} bytes (max_payload);"
                f" Calliope needs {PAYLOAD_BYTES_MIN}"
            )

    async def _answered(self, message: Msg) -> None:
        token = message.subject[len(self._inbox) + 1 :]
        done = self._expected.pop(token, None)
        if done is not None:
            done(message)
        elif (answer := self._answers.get(token)) is not None:
            answer.add(message)

    async def _was_heard(self, message: Msg) -> None:
        if message.data != self._own:
            self._heard[message.subject]()

    async def _note_error(self, error: Exception) -> None:
        self._last_error = str(error) or type(error).__name__
        if "permissions violation for publish" in self._last_error.lower():
            self._expire(list(self._expected))  # they are tried once more, and then it is told
            for answer in list(self._answers.values()):
                if f'"{answer.subject}"'.lower() in self._last_error.lower():
                    answer.fail(JournalFormatError(f"{self.address.shown} cannot be used as a journal: {error}"))

    async def _disconnected(self, client: Client) -> None:
        if client is self._client and not self._closed:
            self._lose_answers()
            self._tell_those_who_listen()  # who looks connects again

    def _tell_those_who_listen(self) -> None:
        for heard in self._heard.values():
            heard()

    def _lose_answers(self) -> None:
        self._expire(list(self._expected))
        for answer in list(self._answers.values()):
            answer.fail(nats.errors.ConnectionClosedError())


class Answer:
    """What is waited for: one message, or several up to the last."""

    __slots__ = ("_ends", "_future", "_messages", "_timer", "subject")

    def __init__(self, ends: Callable[[Msg], bool] | None = None) -> None:
        self._ends = ends
        self._messages: list[Msg] = []
        self.subject = ""

    def begin(self, seconds: float, subject: str) -> None:
        """Begin to wait for so long; what came before is forgotten."""
        loop = asyncio.get_running_loop()
        self.subject = subject
        self._messages = []
        self._future: asyncio.Future[list[Msg]] = loop.create_future()
        self._timer = loop.call_later(seconds, self.fail, TimeoutError("no answer"))

    def add(self, message: Msg) -> None:
        """Take what came."""
        if message.headers is not None and message.headers.get("Status") == "503":
            self.fail(nats.errors.NoRespondersError())
            return
        self._messages.append(message)
        if not self._future.done() and (self._ends is None or self._ends(message)):
            self._future.set_result(self._messages)

    def fail(self, error: Exception) -> None:
        """Wait no more."""
        if not self._future.done():
            self._future.set_exception(error)

    async def comes_within(self, seconds: float) -> bool:
        """Tell whether the waiting is over in so many seconds."""
        await asyncio.wait([self._future], timeout=seconds)
        return self._future.done()

    async def wait(self) -> list[Msg]:
        """Return what came."""
        return await self._future

    def end(self) -> None:
        """Forget what is still waited for."""
        self._timer.cancel()
        if not self._future.cancel() and not self._future.cancelled():
            self._future.exception()  # it is known, though nobody waited for it
