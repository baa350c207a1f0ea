"""Who owns what runs: a block, which ends it, and which gets its error as it is."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio


@contextmanager
def single_error() -> Iterator[None]:
    """Raise the error of a task group as it is when there is just one, so that `except` finds it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if error is group:
            raise
        raise error from error.__cause__


@asynccontextmanager
async def owned(run: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run something until the block is left; its error cancels the block and is raised in its place."""
    with single_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
