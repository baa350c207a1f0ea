"""A buffer: upstream runs ahead of the consumer, by a bounded number of elements."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar, get_args

from calliope.flow.arguments import check_count
from calliope.flow.errors import BufferOverflowError
from calliope.flow.inlet import Inlet, Stage
from calliope.flow.pump import Pump, Signal, offered
from calliope.flow.stages import attaching, taken

T = TypeVar("T")

Overflow = Literal["backpressure", "drop_oldest", "drop_newest", "drop_buffer", "fail"]
"""What a full buffer does when an element comes.

`backpressure` does not let it come: upstream is not pulled until there is room. The others pull on and on:
`drop_oldest` makes room, `drop_newest` drops the one that comes, `drop_buffer` drops all that are held, and
`fail` ends the stream with `BufferOverflowError` once those that are held have been handed over.
"""


class BufferInlet(Generic[T]):
    """Pulls upstream on its own account, from the first pull on, and holds at most `n` elements."""

    def __init__(self, upstream: Inlet[T], n: int, overflow: Overflow) -> None:
        self._n = n
        self._held: deque[T] = deque()
        self._add = _ADD[overflow]
        self._waits_for_room = overflow == "backpressure"
        self._error: Exception | None = None
        self._signal = Signal()
        self._pump = Pump(upstream, self._changed)

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what is held, or what comes next."""
        return await offered(self._signal, self._offer, limit)

    def _offer(self, limit: int) -> Sequence[T] | None:
        held = self._held
        chunk = taken(held, limit)
        if not chunk:
            self._check()
        self._request()
        return chunk if chunk or self._pump.finished else None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        self._pump.check()

    def _request(self) -> None:
        room = self._n - len(self._held) if self._waits_for_room else self._n
        if room and self._error is None:
            self._pump.request(room)

    def _changed(self) -> None:
        try:
            self._add(self._held, self._pump.take(self._pump.waiting), self._n)
        except BufferOverflowError as error:
            self._error = error
        self._request()
        self._signal.set()

    async def aclose(self) -> None:
        """Close what is upstream; elements that are held are dropped."""
        self._held.clear()
        self._error = None
        await self._pump.aclose()


def _drop_oldest(held: deque[Any], chunk: Sequence[Any], n: int) -> None:
    held.extend(chunk)
    for _ in range(len(held) - n):
        held.popleft()


def _drop_newest(held: deque[Any], chunk: Sequence[Any], n: int) -> None:
    held.extend(chunk[: n - len(held)])


def _drop_buffer(held: deque[Any], chunk: Sequence[Any], n: int) -> None:
    for element in chunk:
        if len(held) == n:
            held.clear()
        held.append(element)


def _fail(held: deque[Any], chunk: Sequence[Any], n: int) -> None:
    overflows = len(chunk) > n - len(held)
    held.extend(chunk[: n - len(held)])
    if overflows:
        raise BufferOverflowError(n)


_ADD: dict[str, Callable[[deque[Any], Sequence[Any], int], None]] = {
    "backpressure": _fail,  # which never happens: no more is requested than there is room for
    "drop_oldest": _drop_oldest,
    "drop_newest": _drop_newest,
    "drop_buffer": _drop_buffer,
    "fail": _fail,
}


def buffering(n: int, overflow: Overflow) -> Stage:
    """Make the stage of `Source.buffer`."""
    check_count("n", n)
    if overflow not in _ADD:
        raise ValueError(f"overflow must be one of {', '.join(get_args(Overflow))}, not {overflow!r}")
    return attaching(lambda upstream: BufferInlet(upstream, n, overflow))
