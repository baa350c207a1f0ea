"""A document as runs: where its visible elements are by index, where all its elements are by identity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from crdts.dots import INDEX_BITS, INDEX_MASK
from crdts.run import COUNTER_STEP, OFFSET_MASK, RUN_LENGTH_MAX, START, Deletion, Run
from crdts.run_directory import RunDirectory
from crdts.run_tree import RunTree

NOBODY_ELSE = RunDirectory()


class Range(NamedTuple):
    """Elements with consecutive identities.

    Attributes:
        start: the identity of the first.
        step: what neighbours differ by.
        length: how many there are.
    """

    start: int
    step: int
    length: int


class RunStore:
    """Runs in document order, each in the tree that counts and in the directory of its replica and step.

    Invariant: an element is in exactly one run, in both structures, from its insertion until it is forgotten.

    Args:
        replica_ids: the names of the replicas, by their number in identities; the list may grow.
        runs: the runs, which the store then owns.
    """

    __slots__ = ("_cursor", "_cursor_start", "_directories", "_tree", "replica_ids")

    def __init__(self, replica_ids: list[str], runs: Iterable[Run] = ()) -> None:
        self.replica_ids = replica_ids
        self._tree = RunTree()
        self._cursor: Run | None = None
        self._cursor_start = 0
        self._directories: dict[int, RunDirectory] = {}
        self.rebuild(runs)

    def __len__(self) -> int:
        return len(self._tree)

    @property
    def is_empty(self) -> bool:
        """Whether there is not even a deleted element."""
        return self._tree.first.next is None

    def runs(self) -> Iterator[Run]:
        """Yields the runs in document order."""
        return iter(self._tree)

    def contents(self) -> Iterator[Any]:
        """Yields the content of the visible runs in document order."""
        return (run.content for run in self._tree if run.visible)

    def content_at(self, index: int) -> Any:
        """Returns the content of the visible element at an index, as a slice of one."""
        run, start = self._locate(index)
        return run.content[index - start : index - start + 1]

    def run_of(self, element: int) -> Run | None:
        """Returns the run that holds an element, or None if it was never there or is forgotten."""
        if element < 0:
            return self._tree.first if element == START else None
        if not element >> INDEX_BITS & OFFSET_MASK:  # only a first element can be in a run that was typed
            run = self.directory(element, COUNTER_STEP).find(element)
            if run is not None:
                return run
        return self.directory(element, 1).find(element)

    def directory(self, element: int, step: int) -> RunDirectory:
        """Returns the directory of the runs of an element's replica that have a certain step, to be read."""
        replica = element & INDEX_MASK
        return self._directories.get(replica if step == COUNTER_STEP else ~replica, NOBODY_ELSE)

    def at_or_after(self, elements: Range) -> Run | None:
        """Returns the run with the first of the elements, or else the first run after it; None if there is none."""
        start, step, length = elements
        return self.run_of(start) if length == 1 else self.directory(start, step).at_or_after(start)

    def append(self, run: Run) -> None:
        """Puts a run at the end of the document."""
        self._put(run, self._tree.last)

    def rebuild(self, runs: Iterable[Run]) -> None:
        """Makes these the runs of the document."""
        self._cursor = None
        ordered = list(runs)
        self._tree.rebuild(ordered)
        groups: dict[int, list[Run]] = {}
        for run in ordered:
            groups.setdefault(_directory_key(run), []).append(run)
        self._directories = {key: RunDirectory(sorted(group, key=_start)) for key, group in groups.items()}

    def _locate(self, index: int) -> tuple[Run, int]:
        """Returns the run with a visible element, and the index of its first: edits are mostly near the last one."""
        run, start = self._cursor, self._cursor_start
        if run is None or not start <= index < start + run.visible:
            run, start = self._cursor, self._cursor_start = self._tree.find(index)
        return run, start

    def _put(self, run: Run, after: Run) -> None:
        """Makes a run part of the document, in pieces if it is long and visible."""
        pieces = in_pieces(run) if run.visible > RUN_LENGTH_MAX else [run]
        for piece in pieces:
            self._tree.insert(piece, after)
            key = _directory_key(piece)
            if key not in self._directories:
                self._directories[key] = RunDirectory()
            self._directories[key].add(piece)
            after = piece

    def _put_right(self, run: Run, after: Run) -> None:
        """Makes a right child of the last element of `after` part of the document, right beside it."""
        if run.visible == 1 and after.length < RUN_LENGTH_MAX and after.visible and after.is_continued_by(run):
            after.absorb(run)
            self._tree.resize(after, 1)
        else:
            self._put(run, after)

    def _split(self, run: Run, offset: int) -> Run:
        """Cuts a run in two before an offset and returns the second part."""
        rest = run.part(offset, run.length)
        run.shorten(offset)
        self._tree.resize(run, -rest.visible)
        self._put(rest, run)
        return rest

    def _run_ending_with(self, run: Run, element: int) -> Run:
        offset = (element - run.start) // run.step + 1
        if offset < run.length:
            self._split(run, offset)
        return run

    def _run_starting_with(self, run: Run, element: int) -> Run:
        offset = (element - run.start) // run.step
        return self._split(run, offset) if offset else run

    def _delete_part(self, run: Run, offset: int, count: int, deletion: Deletion) -> None:
        """Deletes elements of a run, or records that they were deleted by one more operation."""
        if offset:
            run = self._split(run, offset)
        if count < run.length:
            self._split(run, count)
        if run.visible:
            self._tree.resize(run, -run.visible)
        run.delete(deletion)
        self._join(run, run.next)
        self._join(run.previous, run)

    def _join(self, run: Run, following: Run | None) -> None:
        if following is not None and not following.visible and run.is_continued_by(following):
            self._directories[_directory_key(following)].discard(following)
            self._tree.remove(following)
            run.absorb(following)


def in_pieces(run: Run) -> list[Run]:
    """Returns a long visible run as runs of at most RUN_LENGTH_MAX elements."""
    cuts = range(0, run.length, RUN_LENGTH_MAX)
    return [run.part(cut, min(cut + RUN_LENGTH_MAX, run.length)) for cut in cuts]


def _directory_key(run: Run) -> int:
    replica = run.start & INDEX_MASK
    return replica if run.step == COUNTER_STEP else ~replica


def _start(run: Run) -> int:
    return run.start
