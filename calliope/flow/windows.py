"""Stages that count: how many elements pass, how many are left out, how many go together."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from calliope.flow.arguments import check_count
from calliope.flow.inlet import Inlet
from calliope.flow.transforms import Stage

T = TypeVar("T")


class TakeInlet(Generic[T]):
    """Lets a number of elements pass, and asks for none beyond."""

    def __init__(self, upstream: Inlet[T], n: int) -> None:
        self._upstream = upstream
        self._remaining = n

    async def pull(self, limit: int) -> Sequence[T]:
        """Returns the next elements, as long as there are any left to take."""
        if not self._remaining:
            return []
        chunk = await self._upstream.pull(min(limit, self._remaining))
        self._remaining = self._remaining - len(chunk) if chunk else 0
        return chunk

    async def aclose(self) -> None:
        """Closes what is upstream."""
        self._remaining = 0
        await self._upstream.aclose()


def taking(n: int) -> Stage:
    """Makes the stage of `Source.take`."""
    check_count("n", n, minimum=0)
    return lambda upstream: TakeInlet(upstream, n)
