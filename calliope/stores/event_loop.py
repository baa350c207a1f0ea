"""The event loop, as those see it who work for it in threads: how to run something in it, and how to wait in it."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Protocol

import anyio
from anyio.lowlevel import current_token


class Waiter(Protocol):
    """What a caller awaits: an asyncio future, or what does its work on trio."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: None, /) -> None:
        """End the waiting."""
        ...

    def __await__(self) -> Generator[Any, Any, None]: ...


class EventLoopEndedError(Exception):
    """The event loop ended without closing the lane: nobody is left to tell."""


class _EventWaiter:
    """A future for event loops that have none."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def done(self) -> bool:
        return self._event.is_set()

    def set_result(self, _: None, /) -> None:
        self._event.set()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._event.wait().__await__()


class EventLoop:
    """The event loop that runs now.

    Attributes:
        soon: runs a function in the next turn; called in the loop.
        new_waiter: makes something to wait for; called in the loop.
    """

    def __init__(self) -> None:
        native: Any = current_token().native_token
        self._post: Callable[..., object]
        self.soon: Callable[..., object]
        self.new_waiter: Callable[[], Waiter]
        if isinstance(native, asyncio.AbstractEventLoop):
            self._post, self.soon, self.new_waiter = native.call_soon_threadsafe, native.call_soon, native.create_future
        else:
            self._post, self.soon, self.new_waiter = native.run_sync_soon, native.run_sync_soon, _EventWaiter

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run a function in the loop; for other threads.

        Raises:
            EventLoopEndedError: the loop has ended.
        """
        try:
            self._post(function, *arguments)
        except RuntimeError as error:
            raise EventLoopEndedError from error
