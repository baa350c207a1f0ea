"""Asynchronous functions, several calls at a time, each in a task of its own."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import anyio

from calliope.flow import host
from calliope.flow.arguments import check_callable, check_count
from calliope.flow.closing import close
from calliope.flow.inlet import Inlet, Stage
from calliope.flow.pump import Pump, Signal, offered
from calliope.flow.stages import attaching

T = TypeVar("T")
U = TypeVar("U")


class _Call(Generic[U]):
    """One call of the function: under way, or done with a result or an error."""

    def __init__(self, awaitable: Callable[[], Awaitable[U]], done: Callable[["_Call[U]"], None]) -> None:
        self._awaitable = awaitable
        self._done = done
        self._results: list[U] = []
        self._error: BaseException | None = None
        self.is_done = False
        self.task = host.start(self._run)

    async def _run(self) -> None:
        try:
            self._results.append(await self._awaitable())
        except anyio.get_cancelled_exc_class() as error:
            self._error = error
            raise
        except BaseException as error:
            self._error = error
        finally:
            self.is_done = True
            self._done(self)

    @property
    def failed(self) -> bool:
        """Whether it is done and raised something."""
        return self._error is not None

    def result(self) -> U:
        """Return what the function returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]

    def forget(self) -> None:
        """Keep no error: see the rules of `inlet`."""
        self._error = None


class ParallelInlet(Generic[T, U]):
    """Calls a function with every element, at most `parallelism` calls at a time.

    `parallelism` bounds everything: an element counts from being pulled until its result is handed over.
    """

    def __init__(
        self, upstream: Inlet[T], function: Callable[[T], Awaitable[U]], parallelism: int, *, ordered: bool
    ) -> None:
        self._function = function
        self._parallelism = parallelism
        self._ordered = ordered
        self._calls: set[_Call[U]] = set()
        self._line: deque[_Call[U]] = deque()  # whose result goes next: by element, or by completion
        self._failed = False
        self._signal = Signal()
        self._pump = Pump(upstream, self._signal.set)

    async def pull(self, limit: int) -> Sequence[U]:
        """Return the results that are next in line and done."""
        return await offered(self._signal, self._offer, limit)

    def _offer(self, limit: int) -> Sequence[U] | None:
        results = self._results(limit)
        self._start(limit - len(results))
        if results:
            return results
        if not self._calls:
            self._pump.check()
        return () if self._pump.finished and not self._calls else None

    def _results(self, limit: int) -> list[U]:
        results: list[U] = []
        while len(results) < limit and self._line and self._line[0].is_done:
            try:
                results.append(self._line[0].result())
            except BaseException:
                if results:
                    return results
                raise
            self._calls.discard(self._line.popleft())
        return results

    def _start(self, limit: int) -> None:
        room = min(self._parallelism, limit) - len(self._calls)
        if room <= 0 or self._failed:
            return
        for element in self._pump.take(room):
            call = _Call(partial(self._function, element), self._done)
            self._calls.add(call)
            if self._ordered:
                self._line.append(call)
        room = min(self._parallelism, limit) - len(self._calls)
        if room > 0:
            self._pump.request(room)

    def _done(self, call: _Call[U]) -> None:
        self._failed = self._failed or call.failed
        if not self._ordered:
            self._line.append(call)
        self._signal.set()

    async def aclose(self) -> None:
        """Cancel the calls that are under way and close what is upstream."""
        await host.end(*(call.task for call in self._calls))
        for call in self._calls:
            call.forget()
        self._calls.clear()
        self._line.clear()
        await close(self._pump)


def mapping_async(function: Callable[[Any], Awaitable[Any]], parallelism: int, *, ordered: bool) -> Stage:
    """Make the stages of `Source.map_async` and `Source.map_async_unordered`."""
    check_callable("function", function)
    check_count("parallelism", parallelism)
    return attaching(lambda upstream: ParallelInlet(upstream, function, parallelism, ordered=ordered))
