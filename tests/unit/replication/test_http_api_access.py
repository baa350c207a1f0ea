"""Who may use a node's HTTP API, and how errors are answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp import ClientError

from calliope import CorruptJournalError, StorageFullError, UntypedEvent
from replication import ListenError
from replication.http_api import access, server
from replication.http_api.server import checked_place, serving
from tests.unit.replication.http_nodes import MemoryNetwork, api, node_of

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 20.0

TOKEN = "ünguessable-" + "k" * 16


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop that aiohttp runs on."""
    return "asyncio"


async def status(api, path="/members", **headers):
    async with api.client.get(path, headers=headers) as response:
        assert (response.status < 400) == ("error" not in await response.json())
        return response.status


async def test_with_a_token_nobody_is_served_without_it():
    async with api(token=TOKEN.encode()) as berlin:
        assert await status(berlin) == 401
        for wrong in ("", TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ü"):
            assert await status(berlin, Authorization=wrong) == 401, wrong
        assert await status(berlin, Authorization=f"Bearer {TOKEN}") == 200
        assert await status(berlin, Authorization=f"bearer {TOKEN}", Host="berlin.example:80") == 200
        assert await status(berlin, "/metrics/", Authorization="") == 401
        async with berlin.client.get("/keys") as response:
            assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_whether_a_node_is_healthy_needs_no_token():
    async with api(token=TOKEN.encode()) as berlin:
        assert await status(berlin, "/health") == 200


async def test_web_pages_do_not_reach_a_node():
    async with api() as berlin:
        assert await status(berlin, Origin="https://example.org") == 403
        assert await status(berlin, Origin="null") == 403
        for host in ("rebound.example", "rebound.example:80", "127.0.0.1.example", "10.0.0.1", "[::2]:80", "[", "a b"):
            assert await status(berlin, Host=host) == 403, host
        for host in ("127.0.0.1", "127.0.0.1:80", "localhost:80", "LOCALHOST", "[::1]:80"):
            assert await status(berlin, Host=host) == 200, host
    async with api(token=TOKEN.encode()) as berlin:
        assert await status(berlin, Origin="https://example.org", Authorization=f"Bearer {TOKEN}") == 403


@pytest.mark.parametrize(
    ("address", "token", "reason"),
    [
        ("0.0.0.0:80", b"", "loopback address"),
        ("[::]:80", b"", "loopback address"),
        ("example.org:80", b"", "loopback address"),
        ("127.0.0.1:80", b"short", "at least 16 bytes, not 5"),
        ("127.0.0.1", b"", "host:port"),
    ],
)
def test_a_place_that_others_could_reach_needs_a_token(address, token, reason):
    with pytest.raises(ValueError, match=reason):
        checked_place(address, token)


def test_with_a_token_any_address_is_served_on():
    assert checked_place("0.0.0.0:7400", b"k" * 16) == ("0.0.0.0", 7400)
    assert checked_place("[::1]:0", b"") == ("::1", 0)


async def test_an_address_in_use_is_an_error_of_its_own():
    async with MemoryNetwork() as network, node_of(network, "berlin") as node, serving(node, "127.0.0.1:0") as url:
        with pytest.raises(ListenError, match="cannot listen on 127"):
            async with serving(node, url.removeprefix("http://")):
                pass


@asynccontextmanager
async def served() -> AsyncIterator[tuple[str, int]]:
    async with MemoryNetwork() as network, node_of(network, "berlin") as node, serving(node, "127.0.0.1:0") as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)


async def test_a_connection_that_asks_nothing_is_ended(monkeypatch):
    monkeypatch.setattr(server, "ASKING_SECONDS", 0.02)
    async with served() as (host, port), await anyio.connect_tcp(host, port) as idle:
        await idle.send(b"GET /health HTTP/1.1\r\n")
        with anyio.fail_after(PATIENCE_SECONDS), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await idle.receive()


async def test_a_client_that_does_not_read_its_answer_is_let_go(monkeypatch):
    monkeypatch.setattr(access, "SENDING_SECONDS", 0.05)
    large = UntypedEvent("Said", {"text": "x" * 700_000})
    async with api() as berlin:
        await berlin.node.journal.event_stream("room", UntypedEvent).persist([large] * 16)
        async with berlin.client.get("/events") as response:
            with anyio.fail_after(PATIENCE_SECONDS):
                while berlin.client.server.runner.server.connections:
                    await anyio.lowlevel.checkpoint()
            with pytest.raises((ClientError, ConnectionError)):
                await response.read()
        assert await status(berlin) == 200


NO_REQUESTS = {
    "no method": b"\x16\x03\x01\x02\x00\r\n\r\n",
    "a header that is none": b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
    "a path that is too long": b"GET /keys/" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "a body that is none": b"POST /keys/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a body in no encoding": (
        b"POST /keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    ),
}


async def test_what_is_no_request_is_refused_and_logged_by_few_lines_without_a_traceback(caplog):
    async with served() as (host, port):
        for request in NO_REQUESTS.values():
            for _ in range(5):
                async with await anyio.connect_tcp(host, port) as stranger:
                    await stranger.send(request)
                    with anyio.fail_after(PATIENCE_SECONDS):
                        assert b" 400 " in await stranger.receive()
        assert 0 < len(caplog.records) < 2 * len(NO_REQUESTS)
        assert all("speaks no HTTP" in message for message in caplog.messages)
        assert not any(record.exc_info for record in caplog.records)


async def test_connections_are_bounded_in_number(monkeypatch):
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 2)
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with (
        served() as (host, port),
        await anyio.connect_tcp(host, port) as a,
        await anyio.connect_tcp(host, port) as b,
    ):
        for connection in (a, b, a):
            await connection.send(request)
            assert b"200 OK" in await connection.receive()
        async with await anyio.connect_tcp(host, port) as c:
            with anyio.fail_after(PATIENCE_SECONDS), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await c.receive()
        await a.send(request)
        assert b"200 OK" in await a.receive()


async def test_a_connection_that_has_asked_stays_and_may_ask_again(monkeypatch):
    monkeypatch.setattr(server, "ASKING_SECONDS", 0.02)
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with served() as (host, port), await anyio.connect_tcp(host, port) as one:
        for _ in range(2):
            await one.send(request)
            assert b"200 OK" in await one.receive()
            async with await anyio.connect_tcp(host, port) as idle:  # is ended when its time is over
                with anyio.fail_after(PATIENCE_SECONDS), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await idle.receive()


async def test_what_is_not_there_is_said_in_json():
    async with api() as berlin:
        assert "GET /" in (await berlin.get("/nothing", 404))["error"]
        assert "POST" in (await berlin.post("/keys", 405))["error"]
        async with berlin.client.post("/keys") as response:
            assert response.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    ("error", "expected"),
    [(StorageFullError("no room"), 507), (CorruptJournalError("a page"), 500), (RuntimeError("secret"), 500)],
    ids=lambda value: type(value).__name__,
)
async def test_what_fails_is_told_to_the_client_and_the_node_goes_on(error, expected, caplog):
    async with api() as berlin:
        berlin.fail(error)
        answer = await berlin.get("/streams", expected)
        assert ("secret" in answer["error"], len(caplog.records)) == (False, 1)
        assert await status(berlin) == 200
