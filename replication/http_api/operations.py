"""Which methods of which CRDT types the HTTP API calls, and how it calls them."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import crdts
from crdts import Crdt, CrdtError, InsufficientRightsError, UpdateInterruptedError
from replication.http_api.answers import RefusedRequestError
from replication.http_api.plain_values import from_json

METHODS: dict[str, tuple[str, ...]] = {
    "GCounter": ("increment", "clear"),
    "PNCounter": ("increment", "decrement", "clear"),
    "BoundedCounter": ("increment", "decrement", "transfer", "clear"),
    "GSet": ("add", "clear"),
    "TwoPhaseSet": ("add", "remove", "clear"),
    "ORSet": ("add", "remove", "clear"),
    "RWSet": ("add", "remove", "clear"),
    "EWFlag": ("enable", "disable", "clear"),
    "DWFlag": ("enable", "disable", "clear"),
    "LWWRegister": ("assign", "clear"),
    "MVRegister": ("assign", "clear"),
    "LWWMap": ("assign", "remove", "clear"),
    "ORMap": ("update", "remove", "clear"),
    "RGA": ("insert", "append", "delete", "clear"),
    "Text": ("insert", "delete", "clear"),
}
"""What changes a value. `ORMap.update` is given a key and an operation: {"type": …, "method": …, "arguments": […]}."""

Change = Callable[[Any], object]


def type_named(name: object) -> type[Crdt]:
    """Return a CRDT type.

    Raises:
        RefusedRequestError: there is none of the name.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise RefusedRequestError(400, f"there is no type {name!r:.100}; there are {', '.join(METHODS)}")
    found: type[Crdt] = getattr(crdts, name)
    return found


def change_of(
    type_name: object, method: object, arguments: object, *, log_ids: frozenset[str] = frozenset(), place: str = ""
) -> tuple[type[Crdt], Change]:
    """Return a CRDT type, and a function that does an operation to a value of it.

    Args:
        type_name: the type.
        method: one of its methods.
        arguments: a list of what the method is given, as decoded JSON.
        log_ids: the logs that rights can be transferred to.
        place: in which operation this one is nested, for the error.

    Raises:
        RefusedRequestError: what is wrong with them.
    """
    crdt_type = type_named(type_name)
    name = f"{place}{type_name}.{method}"
    if method not in METHODS[crdt_type.__name__]:
        known = ", ".join(METHODS[crdt_type.__name__])
        raise RefusedRequestError(400, f"{type_name} has no method {method!r:.100}; it has {known}")
    if not isinstance(arguments, list):
        raise RefusedRequestError(400, f"the arguments of {name} must be a list, not {arguments!r:.100}")
    called = getattr(crdt_type, str(method))
    given = _nested(arguments, log_ids, name) if name.endswith("ORMap.update") else _values(arguments, name)
    try:
        inspect.signature(called).bind(None, *given)
    except TypeError as error:
        raise RefusedRequestError(400, f"{name} was given {len(arguments)} arguments: {error}") from None
    if method == "transfer" and given[1] not in log_ids:
        known = ", ".join(sorted(log_ids)) or "none"
        raise RefusedRequestError(
            400, f"{name} goes to a log of the cluster, not to {given[1]!r:.100}; logs that are known: {known}"
        )
    return crdt_type, partial(_call, called, given, name)


def _values(arguments: list[Any], name: str) -> list[Any]:
    try:
        return [from_json(argument, tuple) for argument in arguments]
    except ValueError as error:
        raise RefusedRequestError(400, f"the arguments of {name} are not legal: {error}") from None


def _nested(arguments: list[Any], log_ids: frozenset[str], name: str) -> list[Any]:
    if len(arguments) != 2 or not isinstance(arguments[1], dict):
        raise RefusedRequestError(400, f"{name} takes a key and an operation: {_FORM}")
    [key], inner = _values(arguments[:1], name), dict(arguments[1])
    crdt_type, change = change_of(
        inner.pop("type", None),
        inner.pop("method", None),
        inner.pop("arguments", []),
        log_ids=log_ids,
        place=f"{name}: ",
    )
    if inner:
        raise RefusedRequestError(400, f"the operation of {name} has unknown fields: {', '.join(map(repr, inner))}")
    return [key, crdt_type, change]


def _call(called: Change, arguments: list[Any], name: str, value: Crdt) -> None:
    try:
        called(value, *arguments)
    except RefusedRequestError:
        raise
    except InsufficientRightsError as error:
        raise RefusedRequestError(409, str(error), required=error.required, available=error.available) from None
    except UpdateInterruptedError:
        raise
    except (TypeError, ValueError, LookupError, OverflowError, CrdtError) as error:
        raise RefusedRequestError(400, f"{name}: {error}") from None


_FORM = '["key", {"type": "PNCounter", "method": "increment", "arguments": [1]}]'
