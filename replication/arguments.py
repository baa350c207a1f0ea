"""What users give the replicator, checked before anything is done: keys, types, functions, times."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, get_origin

from calliope.limits import STREAM_ID_BYTES_MAX, checked_text
from crdts import Crdt
from replication.key_state import known_type
from replication.version_token import VersionToken


def checked_key(key: object, name: str = "key") -> str:
    """Return a key, or the beginning of one, if it is legal.

    Raises:
        TypeError, ValueError: it is not; the error names it.
    """
    return checked_text(name, key, STREAM_ID_BYTES_MAX)


def checked_type_name(crdt_type: object) -> str:
    """Return the type name of a CRDT class that is known here, such as `ORSet` or `ORSet[str]`.

    Raises:
        TypeError: it is none.
    """
    found = get_origin(crdt_type) or crdt_type
    if not isinstance(found, type):
        raise _no_type(crdt_type)
    return _type_name(found)


def check_change(change: object, function: object) -> None:
    """Check what `update` is given beside the key: a value alone, or a CRDT class and a function.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(change, Crdt):
        if function is not None:
            raise TypeError(f"update takes the value itself, or its class and a function, not both: {function!r:.100}")
    elif function is None and not isinstance(get_origin(change) or change, type):
        raise TypeError(
            f"update takes a value that `get` handed out, or a CRDT class and a function, not {change!r:.100}"
        )
    else:
        checked_type_name(change)
        if not callable(function):
            raise TypeError(f"update takes a CRDT class and a function that changes the value, not {function!r:.100}")


def checked_timeout(timeout: object) -> float:
    """Return a number of seconds, 0 or more; `math.inf` is one.

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds from 0 on, not {timeout!r:.100}")
    try:
        seconds = float(timeout)
    except OverflowError:
        seconds = -1.0
    if not seconds >= 0:  # NaN is not
        raise ValueError(f"timeout must be a number of seconds from 0 on, not {timeout!r:.100}")
    return seconds


def checked_timeout_or_none(timeout: object) -> float | None:
    """Return a number of seconds, or None: for as long as it takes.

    Raises:
        TypeError, ValueError: it is neither.
    """
    return None if timeout is None else checked_timeout(timeout)


def checked_predicate(predicate: object) -> Callable[[Any], object]:
    """Return what can be called with a value.

    Raises:
        TypeError: it cannot be called.
    """
    if not callable(predicate):
        raise TypeError(f"predicate must be a function of the value, not {predicate!r:.100}")
    return predicate


def checked_token(token: object) -> VersionToken:
    """Return a version token.

    Raises:
        TypeError: it is none; `VersionToken.parse` reads text.
    """
    if not isinstance(token, VersionToken):
        raise TypeError(
            f"token must be a VersionToken, as `update` returns it, not {token!r:.100}; VersionToken.parse reads text"
        )
    return token


@lru_cache(maxsize=256)
def _type_name(crdt_type: type) -> str:
    if not issubclass(crdt_type, Crdt) or known_type(crdt_type.type_name) is not crdt_type:
        raise _no_type(crdt_type)
    return crdt_type.type_name


def _no_type(crdt_type: object) -> TypeError:
    return TypeError(f"the type of a key must be a CRDT class, such as ORSet, not {crdt_type!r:.100}")
