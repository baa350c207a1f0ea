"""Values as JSON and back, so that nothing becomes something else on the way.

JSON knows text, numbers, lists, and objects with text keys. What else a value may be is an object with one field:

    bytes                            {"base64": "AAEC"}
    infinity, NaN                    {"float": "inf"}, {"float": "-inf"}, {"float": "nan"}
    a date and time                  {"time": "2026-05-01T12:00:00+00:00"}
    a map whose keys are not all text, or that looks like one of these
                                     {"entries": [[key, value], …]}

A set is a list in the one order that all replicas agree on, and a tuple is a list.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from math import isfinite
from typing import Any

from crdts.elements import in_order

DEEP_MAX = 64
"""How deep values are nested."""

FLOATS = ("inf", "-inf", "nan")


def as_json(value: Any) -> Any:
    """Return a value as what JSON can say."""
    if isinstance(value, float) and not isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, Mapping):
        return _map_as_json(value)
    if isinstance(value, (frozenset, set)):
        return [as_json(item) for item in in_order(value)]
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return {"unreadable": type(value).__name__}


def _map_as_json(value: Mapping[Any, Any]) -> Any:
    if all(type(key) is str for key in value) and not _looks_marked(value):
        return {key: as_json(item) for key, item in value.items()}
    return {"entries": [[as_json(key), as_json(item)] for key, item in value.items()]}


def from_json(value: Any, sequence: Callable[[list[Any]], Any] = list, depth: int = 0) -> Any:
    """Return the value that JSON says.

    Args:
        value: decoded JSON.
        sequence: what a list becomes: a list, or a tuple, which can be an element.
        depth: how deep it is nested in others.

    Raises:
        ValueError: a field such as "base64" does not hold what it must, or it is nested too deep.
    """
    if depth > DEEP_MAX:
        raise ValueError(f"a value can be nested {DEEP_MAX} deep")
    if isinstance(value, list):
        return sequence([from_json(item, sequence, depth + 1) for item in value])
    if not isinstance(value, dict):
        return value
    if _looks_marked(value):
        [(mark, content)] = value.items()
        if mark == "entries":
            return _map_from_json(content, sequence, depth)
        return _MARKS[mark](content)
    return {key: from_json(item, sequence, depth + 1) for key, item in value.items()}


def _map_from_json(content: Any, sequence: Callable[[list[Any]], Any], depth: int) -> dict[Any, Any]:
    if not (isinstance(content, list) and all(isinstance(entry, list) and len(entry) == 2 for entry in content)):
        raise ValueError(f'"entries" must be a list of [key, value], not {content!r:.100}')
    try:
        return {from_json(key, tuple, depth + 1): from_json(item, sequence, depth + 1) for key, item in content}
    except TypeError:
        raise ValueError(f'"entries" must have keys that can be keys, not {content!r:.100}') from None


def _bytes_from(content: Any) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError(f'"base64" must be text in base64, not {content!r:.100}') from None


def _float_from(content: Any) -> float:
    if content not in FLOATS:
        raise ValueError(f'"float" must be one of {", ".join(FLOATS)}, not {content!r:.100}')
    return float(content)


def _time_from(content: Any) -> datetime:
    try:
        return datetime.fromisoformat(content)
    except (TypeError, ValueError):
        raise ValueError(f'"time" must be a date and time in ISO 8601, not {content!r:.100}') from None


_MARKS: dict[str, Callable[[Any], Any]] = {"base64": _bytes_from, "float": _float_from, "time": _time_from}


def _looks_marked(value: Mapping[Any, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in (*_MARKS, "entries")
