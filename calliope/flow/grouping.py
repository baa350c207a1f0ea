"""group_by: one stream becomes a stream of streams, one for each key."""

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from calliope.flow.arguments import check_callable, check_count
from calliope.flow.errors import StreamClosedError, TooManyGroupsError
from calliope.flow.inlet import CHUNK, Inlet, Stage
from calliope.flow.pump import Pump, Signal, offered
from calliope.flow.stages import attaching, taken

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class GroupInlet(Generic[K, T]):
    """The elements of one key; it can be opened once."""

    def __init__(self, grouping: "GroupingInlet[K, T]", key: K) -> None:
        self._grouping = grouping
        self._is_open = False
        self.key = key
        self.signal = Signal()
        self.held: deque[T] = deque()
        self.closed = False

    def open(self) -> "GroupInlet[K, T]":
        """Return itself, the first time."""
        if self._is_open:
            raise StreamClosedError(f"the group {self.key!r} was opened before, and its elements flow only once")
        self._is_open = True
        return self

    async def pull(self, limit: int) -> Sequence[T]:
        """Return what has come for this key."""
        with self._grouping.wanting(limit):
            chunk = await offered(self.signal, self._offer, limit)
        self._grouping.advance()
        return chunk

    def _offer(self, limit: int) -> Sequence[T] | None:
        if self.closed:
            return ()
        if self.held:
            return taken(self.held, limit)
        if self._grouping.finished:
            return ()
        self._grouping.advance()
        return None if not self.held else taken(self.held, limit)

    async def aclose(self) -> None:
        """Leave the elements of this key that are still to come to be dropped."""
        self.closed = True
        self.held.clear()
        self._grouping.advance()


class GroupingInlet(Generic[K, T]):
    """Hands over the groups as their keys turn up; pulling it or any group pulls upstream.

    A group holds at most `buffer` elements that have not been taken. While the next element belongs to a
    group that is full, nothing moves. At most `max_groups` keys may turn up. What one element costs does not
    depend on how many groups there are.
    """

    def __init__(self, upstream: Inlet[T], key: Callable[[T], K], max_groups: int, buffer: int) -> None:
        self._key = key
        self._max_groups = max_groups
        self._buffer = buffer
        self._groups: dict[K, GroupInlet[K, T]] = {}
        self._new: deque[GroupInlet[K, T]] = deque()
        self._arrived: deque[T] = deque()
        self._next: GroupInlet[K, T] | None = None  # where the first of those that have arrived belongs
        self._wants: Counter[int] = Counter()  # how many wait for how much
        self._error: BaseException | None = None
        self._end_is_known = False
        self._signal = Signal()
        self._pump = Pump(upstream, self._changed)

    @property
    def finished(self) -> bool:
        """Whether all elements are with their groups and no more will come; raises what the stream failed with."""
        if self._error is not None:
            raise self._error
        if self._arrived:
            return False
        self._pump.check()
        return self._pump.finished

    @contextmanager
    def wanting(self, limit: int) -> Iterator[None]:
        """Count somebody among those who wait for elements."""
        self._wants[limit] += 1
        try:
            yield
        finally:
            self._wants[limit] -= 1
            if not self._wants[limit]:
                del self._wants[limit]

    async def pull(self, limit: int) -> Sequence[GroupInlet[K, T]]:
        """Return the groups whose keys have turned up."""
        with self.wanting(limit):
            groups = await offered(self._signal, self._offer, limit)
        self.advance()
        return groups

    def _offer(self, limit: int) -> Sequence[GroupInlet[K, T]] | None:
        if not self._new:
            if self.finished:
                return ()
            self.advance()
        return taken(self._new, limit) or None

    def advance(self) -> None:
        """Move elements to their groups; when there are none, pull for whoever waits."""
        self._distribute()
        self._announce_end()
        if self._wants and not self._arrived and self._error is None:
            self._pump.request(min(max(self._wants), CHUNK))

    def _changed(self) -> None:
        self._arrived.extend(self._pump.take(self._pump.waiting))
        self.advance()

    def _announce_end(self) -> None:
        has_ended = self._error is not None or (self._pump.finished and not self._arrived)
        if not has_ended or self._end_is_known:
            return
        self._end_is_known = True
        self._signal.set()
        for group in self._groups.values():
            group.signal.set()

    def _distribute(self) -> None:
        while self._arrived and self._error is None:
            try:
                group = self._next = self._next or self._group(self._arrived[0])
            except Exception as error:
                self._error = error
                return
            if len(group.held) == self._buffer:
                return
            element, self._next = self._arrived.popleft(), None
            if not group.closed:
                group.held.append(element)
                group.signal.set()

    def _group(self, element: T) -> GroupInlet[K, T]:
        key = self._key(element)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) == self._max_groups:
                raise TooManyGroupsError(self._max_groups, key)
            group = self._groups[key] = GroupInlet(self, key)
            self._new.append(group)
            self._signal.set()
        return group

    async def aclose(self) -> None:
        """Close what is upstream; groups keep what they hold, and fail after it unless everything had come."""
        if self._error is None and (self._arrived or not self._pump.finished):
            self._error = StreamClosedError("the stream that this group belongs to has been closed")
        self._error = self._error or self._pump.error
        self._arrived.clear()
        self._announce_end()
        await self._pump.aclose()


def grouping(key: Callable[[Any], Hashable], max_groups: int, buffer: int) -> Stage:
    """Make the stage of `Source.group_by`, whose elements are group inlets."""
    check_callable("key", key)
    check_count("max_groups", max_groups)
    check_count("buffer", buffer)
    return attaching(lambda upstream: GroupingInlet(upstream, key, max_groups, buffer))
