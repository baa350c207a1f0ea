"""Several streams into one: merge takes what comes first, zip takes one of each."""

from collections import deque
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
    What one element costs does not depend on how many inlets there are.
    """

    def __init__(self, inlets: Sequence[Inlet[T]]) -> None:
        self._signal = Signal()
        self._ready: deque[Pump[T]] = deque()  # where something has come: elements, the end or an error
        self._pumps = [self._pump(inlet) for inlet in inlets]
        self._idle = list(self._pumps)  # where nothing is under way
        self._unfinished = set(self._pumps)

    def _pump(self, inlet: Inlet[T]) -> Pump[T]:
        def changed() -> None:
            self._ready.append(pump)
            self._signal.set()

        pump = Pump(inlet, changed)
        return pump

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what has come."""
        return await offered(self._signal, self._offer, limit)

    def _offer(self, limit: int) -> Sequence[T] | None:
        chunk = self._come(limit)
        if not chunk or limit == EVERYTHING:
            for pump in self._idle:
                pump.request(limit)
            self._idle.clear()
        return chunk if chunk or not self._unfinished else None

    def _come(self, limit: int) -> list[T]:
        chunk: list[T] = []
        while self._ready and len(chunk) < limit:
            pump = self._ready.popleft()
            chunk += pump.take(limit - len(chunk))
            if pump.waiting:
                self._ready.append(pump)
            elif pump.error is not None:
                self._ready.appendleft(pump)
                if not chunk:
                    pump.check()
                return chunk
            elif pump.finished:
                self._unfinished.discard(pump)
            else:
                self._idle.append(pump)
        return chunk

    async def aclose(self) -> None:
        """Close all inlets."""
        await close(*self._pumps)
        self._ready.clear()


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
