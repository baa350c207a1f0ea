"""The transport over WebSockets: one TCP connection a peer pair, greeted and sealed by `replication.handshake`.

Whoever has not proven who he is gets a bounded time, few bytes, and a place among a bounded number of strangers. A
browser is refused by its Origin header: a web page must not reach a node on the loopback interface.

asyncio only, as aiohttp is.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import aiohttp
from aiohttp import web

from replication.addresses import is_loopback, is_unspecified, joined, parsed
from replication.complaints import Complaints
from replication.errors import ConnectionLostError, MalformedMessageError, PeerRefusedError
from replication.handshake import Handshake, Role, identity
from replication.transports.dialling import Dialling
from replication.transports.framing import FRAME_BYTES_MAX
from replication.transports.listening import listening
from replication.transports.protocol import Accept
from replication.transports.room import Room
from replication.transports.server_log import ServerLog
from replication.transports.strangers import Strangers
from replication.transports.websocket_connection import Patience, Socket, WebSocketConnection
from replication.wire import MESSAGE_BYTES_MAX

CONNECTIONS_MAX = 1024
"""Connections to known peers that others made."""

PARTS_BYTES_MAX = 2 * MESSAGE_BYTES_MAX
"""Memory for messages that have arrived in part, of all connections together."""

PATH = "/calliope"

_log = logging.getLogger("replication.transport")


class WebSocketTransport:
    """Connections over WebSockets; see `replication.transports.protocol.Transport`.

    Args:
        replica_id: this replica.
        cluster: the cluster's name; peers of others are refused.
        listen: "host:port" (port 0: a free one), or None to listen nowhere.
        secret: what all replicas of the cluster know; without one, and without TLS that asks both sides for
            certificates, only the loopback interface is listened on and connected to.
        tls_server: for connections that others make.
        tls_client: for connections that are made here; peers are then expected to speak TLS.
        patience: how long peers are waited for.

    Attributes:
        address: see the protocol.
        complaints: what was wrong with peers.

    Raises:
        ValueError, TypeError: an argument that does not hold, or an address that others could reach without proof.
    """

    def __init__(
        self,
        replica_id: str,
        *,
        cluster: str,
        listen: str | None = None,
        secret: str | bytes | None = None,
        tls_server: ssl.SSLContext | None = None,
        tls_client: ssl.SSLContext | None = None,
        patience: Patience = Patience(),  # noqa: B008 - immutable
    ) -> None:
        self.address = ""
        self._identity = identity(replica_id, cluster, secret)
        self._listen = None if listen is None else parsed(listen, port_minimum=0)
        self._tls_server = tls_server
        self._tls_client = tls_client
        self._patience = patience
        _check_context("tls_server", tls_server, ssl.PROTOCOL_TLS_CLIENT, "ssl.Purpose.CLIENT_AUTH")
        _check_context("tls_client", tls_client, ssl.PROTOCOL_TLS_SERVER, "ssl.Purpose.SERVER_AUTH")
        self._check_listening()
        self._accept: Accept | None = None
        self._listener: socket.socket | None = None
        self._server: web.Server | None = None
        self._dialling = Dialling(PATH, tls_client, patience.closing)
        self._taking: asyncio.Task[None] | None = None
        self._strangers: Strangers | None = None
        self._connections: set[WebSocketConnection] = set()
        self._room = Room(PARTS_BYTES_MAX)
        self._closed = False
        self.complaints = Complaints(_log, lambda: asyncio.get_running_loop().time())

    @property
    def refusals(self) -> int:
        """How many peers were refused; see the protocol."""
        return self.complaints.count

    async def start(self, accept: Accept) -> None:
        """Begin to listen, if there is an address to listen on; see the protocol."""
        if self._listen is None or self._taking is not None:
            return
        self._accept = accept
        host, port = self._listen
        self._listener = await listening(host, port)
        self.address = joined(host, self._listener.getsockname()[1])
        self._server = web.Server(self._serve, access_log=None, logger=ServerLog(_log, self.complaints))
        self._strangers = Strangers(self._server, self._tls_server, self._patience.greeting, self.complaints)
        self._taking = asyncio.create_task(
            self._strangers.take_from(self._listener), name=f"listening on {self.address}"
        )

    async def connect(self, address: str) -> WebSocketConnection:
        """Return a connection to who listens at an address; see the protocol.

        Raises:
            ValueError: the address is none.
        """
        host, _ = parsed(address)
        if self._identity.secret is None and not _asks_both(self._tls_client) and not is_loopback(host):
            raise PeerRefusedError(address, "without a secret or TLS only loopback addresses are connected to")
        if self._closed:
            raise ConnectionLostError("the transport is closed")
        try:
            async with asyncio.timeout(self._patience.greeting):
                return await self._dialled(address)
        except (PeerRefusedError, aiohttp.ClientSSLError) as error:
            refused = _refused(address, error)
            self._complain(address, refused)
            raise refused from None
        except MalformedMessageError as error:
            self._complain(address, error)
            raise ConnectionLostError(f"{address} does not speak as a replica: {error.reason}") from None
        except TimeoutError:
            raise ConnectionLostError(f"nobody answered at {address} within {self._patience.greeting} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLostError(f"{address} cannot be connected to: {error}") from None

    async def aclose(self) -> None:
        """End listening and close all connections; bounded in time."""
        self._closed = True
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)
        if self._strangers is not None:
            await self._strangers.aclose()
        if self._listener is not None:
            self._listener.close()
        await asyncio.gather(*(connection.aclose("the replica stops") for connection in list(self._connections)))
        if self._server is not None:
            await self._server.shutdown(self._patience.closing)
        await self._dialling.aclose()

    async def _dialled(self, address: str) -> WebSocketConnection:
        dialled = await self._dialling.dialled(address)
        try:
            return await self._greeted(dialled, "dialler", dialled.abort, "")
        except BaseException:
            dialled.abort()
            raise

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if "Origin" in request.headers or request.path != PATH or transport is None or self._strangers is None:
            return web.Response(status=403)
        accepted: web.WebSocketResponse = web.WebSocketResponse(
            timeout=self._patience.closing, compress=False, max_msg_size=FRAME_BYTES_MAX + 1
        )
        await accepted.prepare(request)
        remote = request.remote or ""
        try:
            connection = await self._greeted(accepted, "listener", transport.abort, remote)
        except (PeerRefusedError, MalformedMessageError) as error:
            self._complain(remote, error)
            await accepted.close(message=b"refused")
            return accepted
        except (ConnectionLostError, OSError):
            return accepted
        finally:
            self._strangers.make_known(transport)
        await self._served(connection)
        return accepted

    async def _served(self, connection: WebSocketConnection) -> None:
        assert self._accept is not None
        try:
            if len(self._connections) > CONNECTIONS_MAX:
                await connection.aclose("too many connections")
            else:
                await self._accept(connection)
        finally:
            await connection.aclose()

    async def _greeted(
        self, made: Socket, role: Role, abort: Callable[[], None], remote_host: str
    ) -> WebSocketConnection:
        handshake = Handshake(self._identity, role, self.address)
        answer = handshake.begin()
        while handshake.peer is None or answer is not None:
            if answer is not None:
                await made.send_bytes(answer)
                answer = None
                continue
            arrived = await made.receive()
            if arrived.type is not aiohttp.WSMsgType.BINARY:
                raise ConnectionLostError("the connection ended within the handshake")
            try:
                answer = handshake.receive(arrived.data)
            except PeerRefusedError as error:
                await made.send_bytes(handshake.refusal(error))
                raise
        return self._connected(handshake, made, abort, remote_host)

    def _connected(
        self, handshake: Handshake, made: Socket, abort: Callable[[], None], remote_host: str
    ) -> WebSocketConnection:
        assert handshake.peer is not None
        connection = WebSocketConnection(
            handshake.peer.replica_id,
            _reachable(handshake.peer.address, remote_host),
            made,
            abort,
            handshake.seals(),
            self._room,
            self._patience,
            self.complaints,
            self._connections.discard,
        )
        self._connections.add(connection)
        return connection

    def _complain(self, who: str, error: PeerRefusedError | MalformedMessageError) -> None:
        if not (isinstance(error, PeerRefusedError) and error.is_ourselves):
            self.complaints.add(who, error.reason)

    def _check_listening(self) -> None:
        if self._listen is None or self._identity.secret is not None or is_loopback(self._listen[0]):
            return
        if not _asks_both(self._tls_server):
            raise ValueError(
                f"listen must be a loopback address such as 127.0.0.1, not {self._listen[0]!r}: without a secret, or a "
                "tls_server that requires certificates of clients (verify_mode CERT_REQUIRED), anybody could write"
            )


def _reachable(address: str, remote_host: str) -> str:
    """Return where a peer that listens on all interfaces is reached: on the one it came from."""
    with suppress(ValueError):
        host, port = parsed(address)
        return joined(remote_host, port) if is_unspecified(host) and remote_host else address
    return ""


def _refused(address: str, error: PeerRefusedError | aiohttp.ClientSSLError) -> PeerRefusedError:
    if isinstance(error, PeerRefusedError):
        return PeerRefusedError(address, error.reason, is_ourselves=error.is_ourselves)
    return PeerRefusedError(address, f"TLS: {error}")


def _check_context(name: str, context: ssl.SSLContext | None, wrong: int, purpose: str) -> None:
    """Refuse what is no TLS context, or one for the other side: no handshake would ever come to its end."""
    if not isinstance(context, ssl.SSLContext | None):
        raise TypeError(f"{name} must be an ssl.SSLContext or None, not {context!r:.100}")
    if context is not None and context.protocol == wrong:
        raise ValueError(f"{name} must be a context for {purpose}, and this one is for the other side of a connection")


def _asks_both(context: ssl.SSLContext | None) -> bool:
    return context is not None and context.verify_mode is ssl.CERT_REQUIRED
