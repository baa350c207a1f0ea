"""Dialling: WebSockets to those who listen elsewhere, whose TCP connections can be ended at once."""

import ssl

import aiohttp

from replication.transports.framing import FRAME_BYTES_MAX


class DialledSocket(aiohttp.ClientWebSocketResponse):
    """A WebSocket whose TCP connection can be ended at once."""

    def abort(self) -> None:
        """End it."""
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        self._response.close()


class Dialling:
    """Makes connections.

    Args:
        path: where WebSockets are served.
        tls: peers are expected to speak TLS so; None: they do not.
        closing_seconds: how long a peer may take to say that it closes, too.
    """

    def __init__(self, path: str, tls: ssl.SSLContext | None, closing_seconds: float) -> None:
        self._path = path
        self._tls = tls
        self._closing_seconds = closing_seconds
        self._session: aiohttp.ClientSession | None = None

    async def dialled(self, address: str) -> DialledSocket:
        """Return a WebSocket to who listens at an address.

        Raises:
            aiohttp.ClientError, OSError: there is none.
        """
        scheme = "ws" if self._tls is None else "wss"
        dialled = await self._dialler().ws_connect(
            f"{scheme}://{address}{self._path}",
            ssl=True if self._tls is None else self._tls,
            max_msg_size=FRAME_BYTES_MAX + 1,
            timeout=aiohttp.ClientWSTimeout(ws_close=self._closing_seconds),
        )
        assert isinstance(dialled, DialledSocket)
        return dialled

    async def aclose(self) -> None:
        """Make no more connections."""
        if self._session is not None:
            await self._session.close()

    def _dialler(self) -> aiohttp.ClientSession:
        if self._session is None:
            stays = aiohttp.TraceConfig()
            stays.on_request_redirect.append(_refuse_to_follow)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                ws_response_class=DialledSocket,
                trace_configs=[stays],
            )
        return self._session


async def _refuse_to_follow(session: object, context: object, redirected: aiohttp.TraceRequestRedirectParams) -> None:
    """Connect to nobody but who was dialled: elsewhere may be another machine, or one that speaks no TLS."""
    raise aiohttp.ClientError(f"it sends on to {redirected.response.headers.get('Location', '')!r:.100}")
