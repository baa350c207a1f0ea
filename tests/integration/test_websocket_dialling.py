"""Who is dialled may be anything: nothing that it answers gets further than a lost connection."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from replication.errors import ConnectionLostError
from replication.transports.websocket import PATH
from tests.integration.websocket_ends import dialling, listening

within = asyncio.timeout

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def upgraded(request: bytes) -> bytes:
    """Return how a WebSocket is opened (RFC 6455, section 4.2.2)."""
    [key] = re.findall(rb"sec-websocket-key: (\S+)", request, re.IGNORECASE)
    accepted = base64.b64encode(
        hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    )
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
    )


LISTENERS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no HTTP": (lambda request: b"\x00\xff" * 100, "cannot be connected to"),
    "another service": (
        lambda request: b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "cannot be connected to",
    ),
    "no WebSocket": (lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "cannot be connected to"),
    "text": (lambda request: upgraded(request) + b"\x81\x02hi", "ended within the handshake"),
    "a frame that is none": (lambda request: upgraded(request) + b"\xf3\x00", "ended within the handshake"),
    "a frame without end": (
        lambda request: upgraded(request) + b"\x82\x7f" + b"\x7f" * 8,
        "ended within the handshake",
    ),
    "nests without end": (
        lambda request: upgraded(request) + b"\x82\x7e\x07\x0b\x93\xa8calliope\x01" + b"\x91" * 1792,
        "does not speak as a replica",
    ),
}


@pytest.mark.parametrize("name", LISTENERS)
async def test_who_answers_and_is_no_replica_is_a_lost_connection(name: str) -> None:
    answer, reason = LISTENERS[name]
    async with answering(answer) as address, dialling() as paris, within(5):
        with pytest.raises(ConnectionLostError, match=reason):
            await paris.connect(address)


async def test_nobody_is_connected_to_but_who_was_dialled() -> None:
    async with listening() as berlin:
        sends_on = (
            f"HTTP/1.1 302 Found\r\nLocation: http://{berlin.transport.address}{PATH}\r\nContent-Length: 0\r\n\r\n"
        )
        async with answering(lambda request: sends_on.encode()) as address, dialling() as paris, within(5):
            with pytest.raises(ConnectionLostError, match="it sends on to"):
                await paris.connect(address)
        assert berlin.connections == []


@asynccontextmanager
async def answering(answer: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """Give the address of one who answers the request of each connection so, and then waits."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await reader.readuntil(b"\r\n\r\n")))
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
