"""The parameters of requests, checked."""

from collections.abc import Collection

from aiohttp import web

from calliope.limits import POSITION_MAX
from replication.core.agreement import Replicas
from replication.http_api.answers import RefusedRequestError

LIMIT_DEFAULT, LIMIT_MAX = 100, 1_000
"""How many elements a page holds."""

TIMEOUT_DEFAULT, TIMEOUT_MAX = 5.0, 60.0
"""How many seconds other replicas are given."""


def check_parameters(request: web.Request, *known: str, repeatable: Collection[str] = ()) -> None:
    """Let no parameter be passed over in silence.

    Args:
        request: what is asked.
        known: the parameters that there are.
        repeatable: those of them that may be given several times.

    Raises:
        RefusedRequestError: one is not known, or is given twice and may be given once.
    """
    for name in request.query:
        if name not in known:
            what = f"there are {', '.join(known)}" if known else "there are none here"
            raise RefusedRequestError(400, f"there is no parameter {name!r:.100}; {what}")
        if len(request.query.getall(name)) > 1 and name not in repeatable:
            raise RefusedRequestError(400, f"the parameter {name!r} is given once, not several times")


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


def text_in(request: web.Request, name: str) -> str:
    """Return a parameter that is text; empty if it is not given."""
    return request.query.get(name, "")


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
