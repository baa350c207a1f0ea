"""Functions that users give, which must have done all that they do when they return."""

from inspect import isasyncgen, isawaitable, isgenerator
from typing import Any


def check_has_run(result: Any, what: str) -> None:
    """Check, by what it returned, that a function has run.

    Raises:
        TypeError: it is an `async def` or a generator, which has done nothing yet.
    """
    if isgenerator(result) or isasyncgen(result) or isawaitable(result):
        if hasattr(result, "close"):
            result.close()
        raise TypeError(f"{what} must be a plain function, neither an `async def` nor a generator: it has not run")
