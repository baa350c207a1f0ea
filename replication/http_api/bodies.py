"""The bodies of requests: their form, and how they are read."""

from typing import Annotated, Any, Literal, TypeVar

import anyio
import msgspec
from aiohttp import web

from calliope.limits import POSITION_MAX
from calliope.stores.record import StreamKind
from replication.http_api.answers import RefusedRequestError
from replication.http_api.parameters import TIMEOUT_DEFAULT, TIMEOUT_MAX

BODY_BYTES_MAX = 2 * 1024 * 1024
BODY_SECONDS_MAX = 30.0

T = TypeVar("T", bound=msgspec.Struct)

ReplicaCount = Annotated[int, msgspec.Meta(ge=1)] | Literal["majority", "all"]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=TIMEOUT_MAX)]


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
    replicas: ReplicaCount = 1
    timeout: Seconds = TIMEOUT_DEFAULT


class EventRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An event for a stream.

    Attributes:
        type: the type name it is stored under.
        data: its payload.
        kind: whether the stream is "plain" or "replicated"; by default what it is, and a new one is replicated.
        event_id: names the request; sent again, it is written once.
        expected_version: the sequence number that the stream must have here; 0: it has no events.
        observed: for a replicated stream: what its writer has observed, as the "version" of what it read; if it is
            left out, all that the node holds of the stream.
        tags: labels.
        metadata: context.
        schema_version: the version of the payload's shape.
        replicas: how many replicas, the node included, must hold it before the answer comes; a plain stream has one.
        timeout: how many seconds they are given.
    """

    type: str
    data: Any = msgspec.field(default_factory=dict)
    kind: StreamKind | None = None
    event_id: str | None = None
    expected_version: Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)] | None = None
    observed: dict[str, Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)]] | None = None
    tags: list[str] = []
    metadata: dict[str, Any] | None = None
    schema_version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 1
    replicas: ReplicaCount = 1
    timeout: Seconds = TIMEOUT_DEFAULT


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
    except web.RequestPayloadError:
        raise RefusedRequestError(
            400, "the body is not in the encoding, or of the length, that was announced"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedRequestError(400, f"the body is not what was expected: {error}") from None
