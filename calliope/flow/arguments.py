"""Checks of what recipes are built from: a mistake is reported where it was made, not where it runs."""

from collections.abc import AsyncIterable, Iterable
from typing import Any


def check_callable(name: str, value: Any) -> None:
    """Raise `TypeError` unless the value can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, not {value!r}")


def check_count(name: str, value: Any, *, minimum: int = 1) -> None:
    """Raise `TypeError` unless the value is an int, `ValueError` if it is under the minimum."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {value}")


def check_seconds(name: str, value: Any) -> None:
    """Raise `TypeError` unless the value is a number, `ValueError` unless it is over 0."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not value > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {value!r}")


def check_iterable(name: str, value: Any) -> None:
    """Raise `TypeError` unless the value is an iterable."""
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be iterable, not {value!r}")


def check_async_iterable(name: str, value: Any) -> None:
    """Raise `TypeError` unless the value is an async iterable."""
    if not isinstance(value, AsyncIterable):
        raise TypeError(f"{name} must be an async iterable, not {value!r}")
