"""Closing by hand what nobody is left to close: the inlets behind an iterator that was dropped.

`async for` does not tell its iterator about a `break`; CPython drops the iterator at once, and that is all
the notice there is. Closing must then happen in a `__del__`, where nothing can be awaited. So the closing
coroutine is driven by hand, in one step, under one rule.

Invariant: by hand, nothing waits. An inlet that would wait for its background tasks to end leaves them to
themselves: they have been cancelled, and each closes what it holds. What is not ours to know (the `finally`
blocks of an async generator, an inlet of somebody else) goes through `foreign`:

* On asyncio it starts right there, in the name of a task of its own, so that timeouts inside belong to that
  task: if it never waits, and most never do, everything is closed before the statement after the loop.
  What has to be waited for goes on in that task. (Python 3.12 calls this an eager task; `_enter_task` and
  `_leave_task` are documented for the purpose in "Extending asyncio".)
* On trio a coroutine cannot be moved into a task once it has started, so a system task closes it as soon as
  the loop gets to it. That is what trio does with a dropped async generator, too.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from threading import local
from typing import Any

import anyio

from calliope.flow.inlet import Inlet

try:
    import trio
    from trio.lowlevel import current_trio_token, in_trio_run, in_trio_task, spawn_system_task
except ImportError:  # trio is an extra; without it every loop is asyncio's

    def in_trio_run() -> bool:  # noqa: D103 - documented by trio
        return False

    def in_trio_task() -> bool:  # noqa: D103 - documented by trio
        return False


_logger = logging.getLogger(__name__)
_tasks: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks only weakly


class _Hand(local):
    busy = False


_hand = _Hand()


def in_trio() -> bool:
    """Tell whether the caller is a task of trio's."""
    return in_trio_task()


def is_by_hand() -> bool:
    """Tell whether the caller is being closed by hand and must not wait."""
    return _hand.busy


def dropper() -> Callable[[Inlet[Any]], None]:
    """Return a function that closes an inlet of the loop that runs now, without waiting, from any thread."""
    if in_trio():
        token = current_trio_token()
        return lambda inlet: _drop_on_trio(token, inlet)
    loop = asyncio.get_running_loop()
    return lambda inlet: _drop_on_asyncio(loop, inlet)


def _drop_on_asyncio(loop: asyncio.AbstractEventLoop, inlet: Inlet[Any]) -> None:
    # The garbage collector may run in another thread; a loop that is closed can only be done without.
    if loop is _running_loop() or loop.is_closed():
        _close_by_hand(inlet)
    else:
        loop.call_soon_threadsafe(_close_by_hand, inlet)


def _drop_on_trio(token: "trio.lowlevel.TrioToken", inlet: Inlet[Any]) -> None:
    if in_trio_run() and current_trio_token() is token:
        _close_by_hand(inlet)
        return
    try:
        token.run_sync_soon(_close_by_hand, inlet)
    except trio.RunFinishedError:
        _close_by_hand(inlet)


def _close_by_hand(inlet: Inlet[Any]) -> None:
    before, _hand.busy = _hand.busy, True
    try:
        _first_step(_logged(inlet.aclose))
    finally:
        _hand.busy = before


def _first_step(coroutine: Coroutine[Any, Any, None]) -> None:
    with suppress(StopIteration):
        coroutine.send(None)
    coroutine.close()


async def foreign(close: Callable[[], Awaitable[None]]) -> None:
    """Await a close function that may wait; by hand it is started, and what is left goes on in a task."""
    if not _hand.busy:
        await close()
        return
    _hand.busy = False  # what is not ours may run streams of its own
    try:
        _start_closing(close)
    finally:
        _hand.busy = True


def _start_closing(close: Callable[[], Awaitable[None]]) -> None:
    if in_trio_run():
        spawn_system_task(_shielded, close, context=copy_context())
    elif (loop := _running_loop()) is not None:
        _start_eagerly(loop, close)
    else:
        _first_step(_logged(close))


def _start_eagerly(loop: asyncio.AbstractEventLoop, close: Callable[[], Awaitable[None]]) -> None:
    context, closing, current = copy_context(), _Started(_logged(close)), asyncio.current_task(loop)
    task = asyncio.Task(closing.rest(), loop=loop, context=context)  # by no factory: an eager one would start it
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    if current is not None:
        asyncio._leave_task(loop, current)  # noqa: SLF001 - documented, see above
    asyncio._enter_task(loop, task)  # noqa: SLF001
    try:
        context.run(closing.start)
    finally:
        asyncio._leave_task(loop, task)  # noqa: SLF001
        if current is not None:
            asyncio._enter_task(loop, current)  # noqa: SLF001


def _running_loop() -> asyncio.AbstractEventLoop | None:
    with suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None


async def _shielded(close: Callable[[], Awaitable[None]]) -> None:
    with anyio.CancelScope(shield=True):
        await _logged(close)


async def _logged(close: Callable[[], Awaitable[None]]) -> None:
    try:
        await close()
    except Exception:
        _logger.exception("a stream that was dropped could not be closed")


class _Started:
    """A coroutine whose first step is done at once and whose others, if any, belong to a task."""

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

    async def rest(self) -> None:
        await self

    def __await__(self) -> Generator[Any, Any, None]:
        while not self._ended:
            try:
                sent = yield self._waiting_for
            except BaseException as error:
                self._step(self._coroutine.throw, error)
            else:
                self._step(self._coroutine.send, sent)
