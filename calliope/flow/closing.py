"""Closing: at the end of a run, and of what nobody is left to close, an iterator that was dropped.

`async for` does not tell its iterator about a `break`; CPython drops the iterator at once, and that is all
the notice there is. Closing must then start in a `__del__`, where nothing can be awaited.

* On asyncio the closing coroutine starts right there, in the name of a task of its own (so that timeouts
  inside belong to that task): if it never waits, and most never do, everything is closed before the
  statement after the loop. What has to be waited for goes on in that task. Python 3.12 calls this an eager
  task; `_enter_task` and `_leave_task` are documented for the purpose ("Extending asyncio").
* On trio a coroutine cannot be moved into a task once it has started, so a system task closes everything
  as soon as the loop gets to it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from typing import Any, TypeVar

import anyio

with suppress(ImportError):  # trio is an extra
    from trio.lowlevel import in_trio_run, spawn_system_task

from calliope.flow.host import in_trio
from calliope.flow.inlet import Inlet

T = TypeVar("T")

_logger = logging.getLogger(__name__)
_tasks: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks only weakly


async def close(inlet: Inlet[Any]) -> None:
    """Closes an inlet to the end, even if the caller is cancelled meanwhile."""
    with anyio.CancelScope(shield=True):
        await inlet.aclose()


@asynccontextmanager
async def opened(inlet: Inlet[T]) -> AsyncIterator[Inlet[T]]:
    """Closes an inlet when the block is left, however it is left; an error of the block comes first."""
    try:
        yield inlet
    except BaseException as error:
        await _close_after(inlet, error)
        raise
    await close(inlet)


async def _close_after(inlet: Inlet[Any], error: BaseException) -> None:
    try:
        await close(inlet)
    except Exception as second:
        error.add_note(f"closing the stream failed as well: {second!r}")


def closer() -> Callable[[Inlet[Any]], None]:
    """Returns the function that closes an inlet from anywhere in the thread of the loop that runs now."""
    if in_trio():
        return _close_on_trio
    loop = asyncio.get_running_loop()
    return lambda inlet: _close_on_asyncio(loop, inlet)


def _close_on_trio(inlet: Inlet[Any]) -> None:
    if in_trio_run():
        spawn_system_task(_closed, inlet.aclose())
    else:
        _first_step(_closed(inlet.aclose()))


def _close_on_asyncio(loop: asyncio.AbstractEventLoop, inlet: Inlet[Any]) -> None:
    coroutine = _closed(inlet.aclose())
    if loop is not _running_loop():
        _first_step(coroutine)
        return
    context, rest, current = copy_context(), _Rest(coroutine), asyncio.current_task(loop)
    task = loop.create_task(rest.run(), context=context)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    if current is not None:
        asyncio._leave_task(loop, current)  # noqa: SLF001 - documented
    asyncio._enter_task(loop, task)  # noqa: SLF001 - documented
    try:
        context.run(rest.start)
    finally:
        asyncio._leave_task(loop, task)  # noqa: SLF001 - documented
        if current is not None:
            asyncio._enter_task(loop, current)  # noqa: SLF001 - documented


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _first_step(coroutine: Coroutine[Any, Any, None]) -> None:
    # The loop is gone: what can be closed without waiting is closed.
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()


async def _closed(closing: Coroutine[Any, Any, None]) -> None:
    try:
        await closing
    except Exception:
        _logger.exception("a stream that was left by break could not be closed")


class _Rest:
    """A coroutine whose first step is done by hand and whose others, if any, belong to a task."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self._waiting_for: Any = None
        self._ended = False

    def start(self) -> None:
        self._step(self._coroutine.send, None)

    def _step(self, step: Callable[[Any], Any], value: Any) -> None:
        try:
            self._waiting_for = step(value)
        except StopIteration:
            self._ended = True

    async def run(self) -> None:
        await self

    def __await__(self) -> Generator[Any, Any, None]:
        while not self._ended:
            try:
                sent = yield self._waiting_for
            except BaseException as error:
                self._step(self._coroutine.throw, error)
            else:
                self._step(self._coroutine.send, sent)
