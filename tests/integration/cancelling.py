"""Cancelling a coroutine exactly where it waits for the n-th time, on either event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from types import coroutine as generator_coroutine
from typing import Any, Literal, TypeVar

import anyio

T = TypeVar("T")

Manner = Literal["scope", "task", "resumption"]
"""How it is cancelled: by an anyio scope; by asyncio, which passes through shields; or just as it would resume."""


async def cancelled_at_every_wait(
    manner: Manner, operation: Callable[[], Coroutine[Any, Any, T]]
) -> AsyncIterator[int]:
    """Yield the number of a wait after the operation was cancelled there, until it has no more waits."""
    at = 1
    while await _cancelled_at(at, manner, operation()):
        yield at
        at += 1


async def _cancelled_at(at: int, manner: Manner, operation: Coroutine[Any, Any, object]) -> bool:
    """Run an operation and cancel it at a wait; tell whether it came so far."""
    steps = _Steps(at, operation)
    if manner == "scope":
        with anyio.CancelScope() as scope:
            await steps.run(scope.cancel)
        return steps.reached
    task = asyncio.ensure_future(steps.run(lambda: task.cancel(), resuming=manner == "resumption"))
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return steps.reached


class _Steps:
    def __init__(self, at: int, operation: Coroutine[Any, Any, object]) -> None:
        self._at = at
        self._operation = operation
        self.reached = False

    async def run(self, cancel: Callable[[], object], *, resuming: bool = False) -> None:
        await self._driven(cancel, resuming)

    @generator_coroutine
    def _driven(self, cancel: Callable[[], object], resuming: bool) -> Generator[Any, Any, None]:
        resume: Callable[[Any], Any] = self._operation.send
        value: Any = None
        waits = 0
        while True:
            try:
                waited_for = resume(value)
            except StopIteration:
                return
            waits += 1
            self.reached = self.reached or waits == self._at
            if waits == self._at and not resuming:
                cancel()
            try:
                value = yield waited_for
                resume = self._operation.send
            except BaseException as error:
                resume, value = self._operation.throw, error
            if waits == self._at and resuming:
                resume, value = self._operation.throw, asyncio.CancelledError()
