"""`Stop`: the wish that a run ends gracefully; what waits is let go, what works finishes."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


class Stop:
    """A request that is made once.

    Attributes:
        requested: whether it was made.
    """

    def __init__(self) -> None:
        self.requested = False
        self._waiting: set[anyio.CancelScope] = set()

    def request(self) -> None:
        """Ask for the end; everything that waits under `unless_requested` returns."""
        self.requested = True
        for scope in self._waiting:
            scope.cancel()

    async def unless_requested(self, wait: Callable[[], Awaitable[T]]) -> T | None:
        """Wait for something, or for the request: then return None."""
        if self.requested:
            return None
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                return await wait()
            finally:
                self._waiting.discard(scope)
        return None
