"""What the HTTP API answers: JSON, and refusals with their status, one sentence and facts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from aiohttp import web

from calliope.errors import (
    CalliopeError,
    EventEncodingError,
    ExpectedVersionError,
    JournalBusyError,
    JournalClosedError,
    StorageFullError,
    StreamKindError,
)
from replication.errors import KeyTypeError, QuorumTimeoutError

encoded = msgspec.json.Encoder().encode
"""Returns plain data as JSON."""


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
    return web.Response(body=encoded(content), status=status, content_type="application/json")


def refusal(refused: RefusedRequestError) -> web.Response:
    """Return the response that says why a request is not fulfilled."""
    return answer({"error": str(refused), **refused.facts}, refused.status)


def refused(error: CalliopeError) -> RefusedRequestError:
    """Return what a request is answered that the library could not fulfil."""
    status = next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 500)
    facts = {name: getattr(error, name) for name in _FACTS if hasattr(error, name)}
    return RefusedRequestError(status, str(error), **facts)


@contextmanager
def refusing() -> Iterator[None]:
    """Answer what the library refuses, because an argument is not legal, with 400."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise RefusedRequestError(400, str(error)) from error


_STATUSES: dict[type[CalliopeError], int] = {
    QuorumTimeoutError: 504,
    KeyTypeError: 409,
    ExpectedVersionError: 409,
    StreamKindError: 409,
    EventEncodingError: 400,
    StorageFullError: 507,
    JournalBusyError: 503,
    JournalClosedError: 503,
}
"""Any other error is 500: damage, or a store of which the outcome is unknown."""

_FACTS = ("required", "acknowledged", "expected", "actual")
"""The attributes of errors that are answered as well."""
