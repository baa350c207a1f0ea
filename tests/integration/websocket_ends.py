"""What the tests of the WebSocket transport share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from replication.errors import ConnectionLostError
from replication.transports.protocol import Connection
from replication.transports.websocket import WebSocketTransport
from replication.transports.websocket_connection import Patience

SHORT = Patience(greeting=0.5, alive=0.1, silence=0.4, sending=0.5, message=1.0, closing=0.3)


class Listening:
    """A transport that keeps what arrives."""

    def __init__(self, transport: WebSocketTransport, *, reads: bool = True) -> None:
        self.transport = transport
        self.reads = reads
        self.connections: list[Connection] = []
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended: list[str] = []
        self.has_ended = asyncio.Event()

    async def accept(self, connection: Connection) -> None:
        self.connections.append(connection)
        try:
            while True:
                if not self.reads:
                    await asyncio.sleep(3600)
                self.arrived.put_nowait(await connection.receive())
        except ConnectionLostError as error:
            self.ended.append(str(error))
            self.has_ended.set()


def transport(replica_id: str, **arguments: Any) -> WebSocketTransport:
    return WebSocketTransport(replica_id, **{"cluster": "shop", "patience": SHORT, **arguments})


@asynccontextmanager
async def listening(*, reads: bool = True, **arguments: Any) -> AsyncIterator[Listening]:
    listener = Listening(transport("berlin", **{"listen": "127.0.0.1:0", **arguments}), reads=reads)
    await listener.transport.start(listener.accept)
    try:
        yield listener
    finally:
        await listener.transport.aclose()


@asynccontextmanager
async def dialling(replica_id: str = "paris", **arguments: Any) -> AsyncIterator[WebSocketTransport]:
    dialler = transport(replica_id, **arguments)
    try:
        yield dialler
    finally:
        await dialler.aclose()
