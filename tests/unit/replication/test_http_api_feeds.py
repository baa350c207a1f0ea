"""Live feeds of a node's HTTP API."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from aiohttp import ClientError

from calliope import CorruptRecordError, UntypedEvent
from replication.http_api import feeds
from replication.http_api.feeds import FEEDS
from replication.http_api.server import serving
from tests.unit.replication.http_nodes import api

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 20.0


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop that aiohttp runs on."""
    return "asyncio"


async def say(api, text, stream="room"):
    return await api.post(f"/streams/{stream}/events", type="Said", data={"text": text})


@asynccontextmanager
async def feed(api, path, **headers):
    with anyio.fail_after(PATIENCE_SECONDS):
        async with api.client.get(path, headers=headers) as response:
            assert response.status == 200, await response.text()
            yield response


async def next_line(response):
    while True:
        line = await response.content.readline()
        assert line, "the feed has ended"
        if line.strip():
            return line.decode().rstrip("\n")


async def next_element(response):
    return json.loads(await next_line(response))


async def next_text(response):
    return (await next_element(response))["data"]["text"]


async def test_a_feed_is_lines_of_what_is_stored_and_then_of_what_comes():
    async with api() as berlin:
        await say(berlin, "1")
        async with feed(berlin, "/feed") as response:
            assert response.content_type == "application/x-ndjson"
            assert await next_text(response) == "1"
            await say(berlin, "2", stream="other")
            assert await next_text(response) == "2"
        async with feed(berlin, "/feed?after=1&prefix=oth") as response:
            assert await next_text(response) == "2"


async def test_a_feed_may_begin_now():
    async with api() as berlin:
        await say(berlin, "1")
        async with feed(berlin, "/feed?after=now") as all_streams, feed(berlin, "/streams/room/feed?after=now") as one:
            await say(berlin, "2")
            assert await next_text(all_streams) == await next_text(one) == "2"


async def test_a_stream_is_followed_before_it_is_there():
    async with api() as berlin, feed(berlin, "/streams/room/feed") as response:
        await say(berlin, "1", stream="other")
        await say(berlin, "2")
        assert await next_text(response) == "2"


async def test_server_sent_events_go_on_where_the_client_was_cut_off():
    async with api() as berlin:
        for text in "123":
            await say(berlin, text)
        async with feed(berlin, "/streams/room/feed", Accept="text/event-stream") as response:
            assert response.content_type == "text/event-stream"
            assert await next_line(response) == ":"
            assert await next_line(response) == "id: 1"
            data = await next_line(response)
            assert json.loads(data.removeprefix("data: "))["data"] == {"text": "1"}
        again = {"Accept": "text/event-stream", "Last-Event-ID": "2"}
        async with feed(berlin, "/streams/room/feed", **again) as response:
            assert await next_line(response) == ":"
            assert await next_line(response) == "id: 3"


async def test_a_key_is_followed_with_its_newest_value():
    async with api() as berlin:
        await berlin.do("visits", "GCounter", "increment", 5)
        async with feed(berlin, "/keys/visits/feed") as response:
            expected = {"key": "visits", "type": "GCounter", "value": 5, "origin": None}
            assert await next_element(response) == expected
            await berlin.do("visits", "GCounter", "increment", 2)
            assert await next_element(response) == {**expected, "value": 7, "origin": "berlin"}


async def test_a_client_that_has_left_is_forgotten():
    async with api() as berlin:
        async with feed(berlin, "/feed") as response:
            await say(berlin, "1")
            await next_text(response)
            assert len(berlin.client.app[FEEDS]) == 1
        with anyio.fail_after(PATIENCE_SECONDS):
            while len(berlin.client.app[FEEDS]):
                await anyio.lowlevel.checkpoint()


async def test_feeds_are_bounded_in_number(monkeypatch):
    monkeypatch.setattr(feeds, "FEEDS_MAX", 1)
    async with api() as berlin, feed(berlin, "/feed"):
        assert "1 feeds" in (await berlin.get("/feed", 503))["error"]
        await berlin.get("/health")


async def test_damage_ends_a_feed_and_is_told():
    async with api() as berlin:
        await say(berlin, "1")
        berlin.fail(CorruptRecordError(1, "its checksum differs"))
        async with feed(berlin, "/feed") as response:
            assert "checksum" in (await next_element(response))["error"]
            assert await response.content.read() == b""
        async with feed(berlin, "/feed", Accept="text/event-stream") as response:
            assert await next_line(response) == ":"
            assert await next_line(response) == "event: error"
            assert "checksum" in await next_line(response)


async def test_feeds_end_with_the_server():
    async with api() as berlin, feed(berlin, "/feed") as response:
        await berlin.client.app[FEEDS].end(berlin.client.app)
        assert (await response.content.read()).strip() == b""


async def test_a_client_that_does_not_read_is_left_behind(monkeypatch):
    monkeypatch.setattr(feeds, "READING_SECONDS", 0.05)
    async with api() as berlin:
        large = UntypedEvent("Said", {"text": "x" * 700_000})
        await berlin.node.journal.event_stream("room", UntypedEvent).persist([large] * 16)
        async with feed(berlin, "/feed") as response:
            while len(berlin.client.app[FEEDS]):
                await anyio.lowlevel.checkpoint()
            with pytest.raises((ClientError, ConnectionError)):
                await response.read()


@pytest.mark.parametrize("path", ["/feed?after=-1", "/feed?after=x", "/feed?kind=plain", "/streams/room/feed?kind=x"])
async def test_a_feed_that_is_asked_for_wrongly_is_refused_before_it_begins(path):
    async with api() as berlin:
        await berlin.get(path, 400)


@asynccontextmanager
async def asked(url, path):
    """Ask for a feed by a connection of one's own, and read nothing."""
    host, _, port = url.removeprefix("http://").partition(":")
    async with await anyio.connect_tcp(host, int(port)) as client:
        await client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield client


async def test_a_client_that_does_not_read_holds_up_nobody():
    async with (
        api() as berlin,
        serving(berlin.node, "127.0.0.1:0") as url,
        asked(url, "/feed"),
        feed(berlin, "/feed") as response,
    ):
        large = UntypedEvent("Said", {"text": "x" * 400_000})
        room = berlin.node.journal.event_stream("room", UntypedEvent)
        for number in range(1, 41):  # more than the socket of the other holds
            await room.persist(large)
            assert (await next_element(response))["sequence_number"] == number


async def test_feeds_whose_clients_have_gone_leave_nothing_behind():
    paths = ("/feed", "/streams/room/feed", "/streams/none/feed", "/keys/visits/feed", "/keys/none/feed")
    async with api() as berlin, serving(berlin.node, "127.0.0.1:0") as url:
        await say(berlin, "1")
        await berlin.do("visits", "GCounter", "increment")
        before = len(asyncio.all_tasks())
        async with AsyncExitStack() as stack:
            for path in paths:
                client = await stack.enter_async_context(asked(url, path))
                assert b"200 OK" in await client.receive()
            assert len(asyncio.all_tasks()) > before
        with anyio.fail_after(PATIENCE_SECONDS):
            while len(asyncio.all_tasks()) > before:
                await anyio.lowlevel.checkpoint()
