"""Background tasks, each with an owner that ends it.

A stream that is iterated with `async for` lives in an object, not in a block, so no task group can hold
its background tasks: trio forbids one to stay open across the loop's body in the caller's task. They are
therefore asyncio tasks or trio system tasks. Each is owned by the inlet or run that started it, whose
closing cancels it and waits until it has ended.

Invariant: what runs in such a task reports its errors to its owner and never lets one escape.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any, Protocol

import anyio

from calliope.flow.by_hand import in_trio, is_by_hand

try:
    import trio
    from trio.lowlevel import spawn_system_task
except ImportError:  # trio is an extra
    pass


class WakeUp(Protocol):
    """What one task waits for, once, and others set."""

    def set(self) -> object:
        """Wake the task."""
        ...

    async def wait(self) -> None:
        """Return when it is set."""
        ...


class Background(Protocol):
    """A task in the background."""

    def cancel(self) -> None:
        """Ask the task to end; it ends at its next wait."""
        ...

    async def wait(self) -> None:
        """Return when the task has ended, however it ended."""
        ...


class _AsyncioTask:
    def __init__(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # Not by the loop's task factory: an eager one would run the function before its owner knows the task.
        self._task = asyncio.Task(function(), loop=asyncio.get_running_loop())

    def cancel(self) -> None:
        self._task.cancel()

    async def wait(self) -> None:
        await asyncio.wait([self._task])


class _TrioTask:
    def __init__(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        spawn_system_task(self._run, function, context=copy_context())

    async def _run(self, function: Callable[[], Awaitable[None]]) -> None:
        try:
            with self._scope:
                await function()
        finally:
            self._ended.set()

    def cancel(self) -> None:
        self._scope.cancel()

    async def wait(self) -> None:
        await self._ended.wait()


class _AsyncioWakeUp:
    def __init__(self) -> None:
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        await self._future


def wake_up() -> WakeUp:
    """Return what one task can wait for once and others can set; a fifth of the cost of an `anyio.Event`."""
    return trio.Event() if in_trio() else _AsyncioWakeUp()


def start(function: Callable[[], Coroutine[Any, Any, None]]) -> Background:
    """Start a background task, in a copy of the caller's context; the caller owns it."""
    return _TrioTask(function) if in_trio() else _AsyncioTask(function)


async def end(*tasks: Background) -> None:
    """Cancel tasks and return when all have ended, even if the caller is cancelled meanwhile.

    By hand it only cancels them.
    """
    for task in tasks:
        task.cancel()
    if is_by_hand():
        return
    with anyio.CancelScope(shield=True):
        for task in tasks:
            await task.wait()
