"""How values are printed in a story, which is also how they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet


def rendered(value: object) -> str:
    """Prints a value so that two values print alike exactly if a user would call them the same.

    Values are compared as they print because `==` is too kind to a replicated value: `1 == True == 1.0` would
    hide that two replicas show different things, and `nan != nan` would report a difference that nobody sees.
    The order of sets and mappings is no part of their value, nor is whether a set is frozen.
    """
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, tuple) and type(value).__str__ is not object.__str__:
        return str(value)  # a Command says itself what it does
    if isinstance(value, AbstractSet):
        return "{" + ", ".join(sorted(map(rendered, value))) + "}" if value else "set()"
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{rendered(key)}: {rendered(item)}" for key, item in value.items())) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(rendered, value)) + "]"
    if isinstance(value, tuple):
        return "(" + "".join(f"{rendered(item)}, " for item in value).rstrip() + ")"
    return repr(value)
