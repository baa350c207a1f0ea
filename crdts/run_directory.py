"""Where the runs of one replica are found by the identity of an element: a sorted list, in chunks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final

from crdts.run import Run

CHUNK_SIZE_MAX: Final = 512
CHUNK_SIZE_PACKED: Final = 256


class RunDirectory:
    """Runs of one replica and of one step, sorted by the identity of their first element.

    Finding, adding and removing a run takes O(log n) steps and one move within a chunk of bounded size.

    Args:
        runs: runs that do not overlap, sorted.
    """

    __slots__ = ("_chunks", "_firsts", "_starts")

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        ordered = list(runs)
        cuts = range(0, len(ordered), CHUNK_SIZE_PACKED)
        self._chunks = [ordered[cut : cut + CHUNK_SIZE_PACKED] for cut in cuts] or [[]]
        self._starts = [[run.start for run in chunk] for chunk in self._chunks]
        self._firsts = [starts[0] for starts in self._starts if starts] or [0]

    def find(self, element: int) -> Run | None:
        """Returns the run that holds an element, or None if there is none."""
        chunk = max(bisect_right(self._firsts, element) - 1, 0)
        at = bisect_right(self._starts[chunk], element) - 1
        run = self._chunks[chunk][at] if at >= 0 else None
        return run if run is not None and run.holds(element) else None

    def at_or_after(self, element: int) -> Run | None:
        """Returns the run that holds an element or else the first that starts after it, or None."""
        chunk = max(bisect_right(self._firsts, element) - 1, 0)
        at = bisect_right(self._starts[chunk], element)
        if at and self._chunks[chunk][at - 1].end > element:
            return self._chunks[chunk][at - 1]
        if at < len(self._chunks[chunk]):
            return self._chunks[chunk][at]
        return self._chunks[chunk + 1][0] if chunk + 1 < len(self._chunks) else None

    def last_before(self, element: int) -> Run | None:
        """Returns the last run that starts before an element, or None."""
        chunk = max(bisect_left(self._firsts, element) - 1, 0)
        at = bisect_left(self._starts[chunk], element) - 1
        return self._chunks[chunk][at] if at >= 0 else None

    def add(self, run: Run) -> None:
        """Adds a run."""
        chunk = max(bisect_right(self._firsts, run.start) - 1, 0)
        starts, runs = self._starts[chunk], self._chunks[chunk]
        at = bisect_left(starts, run.start)
        starts.insert(at, run.start)
        runs.insert(at, run)
        self._firsts[chunk] = starts[0]
        if len(starts) > CHUNK_SIZE_MAX:
            self._split(chunk)

    def discard(self, run: Run) -> None:
        """Removes a run."""
        chunk = max(bisect_right(self._firsts, run.start) - 1, 0)
        starts = self._starts[chunk]
        at = bisect_left(starts, run.start)
        del starts[at], self._chunks[chunk][at]
        if starts:
            self._firsts[chunk] = starts[0]
        elif len(self._starts) > 1:
            del self._starts[chunk], self._chunks[chunk], self._firsts[chunk]

    def _split(self, chunk: int) -> None:
        half = len(self._starts[chunk]) // 2
        self._starts.insert(chunk + 1, self._starts[chunk][half:])
        self._chunks.insert(chunk + 1, self._chunks[chunk][half:])
        del self._starts[chunk][half:], self._chunks[chunk][half:]
        self._firsts.insert(chunk + 1, self._starts[chunk + 1][0])
