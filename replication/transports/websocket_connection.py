"""One WebSocket connection between two replicas that know each other.

A task of the connection's own, its *keeper*, writes what waits to be sent, so that a sender that is cancelled has
handed over its message whole or not at all, and messages that wait at one moment share a frame. While nothing waits it
says every few seconds that it is alive, and it notices when the other side has not said so for long.

Reading happens in the task that calls `receive`, and only then: a reader that is slow lets the sender wait, by TCP.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from replication.complaints import Complaints
from replication.errors import ConnectionLostError, MalformedMessageError
from replication.seal import Seal
from replication.transports.framing import FRAME_BYTES_MAX, Reassembly, framed
from replication.transports.room import Room
from replication.wire import MESSAGE_BYTES_MAX

Socket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse

OUTBOX_BYTES_MAX = 1024 * 1024
"""How much waits to be sent before senders wait; one message more than that may wait."""

REASON_BYTES_MAX = 120
"""UTF-8 bytes of the reason in a WebSocket's closing frame (RFC 6455, section 5.5, allows 123)."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one waits for a peer, in seconds.

    Attributes:
        greeting: from the first byte until it is known who it is.
        alive: between two signs of life that one gives.
        silence: without a sign of life from the peer.
        sending: until the peer has read a frame.
        message: until a message that arrives in part is whole.
        closing: for the peer to say that it closes, too.
    """

    greeting: float = 5.0
    alive: float = 5.0
    silence: float = 15.0
    sending: float = 20.0
    message: float = 120.0
    closing: float = 0.5


class WebSocketConnection:
    """A connection to one peer; see `replication.transports.protocol.Connection`.

    Args:
        replica_id: the peer.
        peer_address: where it listens, or empty.
        socket: the WebSocket, past the handshake.
        abort: ends the TCP connection at once.
        seals: for the frames that are sent, and for those received.
        room: for messages that arrive in part, shared by all connections.
        patience: how long one waits.
        complaints: told when the peer breaks the protocol.
        forget: told when it is closed.
    """

    def __init__(
        self,
        replica_id: str,
        peer_address: str,
        socket: Socket,
        abort: Callable[[], None],
        seals: tuple[Seal, Seal],
        room: Room,
        patience: Patience,
        complaints: Complaints,
        forget: "Callable[[WebSocketConnection], None]",
    ) -> None:
        self.replica_id = replica_id
        self.peer_address = peer_address
        self._socket = socket
        self._abort = abort
        self._sealing, self._opening = seals
        self._room = room
        self._reserved = 0
        self._patience = patience
        self._complaints = complaints
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._something_waits = asyncio.Event()
        self._has_room = asyncio.Event()
        self._reassembly = Reassembly()
        self._reading_since: float | None = None
        self._message_since: float | None = None
        self._lost = ""
        self._closed = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep(), name=f"connection to {replica_id}")

    async def send(self, message: bytes) -> None:
        """Hand a message over; see the protocol. A cancelled caller's message is not sent."""
        if len(message) > MESSAGE_BYTES_MAX:
            raise ValueError(f"a message must have at most {MESSAGE_BYTES_MAX} bytes, not {len(message)}")
        while not self._lost and self._outbox_bytes >= OUTBOX_BYTES_MAX:
            self._has_room.clear()
            await self._has_room.wait()
        if self._lost:
            raise ConnectionLostError(self._lost)
        self._outbox.append(message)
        self._outbox_bytes += len(message)
        self._something_waits.set()

    async def receive(self) -> bytes:
        """Return the next whole message; see the protocol. A cancelled caller has lost none."""
        ready = self._reassembly.ready
        while not ready:
            payload = await self._next_payload()
            try:
                self._reassembly.feed(payload)
            except MalformedMessageError as error:
                raise await self._broken(error) from None
            await self._make_room()
        if self._lost:
            raise ConnectionLostError(self._lost)
        return ready.popleft()

    async def aclose(self, reason: str = "") -> None:
        """Close, telling the peer the reason; bounded in time. What waits to be sent is dropped."""
        if self._lost:
            await self._closed.wait()
            return
        self._lose(f"closed here{': ' if reason else ''}{reason}")
        try:
            with suppress(Exception):  # whatever the socket says now, it is closed below
                async with asyncio.timeout(self._patience.closing):
                    await self._socket.close(message=_shortened(reason))
        finally:
            self._end()

    async def _next_payload(self) -> bytes | memoryview:
        if self._lost:
            raise ConnectionLostError(self._lost)
        self._reading_since = self._loop.time()
        try:
            arrived = await self._socket.receive()
        finally:
            self._reading_since = None
        if arrived.type is not aiohttp.WSMsgType.BINARY:
            raise await self._over(arrived)
        try:
            return self._opening.open(arrived.data)
        except MalformedMessageError as error:
            raise await self._broken(error) from None

    async def _make_room(self) -> None:
        """Reserve memory for a message that is not whole yet and larger than a frame, before more of it is read."""
        begun = self._reassembly.begun_bytes
        begun = begun if begun > FRAME_BYTES_MAX else 0
        if begun == self._reserved:
            return
        self._room.give_back(self._reserved)
        self._reserved = 0
        self._message_since = self._loop.time() if begun else None
        if await self._room.take(begun, lambda: bool(self._lost)):
            self._reserved = begun

    async def _broken(self, error: MalformedMessageError) -> ConnectionLostError:
        self._complaints.add(self.replica_id, f"broke the protocol: {error.reason}")
        reason = f"the peer broke the protocol: {error.reason}"
        await self.aclose(reason)
        return ConnectionLostError(reason)

    async def _over(self, arrived: aiohttp.WSMessage) -> ConnectionLostError:
        if not self._lost:
            said = arrived.extra if arrived.type is aiohttp.WSMsgType.CLOSE else ""
            if arrived.type is aiohttp.WSMsgType.ERROR:
                said = str(arrived.data)
            elif arrived.type is aiohttp.WSMsgType.TEXT:
                said = "text, which is no part of the protocol"
            if arrived.type is aiohttp.WSMsgType.TEXT or isinstance(arrived.data, aiohttp.WebSocketError):
                self._complaints.add(self.replica_id, f"broke the protocol: {said}")
            self._lose(f"the connection to {self.replica_id} is over{f': {said}' if said else ''}")
            self._end()
        return ConnectionLostError(self._lost)

    async def _keep(self) -> None:
        payload_bytes_max = FRAME_BYTES_MAX - self._sealing.overhead_bytes
        try:
            while True:
                waiting = await self._taken()
                self._check_silence()
                for payload in framed(waiting, payload_bytes_max) if waiting else [b""]:
                    async with asyncio.timeout(self._patience.sending):
                        await self._socket.send_bytes(self._sealing.close(payload))
        except TimeoutError:
            self._lose(f"{self.replica_id} has not read for {self._patience.sending} s")
        except ConnectionLostError as error:
            self._lose(str(error))
        except (OSError, aiohttp.ClientError, RuntimeError) as error:
            self._lose(f"the connection to {self.replica_id} is over: {error}")
        self._end()

    async def _taken(self) -> list[bytes]:
        """Return what waits to be sent; nothing if nothing did for so long that a sign of life is due."""
        if not self._something_waits.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience.alive):
                    await self._something_waits.wait()
        waiting = list(self._outbox)
        self._outbox.clear()
        self._outbox_bytes = 0
        self._something_waits.clear()
        self._has_room.set()
        return waiting

    def _check_silence(self) -> None:
        now = self._loop.time()
        if self._reading_since is not None and now - self._reading_since > self._patience.silence:
            raise ConnectionLostError(f"{self.replica_id} was silent for {self._patience.silence} s")
        if self._message_since is not None and now - self._message_since > self._patience.message:
            raise ConnectionLostError(f"{self.replica_id} took over {self._patience.message} s for one message")

    def _lose(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._has_room.set()
        if self._keeper is not asyncio.current_task():
            self._keeper.cancel()

    def _end(self) -> None:
        self._abort()
        self._room.give_back(self._reserved)
        self._reserved = 0
        self._outbox.clear()
        self._closed.set()
        self._forget(self)


def _shortened(reason: str) -> bytes:
    return reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore").encode()
