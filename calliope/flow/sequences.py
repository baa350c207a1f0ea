"""Streams after streams: concat, flat_map, recover; one inlet at a time, each closed before the next opens."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

from calliope.flow.arguments import check_callable
from calliope.flow.closing import close
from calliope.flow.inlet import CHUNK, EVERYTHING, Inlet, Open, Stage
from calliope.flow.origins import IterableInlet
from calliope.flow.stages import Recipe, attaching, check_recipes, inlet_of
from calliope.flow.transforms import accumulating, mapping

T = TypeVar("T")


class ConcatInlet(Generic[T]):
    """Hands over the elements of one inlet after the other."""

    def __init__(self, opens: Iterable[Open]) -> None:
        self._opens = iter(opens)
        self._inlet: Inlet[T] | None = None

    async def pull(self, limit: int) -> Sequence[T]:
        """Return the next elements of the current inlet, or of the next one that has any."""
        while True:
            if self._inlet is None:
                open_next = next(self._opens, None)
                if open_next is None:
                    return ()
                self._inlet = open_next()
            if chunk := await self._inlet.pull(limit):
                return chunk
            await self._close_current()

    async def _close_current(self) -> None:
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            await close(inlet)

    async def aclose(self) -> None:
        """Close the current inlet and open no other."""
        self._opens = iter(())
        await self._close_current()


def concatenating(others: tuple[Recipe[Any], ...]) -> Stage:
    """Make the stage of `Source.concat`."""
    check_recipes("concat", others)

    def stage(open_upstream: Open) -> Open:
        return lambda: ConcatInlet((open_upstream, *(other.open for other in others)))

    return stage


def scanning(initial: Any, function: Callable[[Any, Any], Any]) -> Stage:
    """Make the stage of `Source.scan`."""
    accumulate = accumulating(initial, function)

    def stage(open_upstream: Open) -> Open:
        return lambda: ConcatInlet((lambda: IterableInlet((initial,)), accumulate(open_upstream)))

    return stage


class FlattenInlet(Generic[T]):
    """Hands over the elements of the streams that are the elements of its upstream."""

    def __init__(self, upstream: Inlet[Any]) -> None:
        self._upstream = upstream
        self._outer: Iterator[Any] = iter(())
        self._inner: Iterator[T] | None = None
        self._inlet: Inlet[T] | None = None
        self._error: Exception | None = None

    async def pull(self, limit: int) -> Sequence[T]:
        """Return the next elements of the current inner stream, or of the next one that has any."""
        chunk: list[T] = []
        size = min(limit, CHUNK)
        while not self._fill(chunk, size):
            if self._inlet is not None:
                if elements := await self._inlet.pull(limit):
                    return elements
                await self._close_inner()
            else:
                # What one element expands to may be all that is wanted, so a limited demand opens one at a time.
                outer = await self._upstream.pull(limit if limit == EVERYTHING else 1)
                if not outer:
                    break
                self._outer = iter(outer)
        return chunk

    def _fill(self, chunk: list[T], size: int) -> bool:
        """Add what is there without waiting; say whether that is what should be handed over now."""
        if self._error is not None:
            raise self._error
        try:
            self._extend(chunk, size)
        except Exception as error:
            if not chunk:
                raise
            self._error = error
        return bool(chunk)

    def _extend(self, chunk: list[T], size: int) -> None:
        while self._inlet is None:
            if self._inner is not None:
                chunk.extend(islice(self._inner, size - len(chunk)))
                if len(chunk) == size:
                    return
                self._inner = None
            for stream in self._outer:
                if type(stream) in (list, tuple) and len(stream) <= size - len(chunk):
                    chunk += stream
                else:
                    self._enter(stream)
                    break
            else:
                return

    def _enter(self, stream: Any) -> None:
        if isinstance(stream, list | tuple) or (isinstance(stream, Iterable) and not isinstance(stream, Recipe)):
            self._inner = iter(stream)
        else:
            self._inlet = inlet_of(stream)

    async def _close_inner(self) -> None:
        inner, self._inner = self._inner, None
        inlet, self._inlet = self._inlet, None
        if isinstance(inner, Generator):
            inner.close()
        if inlet is not None:
            await close(inlet)

    async def aclose(self) -> None:
        """Close the current inner stream and what is upstream."""
        self._outer, self._error = iter(()), None
        try:
            await self._close_inner()
        finally:
            await self._upstream.aclose()


def flat_mapping(function: Callable[[Any], Any]) -> Stage:
    """Make the stage of `Source.flat_map`."""
    to_streams = mapping(function)
    flatten = attaching(FlattenInlet)
    return lambda open_upstream: flatten(to_streams(open_upstream))


class RecoverInlet(Generic[T]):
    """Goes on with another stream when its upstream fails."""

    def __init__(self, upstream: Inlet[T], function: Callable[[Any], Any], errors: tuple[type[Exception], ...]) -> None:
        self._inlet = upstream
        self._function = function
        self._errors = errors

    async def pull(self, limit: int) -> Sequence[T]:
        """Return the next elements of upstream; after its error, those of the stream that replaces it."""
        try:
            return await self._inlet.pull(limit)
        except self._errors as error:
            await close(self._inlet)
            self._errors = ()
            self._inlet = inlet_of(self._function(error))
        return await self._inlet.pull(limit)

    async def aclose(self) -> None:
        """Close the current stream."""
        await self._inlet.aclose()


def recovering(function: Callable[[Any], Any], errors: Any) -> Stage:
    """Make the stage of `Source.recover`."""
    check_callable("function", function)
    kinds = checked_errors(errors)
    return attaching(lambda upstream: RecoverInlet(upstream, function, kinds))


def checked_errors(errors: Any) -> tuple[type[Exception], ...]:
    """Return one or several exception classes as a tuple; raise `TypeError` if they are none."""
    kinds = errors if isinstance(errors, tuple) else (errors,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"errors must be exception classes, not {kind!r}")
    return kinds
