"""A socket that listens, or a `ListenError` that says why not."""

import asyncio
import socket

from replication.addresses import joined
from replication.errors import ListenError

BACKLOG = 128
"""Connections that the operating system keeps until they are taken."""


async def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a host and port, IPv4 first; port 0: the system picks a free one.

    Raises:
        ListenError: the address cannot be listened on.
    """
    address = joined(host, port)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, place = sorted(found, key=lambda one: one[0] != socket.AF_INET)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ListenError(address, str(error)) from None
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(address, str(error)) from None
    return listener
