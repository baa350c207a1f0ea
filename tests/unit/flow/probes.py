"""Streams that remember what was asked of them, and one pipeline for every stage there is."""

from collections.abc import Callable, Sequence
from typing import Any

import anyio

from calliope.flow import Flow, Source


class Probe:
    """A stream that remembers what it was asked for, what it handed out, and whether it was closed.

    After its elements it fails, ends, or (`stalls`) never says anything again.
    """

    def __init__(
        self,
        elements: Sequence[Any],
        *,
        error: BaseException | None = None,
        stalls: bool = False,
        chunk: int = 256,
        closing_waits: bool = False,
    ) -> None:
        self.elements = list(elements)
        self.error = error
        self.stalls = stalls
        self.chunk = chunk
        self.closing_waits = closing_waits
        self.opened = 0
        self.closed = 0
        self.demands: list[int] = []
        self.handed: list[Any] = []
        self.is_stalled = False

    @property
    def source(self) -> Source[Any]:
        return Source.from_inlet(self._open)

    @property
    def is_closed(self) -> bool:
        """Whether every run of it has been closed, exactly once."""
        return self.opened == self.closed

    def _open(self) -> "ProbeInlet":
        self.opened += 1
        return ProbeInlet(self)


class ProbeInlet:
    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.rest = list(probe.elements)
        self.pulling = False

    async def pull(self, limit: int) -> Sequence[Any]:
        probe = self.probe
        assert not self.pulling, "pulled twice at the same time"
        assert limit > 0, "pulled for nothing"
        self.pulling = True
        try:
            probe.demands.append(limit)
            size = min(limit, probe.chunk)
            chunk, self.rest = self.rest[:size], self.rest[size:]
            probe.handed += chunk
            if chunk:
                return chunk
            if probe.error is not None:
                raise probe.error
            if probe.stalls:
                probe.is_stalled = True
                await anyio.sleep_forever()
            return []
        finally:
            self.pulling = False

    async def aclose(self) -> None:
        assert not self.pulling, "closed while it is pulled"
        if self.probe.closing_waits:
            await anyio.lowlevel.checkpoint()
        self.probe.closed += 1


class RushingClock:
    """A clock on which every sleep is over at once."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += max(seconds, 0)
        await anyio.lowlevel.checkpoint()


async def identity(element: Any) -> Any:
    await anyio.lowlevel.checkpoint()
    return element


def anything(element: Any) -> bool:
    return True


NEVER: Source[Any] = Source.from_inlet(Probe((), stalls=True)._open)

STAGES: dict[str, Callable[[Source[Any], Source[Any]], Source[Any]]] = {
    "map": lambda source, other: source.map(lambda x: x),
    "filter": lambda source, other: source.filter(anything),
    "flat_map to lists": lambda source, other: source.flat_map(lambda x: [x]),
    "flat_map to sources": lambda source, other: source.flat_map(Source.single),
    "flat_map inside": lambda source, other: Source.of(1).flat_map(lambda _: source),
    "concat before": lambda source, other: source.concat(other),
    "concat after": lambda source, other: Source.empty().concat(source),
    "merge": lambda source, other: source.merge(other),
    "zip": lambda source, other: source.zip(other),
    "scan": lambda source, other: source.scan(0, lambda state, element: element).drop(1),
    "take": lambda source, other: source.take(1_000),
    "take_while": lambda source, other: source.take_while(anything),
    "drop": lambda source, other: source.drop(0),
    "drop_while": lambda source, other: source.drop_while(lambda element: False),
    "batch": lambda source, other: source.batch(1),
    "batch_within": lambda source, other: source.batch_within(1, 1, clock=RushingClock()),
    "buffer": lambda source, other: source.buffer(5),
    "buffer that drops": lambda source, other: source.buffer(50, "drop_oldest"),
    "distinct": lambda source, other: source.distinct(),
    "throttle": lambda source, other: source.throttle(1, 1, clock=RushingClock()),
    "debounce": lambda source, other: source.debounce(1, clock=RushingClock()),
    "map_async": lambda source, other: source.map_async(identity, parallelism=4),
    "map_async_unordered": lambda source, other: source.map_async_unordered(identity, parallelism=4),
    "group_by": lambda source, other: source.group_by(lambda element: element),
    "broadcast": lambda source, other: source.broadcast(Flow(), Flow()),
    "recover": lambda source, other: source.recover(lambda error: [], errors=LookupError),
    "recover after": lambda source, other: Source.failed(LookupError()).recover(lambda error: source),
    "retry": lambda source, other: source.retry(clock=RushingClock(), errors=LookupError),
    "timeout": lambda source, other: source.timeout(3_600),
    "on_each": lambda source, other: source.on_each(lambda element: None),
    "on_each async": lambda source, other: source.on_each(identity),
    "via": lambda source, other: source.via(Flow[Any, Any]().map(lambda x: x).buffer(2)),
    "many": lambda source, other: source.map(lambda x: x).merge(other).buffer(3).map_async(identity, 2).take(1_000),
}
"""Every stage between a source and a consumer, so that each element of the source comes out again, one for one."""
