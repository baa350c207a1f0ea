"""Nodes in memory whose HTTP API is asked, for tests."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from calliope import EventStore, Journal, StreamSummary
from calliope.stores.memory import MemoryStore
from calliope.stores.protocol import Page
from calliope.stores.record import Selection
from replication.http_api.server import application
from replication.node import Node
from replication.transports.memory import MemoryNetwork


class Api:
    """The HTTP API of a node, as a client sees it.

    Attributes:
        node: the node.
        client: asks it.
    """

    def __init__(self, node: Node, client: TestClient[Any, Any]) -> None:
        self.node = node
        self.client = client

    def fail(self, error: Exception) -> None:
        """Let streams fail to be listed, and events to be read, from now on."""
        store = self.node.journal.store
        assert isinstance(store, FailingStore)
        store.error = error

    async def get(self, path: str | URL, status: int = 200, **parameters: str) -> Any:
        return await _content(await self.client.get(path, params=parameters or None), status)

    async def post(self, path: str, status: int = 200, **body: Any) -> Any:
        return await _content(await self.client.post(path, json=body), status)

    async def delete(self, path: str, status: int = 200, **parameters: str) -> Any:
        return await _content(await self.client.delete(path, params=parameters), status)

    async def do(self, key: str, crdt_type: str, method: str, *arguments: Any, status: int = 200, **more: Any) -> Any:
        """Do an operation to a key."""
        body = {"type": crdt_type, "method": method, "arguments": list(arguments), **more}
        return await self.post(f"/keys/{key}", status, **body)

    async def value(self, key: str) -> Any:
        return (await self.get(f"/keys/{key}"))["value"]


async def _content(response: ClientResponse, status: int) -> Any:
    content = await response.json()
    assert response.status == status, content
    assert status < 400 or content["error"], "what is refused says why, in a sentence"
    return content


class FailingStore(MemoryStore):
    """A store in memory that fails to list streams and to read events, if it is told so.

    Attributes:
        error: raised instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    async def streams(self, *, prefix: str, after: str, limit: int) -> list[StreamSummary]:
        if self.error is not None:
            raise self.error
        return await super().streams(prefix=prefix, after=after, limit=limit)

    async def read_all(self, selection: Selection, *, after: int, limit: int) -> Page:
        if self.error is not None:
            raise self.error
        return await super().read_all(selection, after=after, limit=limit)


async def _opened() -> EventStore:
    return FailingStore()


def node_of(network: MemoryNetwork, replica_id: str, peers: tuple[str, ...] = ()) -> Node:
    transport = network.transport(replica_id, address=replica_id)
    return Node(Journal(_opened), transport, replica_id=replica_id, peers=peers)


@asynccontextmanager
async def api_of(node: Node, token: bytes = b"") -> AsyncIterator[Api]:
    async with TestClient(TestServer(application(node, token))) as client:
        yield Api(node, client)


@asynccontextmanager
async def api(replica_id: str = "berlin", *, peers: tuple[str, ...] = (), token: bytes = b"") -> AsyncIterator[Api]:
    """Open a node and its API; of its peers, nobody answers."""
    async with (
        MemoryNetwork() as network,
        node_of(network, replica_id, peers) as node,
        api_of(node, token) as opened,
    ):
        yield opened


@asynccontextmanager
async def two_apis() -> AsyncIterator[tuple[Api, Api]]:
    """Open two nodes that are connected, and their APIs."""
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(MemoryNetwork())
        berlin = await stack.enter_async_context(node_of(network, "berlin"))
        lisbon = await stack.enter_async_context(node_of(network, "lisbon", ("berlin",)))
        yield await stack.enter_async_context(api_of(berlin)), await stack.enter_async_context(api_of(lisbon))
