"""How values are printed in a story, which is also how they are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any


def rendered(value: Any) -> str:
    """Prints a value so that two values print alike exactly if a user would call them the same.

    Values are compared as they print because `==` is too kind to a replicated value: `1 == True == 1.0` would
    hide that two replicas show different things, and `nan != nan` would report a difference that nobody sees.
    The order of sets and mappings is no part of their value, nor is whether a set is frozen.
    """
    if isinstance(value, str | int | float | bytes | None):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(rendered, value))}]"
    if isinstance(value, tuple):
        return _tuple(value)
    if isinstance(value, AbstractSet):
        return _braces(map(rendered, value)) if value else "set()"
    if isinstance(value, Mapping):
        return _braces(f"{rendered(key)}: {rendered(item)}" for key, item in value.items())
    return value.__name__ if isinstance(value, type) else repr(value)


def _tuple(value: tuple[Any, ...]) -> str:
    if type(value).__str__ is not object.__str__:
        return str(value)  # a Command says itself what it does
    return f"({''.join(f'{rendered(item)}, ' for item in value).rstrip()})"


def _braces(items: Iterable[str]) -> str:
    return f"{{{', '.join(sorted(items))}}}"
