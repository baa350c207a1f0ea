"""A bounded queue between code that has elements and a stream that hands them on."""

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from calliope.flow.arguments import check_count
from calliope.flow.errors import StreamClosedError
from calliope.flow.inlet import CHUNK
from calliope.flow.pace import give_way
from calliope.flow.pump import Signal
from calliope.flow.stages import taken

T = TypeVar("T")


class Queue(Generic[T]):
    """Holds at most `capacity` elements; putting waits for room, taking waits for elements.

    Any number of tasks of one event loop may put and take; each element is taken once.
    """

    def __init__(self, capacity: int) -> None:
        check_count("capacity", capacity)
        self._capacity = capacity
        self._held: deque[T] = deque()
        self._is_closed = False
        self._error: BaseException | None = None
        self._putters: deque[Signal] = deque()
        self._takers: deque[Signal] = deque()

    @property
    def capacity(self) -> int:
        """How many elements it holds at most."""
        return self._capacity

    def __len__(self) -> int:
        return len(self._held)

    @property
    def room(self) -> int:
        """How many elements it has room for now."""
        return self._capacity - len(self._held)

    async def put(self, element: T) -> None:
        """Add an element as soon as there is room; a caller that is cancelled has not added it.

        Raises:
            StreamClosedError: the queue is closed, or was closed meanwhile.
        """
        await give_way()
        while not self.offer(element):
            await _wait(self._putters)

    def offer(self, element: T) -> bool:
        """Add an element if there is room, and say whether there was; raise `StreamClosedError` like `put`."""
        if self._is_closed:
            raise StreamClosedError(f"an element was put into a queue that is closed: {element!r}")
        if not self.room:
            return False
        self._held.append(element)
        _wake(self._takers, 1)
        return True

    async def wait_for_room(self) -> int:
        """Return how many elements there is room for, once that is at least 1; raise like `put`."""
        while not self.room and not self._is_closed:
            await _wait(self._putters)
        if self._is_closed:
            raise StreamClosedError("the queue that a stream flows into is closed")
        return self.room

    def close(self) -> None:
        """Let the stream end after the elements that are held; putting fails from now on."""
        self._is_closed = True
        _wake(self._putters, len(self._putters))
        _wake(self._takers, len(self._takers))

    def fail(self, error: BaseException) -> None:
        """Let the stream fail with an error after the elements that are held; putting fails from now on."""
        if not self._is_closed:
            self._error = error
            self.close()

    async def get(self, limit: int) -> Sequence[T]:
        """Return the next elements, at most `limit`; none once it is closed and empty."""
        await give_way()
        while not self._held:
            if self._error is not None:
                raise self._error
            if self._is_closed:
                return ()
            await _wait(self._takers)
        chunk = taken(self._held, min(limit, CHUNK))
        _wake(self._putters, len(chunk))
        return chunk


class QueueInlet(Generic[T]):
    """Takes from a queue; closing it leaves the queue and what it holds to the next run."""

    def __init__(self, queue: Queue[T]) -> None:
        self._queue = queue
        self._ended = False

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what is in the queue."""
        return () if self._ended else await self._queue.get(limit)

    async def aclose(self) -> None:
        """Take no more."""
        self._ended = True


async def _wait(waiting: deque[Signal]) -> None:
    signal = Signal()
    waiting.append(signal)
    try:
        await signal.wait()
    except BaseException:
        # Cancelled: if it has been woken already, somebody else must be.
        if signal in waiting:
            waiting.remove(signal)
        else:
            _wake(waiting, 1)
        raise


def _wake(waiting: deque[Signal], count: int) -> None:
    for _ in range(min(count, len(waiting))):
        waiting.popleft().set()
