"""`Pipeline`: a source with a sink behind it, and `Run`: a pipeline that flows while a block lasts."""

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, TypeVar

import anyio

from calliope.flow import host
from calliope.flow.closing import opened
from calliope.flow.errors import RunDisposedError
from calliope.flow.inlet import Open
from calliope.flow.sink import Sink

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Pipeline(Generic[R_co]):
    """A recipe that lacks nothing: it can be run, as often as one likes."""

    def __init__(self, open: Open, sink: Sink[Any, R_co]) -> None:  # noqa: A002 - the verb of the domain
        if not isinstance(sink, Sink):
            raise TypeError(f"a stream runs into a Sink, not into {sink!r}")
        self._open = open
        self._sink = sink

    async def run(self) -> R_co:
        """Run until the stream ends or the sink has enough, and return the sink's result."""
        async with opened(self._open()) as inlet:
            return await self._sink.consume(inlet)

    def running(self) -> "Run[R_co]":
        """Run in the background of an `async with` block; leaving the block disposes it."""
        return Run(self.run)


class Run(Generic[R]):
    """A stream that flows into a sink while the block of an `async with` is executed.

    Leaving the block ends the stream, closes everything upstream and waits until that is done. If the
    stream fails, the block is cancelled and the error raised in its place, unless `result()` is where it
    surfaces.
    """

    def __init__(self, flow: Callable[[], Coroutine[Any, Any, R]]) -> None:
        self._flow = flow
        self._results: list[R] = []
        self._error: BaseException | None = None
        self._error_is_known = False
        self._listeners = 0
        self._disposing = False
        self._ended = anyio.Event()
        self._block = anyio.CancelScope()

    @property
    def done(self) -> bool:
        """Whether the stream has ended, with a result or with an error."""
        return self._ended.is_set()

    async def result(self) -> R:
        """Return what the sink made of the stream, once the stream has ended.

        Raises:
            RunDisposedError: the block was left before the stream ended, so there is no result.
        """
        self._listeners += 1
        try:
            await self._ended.wait()
        finally:
            self._listeners -= 1
        if self._error is not None:
            self._error_is_known = True
            raise self._error
        for result in self._results:
            return result
        raise RunDisposedError

    async def __aenter__(self) -> "Run[R]":
        self._block.__enter__()
        self._task = host.start(self._main)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._disposing = True
        try:
            await host.end(self._task)
        finally:
            self._ended.set()
            cancelled_by_us = self._block.__exit__(kind, error, traceback)
        if self._error is not None and not self._error_is_known and (error is None or cancelled_by_us):
            raise self._error
        return bool(cancelled_by_us)

    async def _main(self) -> None:
        try:
            self._results.append(await self._flow())
        except BaseException as error:
            if self._disposing and isinstance(error, anyio.get_cancelled_exc_class()):
                raise
            self._error = error
            if not self._listeners:
                self._block.cancel()
        finally:
            self._ended.set()
