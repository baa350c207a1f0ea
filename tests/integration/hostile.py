"""What the tests of hostile peers share: a node that holds something, a friend of it, and one who means no good."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from calliope.stores.versioned import Item, LogEntry, Versioned, log_entry
from crdts import ORSet, VersionVector
from replication import Node, wire
from replication.core.messages import Digest, Message, Row
from replication.errors import ConnectionLostError, MalformedMessageError, PeerRefusedError
from replication.handshake import Handshake, identity
from replication.transports.websocket import PATH
from replication.transports.websocket_connection import WebSocketConnection
from tests.integration.websocket_ends import transport

SECRET = "Schlüssel"
CLUSTER = "shop"
DATA = "a very private shopping list"
"""What the node holds, and who is refused must not get a byte of."""

MALLORY = "mallory~00"
NOTHING = VersionVector()


@asynccontextmanager
async def node_with_data() -> AsyncIterator[Node]:
    node = Node.open("memory://", replica_id="berlin", listen="127.0.0.1:0", cluster=CLUSTER, secret=SECRET)
    async with node:
        await node.replicator.update("cart", ORSet, lambda cart: cart.add(DATA))
        yield node


@asynccontextmanager
async def friend_of(node: Node) -> AsyncIterator[Node]:
    peers = [node.address]
    async with Node.open("memory://", replica_id="paris", peers=peers, cluster=CLUSTER, secret=SECRET) as friend:
        yield friend


async def told_in_greeting(address: str, stranger: Handshake, *, version: int | None = None) -> list[bytes]:
    """Greet as a stranger; return all that is said to it until the connection is closed."""
    said: list[bytes] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{address}{PATH}") as made:
        greeting = stranger.begin()
        assert greeting is not None
        if version is not None:
            greeting = msgspec.msgpack.encode([*msgspec.msgpack.decode(greeting)[:1], version, "whatever follows"])
        await made.send_bytes(greeting)
        async for arrived in made:
            assert arrived.type is aiohttp.WSMsgType.BINARY
            said.append(arrived.data)
            try:
                answer = stranger.receive(arrived.data)
            except (PeerRefusedError, MalformedMessageError):
                continue
            if answer is not None:
                await made.send_bytes(answer)
    return said


def stranger(replica_id: str, cluster: str, secret: str | None) -> Handshake:
    return Handshake(identity(replica_id, cluster, secret), "dialler")


class Mallory:
    """One who knows the secret, and says what he likes."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection

    async def say(self, *messages: Message) -> None:
        for message in messages:
            await self.connection.send(wire.encode(message))

    async def hears(self, kind: type[Message]) -> Message:
        """Return the next message of a kind."""
        while True:
            message = wire.decode(await self.connection.receive())
            if isinstance(message, kind):
                return message

    async def is_dropped(self) -> str:
        """Return the reason that he is told when the connection is closed."""
        try:
            while True:
                await self.connection.receive()
        except ConnectionLostError as error:
            return str(error)


@asynccontextmanager
async def mallory_at(node: Node) -> AsyncIterator[Mallory]:
    """Mallory, connected with a node; he has not said yet what he holds."""
    dialler = transport("mallory", cluster=CLUSTER, secret=SECRET)
    try:
        yield Mallory(await dialler.connect(node.address))
    finally:
        await dialler.aclose()


def digest(vector: VersionVector = NOTHING, *, speaker: str = "mallory", floor: VersionVector = NOTHING) -> Digest:
    return Digest(Row(speaker, 1, MALLORY, vector, ""), floor)


def forged(log_id: str, number: int) -> LogEntry:
    """An entry of anybody's log, with a checksum that fits."""
    change = Versioned("cart", log_id, number, {}, 0, None, (), {}, (Item("orset", 1, b"forged"),))
    return log_entry(log_id, number, "operations", [change])
