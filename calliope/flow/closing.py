"""Closing at the end of a run: total, and not to be interrupted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import anyio

from calliope.flow.by_hand import is_by_hand
from calliope.flow.inlet import Inlet

T = TypeVar("T")


class Closeable(Protocol):
    """An inlet, or what else must be closed."""

    async def aclose(self) -> None:
        """Close it; calling it again does nothing."""
        ...


async def close(*inlets: Closeable) -> None:
    """Close inlets to the end, all of them, even if the caller is cancelled or one of them fails.

    Raises:
        Exception: the first error of closing, once all are closed.
    """
    if is_by_hand():
        await _close_all(inlets)
        return
    with anyio.CancelScope(shield=True):
        await _close_all(inlets)


async def _close_all(inlets: tuple[Closeable, ...]) -> None:
    errors: list[Exception] = []
    for inlet in inlets:
        try:
            await inlet.aclose()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


@asynccontextmanager
async def opened(inlet: Inlet[T]) -> AsyncIterator[Inlet[T]]:
    """Close an inlet when the block is left, however it is left; an error of the block goes first."""
    try:
        yield inlet
    except BaseException as error:
        try:
            await close(inlet)
        except Exception as second:
            error.add_note(f"closing the stream failed as well: {second!r}")
        raise
    await close(inlet)
