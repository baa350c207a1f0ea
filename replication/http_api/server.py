"""The HTTP server of a node."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from aiohttp import web

from calliope.owning import owned
from replication.addresses import is_loopback, joined, parsed
from replication.complaints import Complaints
from replication.http_api import cluster_routes, key_routes, stream_routes
from replication.http_api.access import ON_ASKED, TOKEN, answering, counting, greeting, sending
from replication.http_api.bodies import BODY_BYTES_MAX
from replication.http_api.feeds import FEEDS, Feeds
from replication.http_api.node_key import NODE
from replication.http_api.traffic import TRAFFIC, Traffic
from replication.node import Node
from replication.transports.listening import listening
from replication.transports.server_log import ServerLog
from replication.transports.strangers import Strangers

TOKEN_BYTES_MIN = 16
"""A shorter token could be guessed."""

ASKING_SECONDS = 10.0
"""How long a connection may take to ask something."""

IDLE_SECONDS = 30.0
"""How long a connection may wait before it asks again."""

CONNECTIONS_MAX = 1024
"""Connections at one moment."""

ENDING_SECONDS = 2.0
"""How long requests that are under way may take when the server ends."""

_log = logging.getLogger("replication.http_api")


def application(
    node: Node, token: bytes = b"", on_asked: Callable[[asyncio.BaseTransport], None] = lambda transport: None
) -> web.Application:
    """Return the HTTP API of a node; the node is open as long as it is used.

    Args:
        node: what it serves.
        token: what who asks must know; empty: nothing.
        on_asked: told of each connection that asks something.
    """
    app = web.Application(middlewares=[greeting, sending, counting, answering], client_max_size=BODY_BYTES_MAX)
    app[NODE], app[TOKEN], app[TRAFFIC], app[FEEDS] = node, token, Traffic(), Feeds()
    app[ON_ASKED] = on_asked
    for routes in (cluster_routes.routes, key_routes.routes, stream_routes.routes):
        app.add_routes(routes)
    app.on_shutdown.append(app[FEEDS].end)
    return app


def checked_place(address: str, token: bytes) -> tuple[str, int]:
    """Return the host and port at which the API may be served.

    Raises:
        ValueError, TypeError: it is no address, others could reach it without a token, or the token is short.
    """
    host, port = parsed(address, port_minimum=0)
    if token and len(token) < TOKEN_BYTES_MIN:
        raise ValueError(f"the token must have at least {TOKEN_BYTES_MIN} bytes, not {len(token)}")
    if not token and not is_loopback(host):
        raise ValueError(
            f"the HTTP API is served on a loopback address such as 127.0.0.1, not on {host!r}: "
            "without a token anybody could write"
        )
    return host, port


@asynccontextmanager
async def serving(node: Node, address: str, token: bytes = b"") -> AsyncIterator[str]:
    """Serve the HTTP API of a node for the time of a block; give its URL.

    Args:
        node: an open node.
        address: "host:port"; port 0 takes a free one.
        token: as for `application`; it takes one to serve others than this machine.

    Raises:
        ValueError, TypeError: as `checked_place`.
        ListenError: the address cannot be listened on.
    """
    host, port = checked_place(address, token)
    listener = await listening(host, port)
    complaints = Complaints(_log, asyncio.get_running_loop().time)
    strangers: Strangers
    runner = web.AppRunner(
        application(node, token, lambda transport: strangers.make_known(transport)),
        access_log=None,
        logger=ServerLog(_log, complaints),
        handle_signals=False,
        handler_cancellation=True,
        keepalive_timeout=IDLE_SECONDS,
        shutdown_timeout=ENDING_SECONDS,
    )
    try:
        await runner.setup()
        strangers = _strangers(runner, complaints)
        try:
            async with owned(lambda: strangers.take_from(listener)):
                yield f"http://{joined(host, listener.getsockname()[1])}"
        finally:
            with anyio.CancelScope(shield=True):
                await strangers.aclose()
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()
        listener.close()


def _strangers(runner: web.AppRunner, complaints: Complaints) -> Strangers:
    server = runner.server
    assert server is not None
    return Strangers(
        server, None, ASKING_SECONDS, complaints, is_full=lambda: len(server.connections) >= CONNECTIONS_MAX
    )
