"""Broadcast: every element goes through several flows at once."""

from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from calliope.flow.arguments import check_count
from calliope.flow.closing import close
from calliope.flow.inlet import Inlet, Open, Stage
from calliope.flow.merging import MergeInlet
from calliope.flow.pump import Pump, Signal, offered
from calliope.flow.stages import Pipe, taken

T = TypeVar("T")


class Distributor(Generic[T]):
    """Pulls one inlet for several branches and gives each element to all of them.

    A branch holds at most `buffer` elements that its consumer has not taken. While one is full, upstream is
    not pulled: the slowest branch sets the pace. A branch that is closed is no longer waited for.
    """

    def __init__(self, upstream: Inlet[T], count: int, buffer: int) -> None:
        self._buffer = buffer
        self._stopped = False
        self._pump = Pump(upstream, self._changed)
        self.branches = [BranchInlet(self) for _ in range(count)]

    @property
    def finished(self) -> bool:
        """Whether nothing more will come; raises the error that upstream ended with."""
        self._pump.check()
        return self._pump.finished

    def request(self) -> None:
        """Pull upstream, for as much as the hungriest branch wants and the fullest has room for."""
        room = min(self._buffer - len(branch.held) for branch in self.branches)
        wanted = max(branch.wanted for branch in self.branches)
        if room and wanted and not self._stopped:
            self._pump.request(min(room, wanted))

    def _changed(self) -> None:
        chunk = self._pump.take(self._pump.waiting)
        for branch in self.branches:
            branch.add(chunk)
        self.request()

    def stop(self) -> None:
        """Pull no more."""
        self._stopped = True

    async def aclose(self) -> None:
        """Close upstream."""
        await self._pump.aclose()

    async def aclose_if_unused(self) -> None:
        """Close upstream if all branches are closed; otherwise those that are left go on."""
        if all(branch.closed for branch in self.branches):
            await self.aclose()
        else:
            self.request()


class BranchInlet(Generic[T]):
    """One of the branches of a broadcast."""

    def __init__(self, distributor: Distributor[T]) -> None:
        self._distributor = distributor
        self._signal = Signal()
        self.held: deque[T] = deque()
        self.wanted = 0
        self.closed = False

    def add(self, chunk: Sequence[T]) -> None:
        """Take its share of what has come, or notices the end."""
        if not self.closed:
            self.held.extend(chunk)
            self.wanted = max(0, self.wanted - len(chunk))
            self._signal.set()

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what has come for this branch."""
        self.wanted = limit
        return await offered(self._signal, self._offer, limit)

    def _offer(self, limit: int) -> Sequence[T] | None:
        if self.closed:
            return ()
        chunk = taken(self.held, limit)
        if not chunk and self._distributor.finished:
            return ()
        if chunk:
            self.wanted = 0
        self._distributor.request()
        return chunk or None

    async def aclose(self) -> None:
        """Leave the broadcast; the last one to leave closes upstream."""
        if not self.closed:
            self.closed = True
            self.wanted = 0
            self.held.clear()
            await self._distributor.aclose_if_unused()


class BroadcastInlet(Generic[T]):
    """Merges what the flows make of their branches."""

    def __init__(self, upstream: Inlet[Any], pipes: Sequence[Pipe[Any, T]], buffer: int) -> None:
        self._distributor = Distributor(upstream, len(pipes), buffer)
        branches = zip(pipes, self._distributor.branches, strict=True)
        self._merge: MergeInlet[T] = MergeInlet([_opened(pipe, branch) for pipe, branch in branches])

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what has come out of the flows."""
        return await self._merge.pull(limit)

    async def aclose(self) -> None:
        """Close all branches and what is upstream."""
        self._distributor.stop()
        await close(self._merge, self._distributor)  # a flow need not have opened its branch


def _opened(pipe: Pipe[Any, T], branch: BranchInlet[Any]) -> Inlet[T]:
    return pipe.attach(lambda: branch)()


def broadcasting(pipes: tuple[Any, ...], buffer: int) -> Stage:
    """Make the stage of `Source.broadcast`."""
    check_count("buffer", buffer)
    if not pipes:
        raise TypeError("broadcast needs at least one flow")
    for pipe in pipes:
        if not isinstance(pipe, Pipe):
            raise TypeError(f"broadcast takes flows, not {pipe!r}")

    def stage(open_upstream: Open) -> Open:
        return lambda: BroadcastInlet(open_upstream(), pipes, buffer)

    return stage
