"""Connections of which it is not known yet who made them: few, and not for long.

When there are more than `STRANGERS_MAX`, the one that has been there longest is dropped, so that a flood of idle
connections does not keep out a peer that greets at once.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable

from aiohttp import web

from replication.complaints import Complaints

STRANGERS_MAX = 64
"""Connections of which it is not known yet who made them."""


class Strangers:
    """Takes connections, hands them to an HTTP server, and ends those that do not make themselves known in time.

    Args:
        server: speaks with them.
        tls: for the connections; None: they are plain.
        greeting_seconds: how long one may take to make itself known.
        complaints: told of those that do not.
        is_full: says whether no more are taken.
    """

    def __init__(
        self,
        server: web.Server,
        tls: ssl.SSLContext | None,
        greeting_seconds: float,
        complaints: Complaints,
        is_full: Callable[[], bool] = lambda: False,
    ) -> None:
        self._server = server
        self._tls = tls
        self._greeting_seconds = greeting_seconds
        self._complaints = complaints
        self._is_full = is_full
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._known: dict[object, asyncio.Event] = {}  # by both ends of the connection

    def __len__(self) -> int:
        return len(self._tasks)

    def make_known(self, transport: asyncio.BaseTransport) -> None:
        """Note that a connection is no stranger any more: it is known who made it, or it was sent away.

        To say so again does nothing.
        """
        known = self._known.get((transport.get_extra_info("sockname"), transport.get_extra_info("peername")))
        if known is not None:
            known.set()

    async def take_from(self, listener: socket.socket) -> None:
        """Take connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(listener)
            except OSError as error:  # too many open files, say: others may close some
                self._complaints.add("unknown", f"a connection could not be taken: {error}")
                await asyncio.sleep(0.1)
                continue
            if self._is_full():
                self._complaints.add("unknown", "a connection was not taken: there are too many")
                accepted.close()
                continue
            if len(self._tasks) >= STRANGERS_MAX:
                oldest = next(iter(self._tasks))
                del self._tasks[oldest]
                oldest.cancel()
                self._complaints.add("unknown", f"more than {STRANGERS_MAX} connections have not greeted")
            stranger = asyncio.create_task(self._welcome(accepted, peer), name="stranger")
            self._tasks[stranger] = None
            stranger.add_done_callback(lambda task: self._tasks.pop(task, None))
            await asyncio.sleep(0)  # it begins before it may be cancelled: who never began would leave its socket open

    async def aclose(self) -> None:
        """Drop all that are not known."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _welcome(self, accepted: socket.socket, peer: object) -> None:
        """Hand a TCP connection to the HTTP server, and end it if it is not known in time who made it."""
        transport: asyncio.BaseTransport | None = None
        ends: object = None
        host = str(peer[0]) if isinstance(peer, tuple) else "unknown"
        try:
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ends = accepted.getsockname(), peer
            known = self._known[ends] = asyncio.Event()
            async with asyncio.timeout(self._greeting_seconds):
                transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                    self._server,
                    accepted,
                    ssl=self._tls,
                    ssl_handshake_timeout=None if self._tls is None else self._greeting_seconds,
                )
                await known.wait()
        except TimeoutError:
            self._complaints.add(host, f"did not greet within {self._greeting_seconds} s")
            _drop(transport, accepted)
        except OSError as error:
            self._complaints.add(host, f"did not greet: {error}")
            _drop(transport, accepted)
        except asyncio.CancelledError:
            _drop(transport, accepted)
            raise
        finally:
            self._known.pop(ends, None)


def _drop(transport: asyncio.BaseTransport | None, accepted: socket.socket) -> None:
    if isinstance(transport, asyncio.Transport):
        transport.abort()
    else:
        accepted.close()
