"""Several streams into one: merge takes what comes first, zip takes one of each."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from calliope.flow.closing import close
from calliope.flow.inlet import EVERYTHING, Inlet, Open, Stage
from calliope.flow.pump import Pump, Signal, offered
from calliope.flow.stages import Recipe, check_recipes

T = TypeVar("T")


class MergeInlet(Generic[T]):
    """Hands over elements of all inlets as they come; each keeps its own order.

    All inlets are asked for the whole demand, because nobody knows which one answers, so each may be up to
    one chunk ahead of what is used. The first error ends the stream, after the elements that came before it.
    """

    def __init__(self, inlets: Sequence[Inlet[T]]) -> None:
        self._signal = Signal()
        self._pumps = [Pump(inlet, self._signal.set) for inlet in inlets]

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what has come."""
        return await offered(self._signal, self._offer, limit)

    def _offer(self, limit: int) -> Sequence[T] | None:
        chunk: list[T] = []
        for pump in self._pumps:
            chunk += pump.take(limit - len(chunk))
        for pump in self._pumps:
            if not chunk:
                pump.check()
            if not chunk or limit == EVERYTHING:
                pump.request(limit)
        self._pumps.append(self._pumps.pop(0))  # so that none is always the first to be asked
        return chunk if chunk or all(pump.finished for pump in self._pumps) else None

    async def aclose(self) -> None:
        """Close all inlets."""
        await close(*self._pumps)


class ZipInlet(Generic[T]):
    """Hands over tuples of one element of each inlet, and ends with the shortest."""

    def __init__(self, inlets: Sequence[Inlet[T]]) -> None:
        self._signal = Signal()
        self._pumps = [Pump(inlet, self._signal.set) for inlet in inlets]

    async def pull(self, limit: int) -> Sequence[tuple[T, ...]]:
        """Return the tuples that are complete."""
        return await offered(self._signal, self._offer, limit)

    def _offer(self, limit: int) -> Sequence[tuple[T, ...]] | None:
        count = min(limit, *(pump.waiting for pump in self._pumps))
        if count:
            return list(zip(*(pump.take(count) for pump in self._pumps), strict=True))
        for pump in self._pumps:
            pump.check()
            if pump.finished:
                return ()
            pump.request(limit)
        return None

    async def aclose(self) -> None:
        """Close all inlets."""
        await close(*self._pumps)


def merging(others: tuple[Recipe[Any], ...]) -> Stage:
    """Make the stage of `Source.merge`."""
    check_recipes("merge", others)
    return _joining(MergeInlet, others)


def zipping(others: tuple[Recipe[Any], ...]) -> Stage:
    """Make the stage of `Source.zip`."""
    check_recipes("zip", others)
    return _joining(ZipInlet, others)


def _joining(join: type[MergeInlet[Any]] | type[ZipInlet[Any]], others: tuple[Recipe[Any], ...]) -> Stage:
    def stage(open_upstream: Open) -> Open:
        return lambda: join([open_upstream(), *(other.open() for other in others)])

    return stage
