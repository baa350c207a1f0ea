"""Live feeds: JSON lines, or server-sent events (WHATWG HTML, section 9.2), until the client leaves.

    JSON lines            {"position": 17, …}            an empty line is a sign of life
    server-sent events    id: 17                         a comment is a sign of life; who comes again says
                          data: {"position": 17, …}      `Last-Event-ID: 17`, as browsers and libraries do

A client that does not read holds up nobody: its feed waits for it, and is ended when it has waited for long.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from aiohttp import web

from calliope import CalliopeError, Source
from calliope.owning import owned
from replication.http_api.answers import RefusedRequestError, encoded

FEEDS_MAX = 256
"""Feeds at one moment."""

ALIVE_SECONDS = 10.0
"""Between two signs of life."""

READING_SECONDS = 30.0
"""How long a client may not read."""


class Feeds:
    """The feeds that are open now."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()

    def __len__(self) -> int:
        return len(self._scopes)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a feed in; leave the block when all are ended.

        Raises:
            RefusedRequestError: there are too many.
        """
        if len(self._scopes) >= FEEDS_MAX:
            raise RefusedRequestError(503, f"there are {FEEDS_MAX} feeds, and there can be no more")
        scope = anyio.CancelScope()
        self._scopes.add(scope)
        try:
            with scope:
                yield
        finally:
            self._scopes.discard(scope)

    async def end(self, _: web.Application) -> None:
        """End all of them."""
        for scope in self._scopes:
            scope.cancel()


FEEDS = web.AppKey("feeds", Feeds)


async def feed(request: web.Request, source: Source[tuple[int | None, dict[str, Any]]]) -> web.StreamResponse:
    """Send the elements of a source as they come, each with the number to go on after, if there is one."""
    writer = _Writer(request)
    with request.app[FEEDS].admitted():
        await writer.response.prepare(request)
        try:
            async with owned(writer.say_alive):
                await source.run_for_each(writer.write)
        except TimeoutError:
            writer.abort()
        except ConnectionError:
            pass  # the client has left
        except CalliopeError as error:
            await writer.fail(error)
    return writer.response


class _Writer:
    """Writes a feed in the form that the client accepts."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._is_event_stream = "text/event-stream" in request.headers.get("Accept", "")
        content_type = "text/event-stream" if self._is_event_stream else "application/x-ndjson"
        self.response = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def write(self, element: tuple[int | None, dict[str, Any]]) -> None:
        number, content = element
        data = encoded(content)
        if self._is_event_stream:
            head = b"" if number is None else b"id: %d\n" % number
            await self._send(b"%bdata: %b\n\n" % (head, data))
        else:
            await self._send(data + b"\n")

    async def say_alive(self) -> None:
        while True:
            await self._send(b":\n\n" if self._is_event_stream else b"\n")
            await anyio.sleep(ALIVE_SECONDS)

    async def fail(self, error: CalliopeError) -> None:
        data = encoded({"error": str(error)})
        await self._send(b"event: error\ndata: %b\n\n" % data if self._is_event_stream else data + b"\n")

    def abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _send(self, data: bytes) -> None:
        with anyio.fail_after(READING_SECONDS):
            await self.response.write(data)
