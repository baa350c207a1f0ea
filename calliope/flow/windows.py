"""Stages that count: how many elements pass, how many are left out, how many go together."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from calliope.flow.arguments import check_count
from calliope.flow.inlet import CHUNK, EVERYTHING, Inlet, Stage
from calliope.flow.stages import attaching

T = TypeVar("T")


class TakeInlet(Generic[T]):
    """Lets a number of elements pass, and asks for none beyond."""

    def __init__(self, upstream: Inlet[T], n: int) -> None:
        self._upstream = upstream
        self._remaining = n

    async def pull(self, limit: int) -> Sequence[T]:
        """Return the next elements, as long as there are any left to take."""
        if not self._remaining:
            return ()
        chunk = await self._upstream.pull(min(limit, self._remaining))
        self._remaining = self._remaining - len(chunk) if chunk else 0
        return chunk

    async def aclose(self) -> None:
        """Close what is upstream."""
        self._remaining = 0
        await self._upstream.aclose()


class DropInlet(Generic[T]):
    """Leaves out a number of elements, and lets all others pass."""

    def __init__(self, upstream: Inlet[T], n: int) -> None:
        self._upstream = upstream
        self._remaining = n

    async def pull(self, limit: int) -> Sequence[T]:
        """Return the next elements after those that are left out."""
        while self._remaining:
            chunk = await self._upstream.pull(min(self._remaining, CHUNK))
            self._remaining = self._remaining - len(chunk) if chunk else 0
        return await self._upstream.pull(limit)

    async def aclose(self) -> None:
        """Close what is upstream."""
        await self._upstream.aclose()


class BatchInlet(Generic[T]):
    """Puts elements together in lists of one length; the last one may be shorter."""

    def __init__(self, upstream: Inlet[T], n: int) -> None:
        self._upstream = upstream
        self._n = n
        self._held: list[T] = []
        self._ended = False
        self._error: Exception | None = None

    async def pull(self, limit: int) -> Sequence[list[T]]:
        """Return the batches that are full, or the rest at the end."""
        while len(self._held) < self._n and not self._ended:
            try:
                chunk = await self._upstream.pull(self._demand(limit))
            except Exception as error:
                self._error, chunk = error, ()
            self._ended = not chunk
            self._held += chunk
        return self._full() or self._rest()

    def _demand(self, limit: int) -> int:
        return EVERYTHING if limit > EVERYTHING // self._n else limit * self._n - len(self._held)

    def _full(self) -> list[list[T]]:
        end = len(self._held) - len(self._held) % self._n
        batches = [self._held[start : start + self._n] for start in range(0, end, self._n)]
        del self._held[:end]
        return batches

    def _rest(self) -> list[list[T]]:
        rest, self._held = self._held, []
        if not rest and self._error is not None:
            raise self._error
        return [rest] if rest else []

    async def aclose(self) -> None:
        """Close what is upstream."""
        self._ended, self._error = True, None
        self._held = []
        await self._upstream.aclose()


def taking(n: int) -> Stage:
    """Make the stage of `Source.take`."""
    check_count("n", n, minimum=0)
    return attaching(lambda upstream: TakeInlet(upstream, n))


def dropping(n: int) -> Stage:
    """Make the stage of `Source.drop`."""
    check_count("n", n, minimum=0)
    return attaching(lambda upstream: DropInlet(upstream, n))


def batching(n: int) -> Stage:
    """Make the stage of `Source.batch`."""
    check_count("n", n)
    return attaching(lambda upstream: BatchInlet(upstream, n))
