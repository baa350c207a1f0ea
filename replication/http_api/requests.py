"""What the HTTP API is asked: parameters and bodies, checked; and how it answers."""

from typing import Annotated, Any, Literal, TypeVar

import anyio
import msgspec
from aiohttp import web

from calliope.limits import POSITION_MAX
from replication.core.agreement import Replicas
from replication.node import Node

NODE = web.AppKey("node", Node)

LIMIT_DEFAULT, LIMIT_MAX = 100, 1_000
"""How many elements a page holds."""

TIMEOUT_DEFAULT, TIMEOUT_MAX = 5.0, 60.0
"""How many seconds other replicas are given."""

BODY_BYTES_MAX = 2 * 1024 * 1024
BODY_SECONDS_MAX = 30.0

T = TypeVar("T", bound=msgspec.Struct)

_encode = msgspec.json.Encoder().encode


class OperationRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What is done to the CRDT of a key.

    Attributes:
        type: the type of the CRDT, such as "ORSet".
        method: one of its methods.
        arguments: what the method is given; see `replication.http_api.plain_values`.
        replicas: how many replicas, the node included, must hold it before the answer comes.
        timeout: how many seconds they are given.
    """

    type: str
    method: str
    arguments: list[Any] = []
    replicas: Annotated[int, msgspec.Meta(ge=1)] | Literal["majority", "all"] = 1
    timeout: Annotated[float, msgspec.Meta(gt=0, le=TIMEOUT_MAX)] = TIMEOUT_DEFAULT


class EventRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An event for a stream.

    Attributes:
        type: the type name it is stored under.
        data: its payload.
        replicated: whether the stream is a replicated one.
        event_id: names the request; sent again, it is written once.
        expected_version: the sequence number that the stream must have here; 0: it has no events.
        observed: for a replicated stream: what its writer has observed, as the "version" of what it read; if it is
            left out, all that the node holds of the stream.
        tags: labels.
        metadata: context.
        schema_version: the version of the payload's shape.
    """

    type: str
    data: Any = msgspec.field(default_factory=dict)
    replicated: bool = True
    event_id: str | None = None
    expected_version: Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)] | None = None
    observed: dict[str, Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)]] | None = None
    tags: list[str] = []
    metadata: dict[str, Any] | None = None
    schema_version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 1


class RefusedRequestError(Exception):
    """A request that is not fulfilled: its status, and what is wrong with it in one sentence.

    Attributes:
        status: the HTTP status.
        facts: more, as plain data.
    """

    def __init__(self, status: int, reason: str, **facts: Any) -> None:
        self.status = status
        self.facts = facts
        super().__init__(reason)


def answer(content: Any, status: int = 200) -> web.Response:
    """Return a response in JSON."""
    return web.Response(body=_encode(content), status=status, content_type="application/json")


def refusal(status: int, reason: str, **facts: Any) -> web.Response:
    """Return the response that says why a request is not fulfilled."""
    return answer({"error": reason, **facts}, status)


async def body_of(request: web.Request, form: type[T]) -> T:
    """Return the body of a request.

    Raises:
        RefusedRequestError: it is no JSON, not of the form, or does not arrive.
    """
    try:
        with anyio.fail_after(BODY_SECONDS_MAX):
            content = await request.read()
        return msgspec.json.decode(content, type=form)
    except TimeoutError:
        raise RefusedRequestError(408, f"the body did not arrive within {BODY_SECONDS_MAX:g} seconds") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedRequestError(400, f"the body is not what was expected: {error}") from None


def number_in(request: web.Request, name: str, default: int, *, minimum: int = 0, maximum: int = POSITION_MAX) -> int:
    """Return a parameter that is a number.

    Raises:
        RefusedRequestError: it is none, or out of bounds.
    """
    return number_of(name, request.query.get(name, str(default)), minimum=minimum, maximum=maximum)


def number_of(name: str, text: str, *, minimum: int = 0, maximum: int = POSITION_MAX) -> int:
    """Return a number that is given as text.

    Raises:
        RefusedRequestError: it is none, or out of bounds.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and minimum <= int(text) <= maximum):
        raise RefusedRequestError(400, f"{name} must be a number from {minimum} to {maximum}, not {text!r:.100}")
    return int(text)


def limit_in(request: web.Request) -> int:
    """Return how many elements are asked for."""
    return number_in(request, "limit", LIMIT_DEFAULT, minimum=1, maximum=LIMIT_MAX)


def timeout_in(request: web.Request) -> float:
    """Return how many seconds other replicas are given.

    Raises:
        RefusedRequestError: it is no number of seconds.
    """
    text = request.query.get("timeout", str(TIMEOUT_DEFAULT))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= TIMEOUT_MAX:
        raise RefusedRequestError(400, f"timeout must be seconds above 0 and up to {TIMEOUT_MAX:g}, not {text!r:.100}")
    return seconds


def replicas_in(request: web.Request) -> Replicas:
    """Return how many replicas are asked for."""
    text = request.query.get("replicas", "1")
    if text == "majority":
        return "majority"
    if text == "all":
        return "all"
    if not (text.isascii() and text.isdecimal()):
        raise RefusedRequestError(400, f"replicas must be a number, 'majority' or 'all', not {text!r:.100}")
    return number_of("replicas", text, minimum=1)
