"""What the CRDTs do, done to plain Python objects: the floor."""

from collections.abc import Callable


def counter() -> Callable[[], object]:
    """Return a function that adds one to a number in a dict."""
    count = counters()
    return lambda: count("key")


def counters() -> Callable[[str], object]:
    """Return a function that adds one to the number under a key."""
    counts: dict[str, int] = {}

    def increment(key: str) -> None:
        counts[key] = counts.get(key, 0) + 1

    return increment


def register() -> Callable[[object], object]:
    """Return a function that stores a value under one key."""
    registers: dict[str, object] = {}

    def assign(value: object) -> None:
        registers["key"] = value

    return assign


def assigner() -> Callable[[str], object]:
    """Return a function that stores something under a key."""
    values: dict[str, int] = {}

    def assign(key: str) -> None:
        values[key] = 1

    return assign
