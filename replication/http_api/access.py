"""Who may ask, and that everybody is answered in JSON.

Without a token the API serves the loopback interface only, where web pages in a browser must not reach it: neither one
of another site (its Origin header gives it away), nor one whose name was made to mean 127.0.0.1 (its Host header does).
With a token everything but `/health` needs it.
"""

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http.client import responses
from urllib.parse import unquote_to_bytes, urlsplit

import anyio
from aiohttp import web

from calliope import CalliopeError
from replication.addresses import is_loopback
from replication.http_api.answers import RefusedRequestError, refusal, refused
from replication.http_api.traffic import TRAFFIC
from replication.printable import printable

SENDING_SECONDS = 60.0
"""How long a client may take to read an answer; feeds have a time of their own."""

ON_ASKED = web.AppKey[Callable[[asyncio.BaseTransport], None]]("on_asked")
"""Told of each connection that asks something."""

TOKEN = web.AppKey("token", bytes)
"""What who asks must know; empty: nothing."""

OPEN_PATHS = ("/health",)

_ILL_ENCODED = re.compile("%(?![0-9A-Fa-f]{2})")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger("replication.http_api")


@web.middleware
async def greeting(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a connection that asks something stay."""
    if request.transport is not None:
        request.app[ON_ASKED](request.transport)
    return await handler(request)


@web.middleware
async def sending(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send the answer, and end the connection of a client that does not read it."""
    response = await handler(request)
    if response.prepared:
        return response
    try:
        with anyio.fail_after(SENDING_SECONDS):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response


@web.middleware
async def counting(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count what is asked, and how it was answered."""
    response = await handler(request)
    request.app[TRAFFIC].count(request.method, response.status)
    return response


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors in JSON."""
    try:
        _check(request)
        return await handler(request)
    except RefusedRequestError as error:
        response = refusal(error)
    except CalliopeError as error:
        response = refusal(refused(error))
        if response.status >= 500 and response.status != 504:
            asked = f"{request.method} {printable(request.path)}"
            _log.error("%s was answered with %d: %s", asked, response.status, error)
    except web.HTTPException as error:
        response = refusal(_translated(request, error))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
    except ConnectionError:
        raise
    except Exception:
        _log.exception("%s %s failed", request.method, printable(request.path))
        response = refusal(RefusedRequestError(500, "this failed, by a mistake of the node's; its log says more"))
    if response.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _check(request: web.Request) -> None:
    if "Origin" in request.headers:
        raise RefusedRequestError(403, "web pages are not served: a request must not have an Origin")
    token = request.app[TOKEN]
    if not token:
        _check_host(request)
    elif request.path not in OPEN_PATHS:
        _check_token(request, token)
    _check_encoding(request.raw_path)


def _check_host(request: web.Request) -> None:
    try:
        host = urlsplit(f"http://{request.host}").hostname or ""
    except ValueError:
        host = ""
    if not is_loopback(host):
        raise RefusedRequestError(403, f"Host must be a loopback address or localhost, not {request.host!r:.100}")


def _check_token(request: web.Request, token: bytes) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token):
        raise RefusedRequestError(401, "Authorization must be 'Bearer' and the token of this node")


def _check_encoding(path: str) -> None:
    """Refuse a path or parameter of which it is not clear what it says: two spellings could mean one key."""
    with suppress(UnicodeDecodeError):
        unquote_to_bytes(path).decode()
        if not _ILL_ENCODED.search(path):
            return
    raise RefusedRequestError(400, f"a path must be percent-encoded UTF-8, as {path!r:.100} is not")


def _translated(request: web.Request, error: web.HTTPException) -> RefusedRequestError:
    if error.status == 404:
        return RefusedRequestError(404, f"there is nothing at {request.path!r:.200}; GET / says what there is")
    if error.status == 405:
        return RefusedRequestError(405, f"{request.method} is not for {request.path!r:.200}; GET / says what is")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return RefusedRequestError(413, f"a body must have at most {request.client_max_size} bytes")
    return RefusedRequestError(error.status, responses.get(error.status, "this was refused"))
