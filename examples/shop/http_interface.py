"""HTTP for any subsystem: `CommandEndpoint` takes commands for aggregates, `ViewEndpoint` answers from a view.

POST /reservations/{id}    Command-Type: reserve-product    Command-Id: any text    body: the command as JSON
200  carried out, now or before under the same id: {"events", "version", "position", "duplicate"}
400  it does not parse; 409  others were quicker, or `Expected-Version` is not the version; 422  {"reasons"}

GET  /reservations/{id}    200 or 404; `?position=` waits until the view has seen what a command answered
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from re import sub
from typing import Any, Protocol

import msgspec
from aiohttp import web

from calliope import ExpectedVersionError
from calliope.domain import (
    ConflictError,
    Executed,
    Identifier,
    Projection,
    ProjectionParkedError,
    ProjectionStoppedError,
    ProjectionTimeoutError,
    Rejection,
)
from calliope.event import definition_of

WAIT_SECONDS = 5.0
"""How long a query waits for the view to see a position."""


class Execute(Protocol):
    """Carries commands out; `repository.execute`."""

    def __call__(
        self, stream_id: Identifier, command: Any, /, *, command_id: str, expected_version: int | None
    ) -> Awaitable[Executed[Any, Any]]: ...


@dataclass(frozen=True)
class CommandEndpoint:
    """Where the aggregates of a kind take commands.

    Attributes:
        path: with `{id}` for the aggregate.
        identifier: the kind of id.
        commands: the classes of what is taken from outside.
        execute: carries them out.
    """

    path: str
    identifier: type[Identifier]
    commands: tuple[type, ...]
    execute: Execute
    method: str = "POST"

    async def answer(self, request: web.Request) -> web.Response:
        """Carry out what a request asks for, and say what came of it."""
        try:
            identifier = self.identifier(request.match_info["id"])
            command = self._command_in(_header(request, "Command-Type"), await request.read())
            command_id = _header(request, "Command-Id")
            expected = request.headers.get("Expected-Version")
            expected_version = None if expected is None else _number("Expected-Version", expected)
        except (ValueError, msgspec.MsgspecError) as error:
            return answered({"error": str(error)}, status=400)
        try:
            executed = await self.execute(identifier, command, command_id=command_id, expected_version=expected_version)
        except Rejection as rejection:
            return answered({"reasons": rejection.reasons}, status=422)
        except (ConflictError, ExpectedVersionError) as error:
            return answered({"error": str(error)}, status=409)
        except ValueError as error:  # such as a command id that is too long
            return answered({"error": str(error)}, status=400)
        return answered(
            {
                "events": [definition_of(type(event)).name for event in executed.events],
                "version": executed.version,
                "position": executed.position,
                "duplicate": executed.duplicate,
            }
        )

    def _command_in(self, name: str, body: bytes) -> Any:
        for command in self.commands:
            if name_of(command) == name:
                return _parsed(command, body)
        known = ", ".join(map(name_of, self.commands))
        raise ValueError(f"Command-Type must be one of {known}, not {name!r}")


@dataclass(frozen=True)
class ViewEndpoint:
    """Where a view is asked.

    Attributes:
        path: with names in braces for the arguments of `find`.
        result: the type of what is found, for the document.
        find: returns what is found, or None.
        projection: keeps the view.
    """

    path: str
    result: Any
    find: Callable[..., Awaitable[Any]]
    projection: Projection[Any]
    method: str = "GET"

    async def answer(self, request: web.Request) -> web.Response:
        """Answer from the view, once it has seen the position that the request names."""
        try:
            position = _number("position", request.query.get("position", "0"))
            await self.projection.wait_for(position, timeout=WAIT_SECONDS)
        except ValueError as error:
            return answered({"error": str(error)}, status=400)
        except (ProjectionParkedError, ProjectionStoppedError, ProjectionTimeoutError) as error:
            return answered({"error": str(error)}, status=503)
        found = await self.find(**request.match_info)
        return answered({"error": "there is none"}, status=404) if found is None else answered(found)


Endpoint = CommandEndpoint | ViewEndpoint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(endpoints: tuple[Endpoint, ...], allowed_origin: str) -> web.Application:
    """Return an application that serves endpoints, to itself and to the pages of one other origin."""

    @web.middleware
    async def cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_preflight = request.method == "OPTIONS"
        response = web.Response(status=204) if is_preflight else await _handled(request, handler)
        response.headers["Access-Control-Allow-Origin"] = allowed_origin
        if is_preflight:
            response.headers["Access-Control-Allow-Methods"] = "GET, POST"
            response.headers["Access-Control-Allow-Headers"] = (
                "Command-Type, Command-Id, Expected-Version, Content-Type"
            )
        return response

    app = web.Application(middlewares=[cross_origin])
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, endpoint.path, endpoint.answer)
    return app


async def _handled(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPError as refusal:  # no such path, another method, too long a body
        return answered({"error": refusal.reason}, status=refusal.status)


def answered(content: object, *, status: int = 200) -> web.Response:
    """Return a response with JSON; decimals are strings in it."""
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


def name_of(command: type) -> str:
    """Return the name of a class of commands: ReserveProduct is reserve-product."""
    return sub(r"(?<!^)(?=[A-Z])", "-", command.__name__).lower()


_JSON = msgspec.json.Decoder(float_hook=Decimal)


def _parsed(command: type, body: bytes) -> Any:
    content: Mapping[str, Any] = _JSON.decode(body or b"{}")
    if not isinstance(content, dict):
        raise ValueError(f"{name_of(command)} is sent as an object of its fields")
    unknown = content.keys() - {field.name for field in fields(command)}
    if unknown:
        raise ValueError(f"{name_of(command)} has no {', '.join(sorted(unknown))}")
    return msgspec.convert(content, command)


def _header(request: web.Request, name: str) -> str:
    value = request.headers.get(name, "")
    if not value:
        raise ValueError(f"the header {name} is missing")
    return value


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise ValueError(f"{name} must be a number, not {text!r}")
    return int(text)
