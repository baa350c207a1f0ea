"""The list behind `RGA` and `Text`: where an inserted element goes, on every replica the same.

The elements form a tree whose in-order walk is the document, as in Fugue (Weidner and Kleppmann, "The Art of the
Fugue: Minimizing Interleaving in Collaborative Text Editing", 2023, section 4): each is a left or a right child of
another one. What is typed forwards is a chain of right children, what is typed backwards a chain of left children, and
a subtree is contiguous, so concurrent runs do not interleave in either direction.

Two rules differ from the paper, so that a deleted element can be forgotten as soon as its deletion is causally stable:

* The parent is visible when the child is inserted: the left neighbour, or the right one if that is in the left one's
  right subtree. So no operation to come hangs on an element whose deletion everybody has.
* Siblings are ordered by the clocks of their insertions, the newest next to the parent, as in RGA (Roh et al.,
  "Replicated abstract data types", 2011), with the dot against ties. The clock is Lamport's, counted in operations: how
  many operations the inserting one had seen. So an operation to come is newer than all that is stable, and nothing
  stable, nor what hangs on it, is ever between it and its parent. Stable elements are therefore *settled*: their place
  in the document is kept and their place in the tree forgotten; stable deleted ones are forgotten altogether.

A reset forgets everything it has seen at once. What was inserted concurrently, and hangs on something forgotten, then
hangs on the start of the document, and so it does where it arrives after the reset.

The tree is not built. Each run knows its left origin, the nearest element in whose right subtree it is, and its right
origin, the nearest in whose left subtree it is; one of the two is its parent. That is enough to step over the subtrees
of newer siblings in the document itself, which only concurrent insertions at one place have.

Invariant: a run with a clock knows its parent, and so does everything in its subtree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from crdts.dots import INDEX_MASK
from crdts.run import COUNTER_STEP, END, OFFSET_STEP, SETTLED_CLOCK, START, Deletion, Run
from crdts.run_store import Range, RunStore

HOPS_MAX: Final = 16  # steps over deleted runs: then the tree is asked, or an answer is done without


class Place(NamedTuple):
    """Where an insertion hangs in the tree.

    Attributes:
        parent: the identity of the element it hangs on, or START.
        hangs_right: whether as a right child.
    """

    parent: int
    hangs_right: bool


class RunSequence(RunStore):
    """Elements in order, addressed by index where an operation is made and by identity elsewhere."""

    __slots__ = ()

    # Operations made here

    def insert(self, index: int, content: Any, start: int, step: int, clock: int) -> Place:
        """Inserts elements before the visible element at an index, newer than all that is here.

        Args:
            index: 0 <= index <= len(self).
            content: the elements, at least one.
            start: the identity of the first of them.
            step: what the identities of neighbours differ by.
            clock: the clock of the insertion.

        Returns:
            Where they hang.
        """
        if index:
            left, left_start = self._locate(index - 1)
            offset = index - left_start
        else:
            left, offset, self._cursor = self._tree.first, 1, None
        parent = left.start + (offset - 1) * left.step
        right = self._split(left, offset) if offset < left.length else self._visible_after(left, index)
        if right is not None and self._is_right_of(right, parent, left.clock_at(offset - 1)):
            place = Place(right.start, False)
            self._put(_new_run(place, content, start, step, clock, right.left_origin, right.start), right.previous)
        else:
            place = Place(parent, True)
            self._put_right(_new_run(place, content, start, step, clock, parent, left.right_origin), left)
        return place

    def delete(self, index: int, count: int, dot: int) -> list[Range]:
        """Deletes visible elements.

        Args:
            index: the index of the first.
            count: how many; 0 <= index < index + count <= len(self).
            dot: the packed dot of the operation.

        Returns:
            Their identities.
        """
        ranges: list[Range] = []
        while count:
            run, start = self._locate(index)
            offset = index - start
            taken = min(count, run.visible - offset)
            _append_range(ranges, Range(run.start + offset * run.step, run.step, taken))
            self._delete_part(run, offset, taken, (dot, 0))
            self._cursor = run if offset else None
            count -= taken
        return ranges

    def is_visible(self, element: int) -> bool:
        """Says whether an element is there and not deleted, or is the start of the document."""
        run = self.run_of(element)
        return run is not None and (run.visible > 0 or element == START)

    def visible_near(self, element: int, saw: Callable[[int], bool]) -> int:
        """Returns the last visible element before one that is deleted or forgotten.

        Of what is forgotten, nobody knows where it was; it was probably near what its replica had inserted before.

        Args:
            element: the deleted element.
            saw: says whether an operation may be considered, by its packed dot.
        """
        run = self.run_of(element) or self._last_before(element) or self._tree.first
        while run is not self._tree.first:
            seen = run.count_leading(saw) if run.visible else 0
            if seen:
                return run.start + (seen - 1) * run.step
            run = run.previous
        return START

    def _last_before(self, element: int) -> Run | None:
        found = (self.directory(element, step).last_before(element) for step in (COUNTER_STEP, OFFSET_STEP))
        return max((run for run in found if run is not None), key=_start, default=None)

    def _visible_after(self, run: Run, index: int) -> Run | None:
        """Returns the run with the visible element at an index, which comes after `run`; None if there is none."""
        following = run.next
        for _ in range(HOPS_MAX):
            if following is None or following.visible:
                return following
            following = following.next
        return self._tree.find(index)[0] if index < len(self) else None

    def _is_right_of(self, run: Run, element: int, clock: int) -> bool:
        """Says whether a run is in the right subtree of its visible left neighbour, an element of a certain clock.

        Between the two are deleted elements only, and what is in the element's subtree is newer than it. After too many
        steps the answer is False, which costs nothing but the certainty that concurrent runs do not interleave here.

        If what is between is forgotten, the answer is the one that keeps together what may still be torn apart: nothing
        concurrent to a settled element is to come, so beside one it is the run that the insertion must hang on.
        """
        origin = run.left_origin
        for _ in range(HOPS_MAX):
            if origin == element:
                return True
            if run.clock < clock:
                return False
            between = self.run_of(origin)
            if between is None:
                return clock == SETTLED_CLOCK < run.clock
            if between.visible or between.clock < clock:
                return False
            origin = between.left_origin
        return False

    # Operations made elsewhere

    def integrate(self, run: Run) -> None:
        """Puts a run where it belongs, among what is known here.

        Args:
            run: a run of no document, of which that one of the two origins is set that is its parent.
        """
        self._cursor = None
        parent = self.run_of(run.parent)
        if parent is None or not _is_older(parent, run):
            hang_on_start(run)
            parent = self._tree.first
        if run.hangs_right:
            self._put_right(run, self._place_right(run, parent))
        else:
            self._put(run, self._place_left(run, parent))

    def has_none_of(self, run: Run) -> bool:
        """Says whether no element of a run is here."""
        found = self.directory(run.start, run.step).at_or_after(run.start)
        return self.run_of(run.start) is None and (found is None or found.start >= run.end)

    def delete_range(self, elements: Range, deletion: Deletion) -> None:
        """Deletes those of the elements that are there.

        Args:
            elements: the elements.
            deletion: who deletes the first of them, and how the dot changes from one to the next.
        """
        self._cursor = None
        element, step, length = elements
        if length == 1:
            run = self.run_of(element)
            if run is not None:
                self._delete_part(run, (element - run.start) // run.step, 1, deletion)
            return
        directory = self.directory(element, step)
        stop = element + length * step
        while element < stop:
            run = directory.at_or_after(element)
            if run is None or run.start >= stop:
                return
            element, end = max(element, run.start), min(run.end, stop)
            self._delete_piece(run, element, end, elements, deletion)
            element = end

    def _delete_piece(self, run: Run, element: int, end: int, elements: Range, deletion: Deletion) -> None:
        count = (end - element) // run.step
        first, growth = deletion
        first += (element - elements.start) // run.step * growth
        self._delete_part(run, (element - run.start) // run.step, count, (first, growth if count > 1 else 0))

    def _place_right(self, run: Run, holder: Run) -> Run:
        """Returns the run after which a right child goes: the parent's, or the last of a newer sibling's subtree."""
        parent = run.left_origin
        after = origin = self._run_ending_with(holder, parent)
        run.right_origin = origin.right_origin
        key = self.key(run)
        while (following := after.next) is not None:
            if following.left_origin != parent and (
                after is origin or not self._is_after(following.left_origin, origin)
            ):
                break
            top = self._top_of_left_chain(following)
            if top is None or (top.left_origin == parent and self.key(top) < key):
                break
            after = top
        return after

    def _place_left(self, run: Run, holder: Run) -> Run:
        """Returns the run after which a left child goes: the one before the parent or a newer sibling's subtree."""
        parent = run.right_origin
        before = origin = self._run_starting_with(holder, parent)
        run.left_origin = origin.left_origin
        key = self.key(run)
        while True:
            preceding: Run = before.previous
            origin_there = preceding.right_origin
            if origin_there != parent and (before is origin or not self._is_before(origin_there, origin)):
                break
            top = self._top_of_right_chain(preceding)
            if top is None or (top.right_origin == parent and self.key(top) < key):
                break
            before = top
        return before.previous  # type: ignore[no-any-return]

    def key(self, run: Run) -> tuple[int, str, int]:
        """Returns what siblings are compared by: the dot decides between equal clocks."""
        return run.clock, self.replica_ids[run.start & INDEX_MASK], run.start

    def _top_of_left_chain(self, run: Run | None) -> Run | None:
        """Returns the right child whose subtree begins with a run, or None if it is settled."""
        while run is not None and run.clock and not run.hangs_right:
            run = self.run_of(run.right_origin)
        return run if run is not None and run.clock else None

    def _top_of_right_chain(self, run: Run | None) -> Run | None:
        """Returns the left child whose subtree ends with a run, or None if it is settled."""
        while run is not None and run.clock and run.hangs_right:
            run = self.run_of(run.left_origin)
        return run if run is not None and run.clock else None

    def _is_after(self, element: int, run: Run) -> bool:
        other = self.run_of(element)
        return other is not None and self._tree.precedes(run, other)

    def _is_before(self, element: int, run: Run) -> bool:
        other = self.run_of(element)
        return other is not None and self._tree.precedes(other, run)


def _is_older(holder: Run, run: Run) -> bool:
    """Says whether a run's parent is older; a forged operation may claim that it had not seen what it hangs on."""
    clock = holder.clock_at((run.parent - holder.start) // holder.step)
    return run.parent == START or (clock, run.parent) < (run.clock, run.start)


def hang_on_start(run: Run) -> None:
    """Makes a run a right child of the start of the document."""
    run.hangs_right, run.left_origin, run.right_origin = True, START, END


def new_run(place: Place, content: Any, start: int, step: int, clock: int) -> Run:
    """Returns a run to be integrated."""
    return _new_run(place, content, start, step, clock, place.parent, place.parent)


def _new_run(place: Place, content: Any, start: int, step: int, clock: int, left_origin: int, right_origin: int) -> Run:
    return Run(
        start,
        step,
        len(content),
        content,
        clock,
        hangs_right=place.hangs_right,
        left_origin=left_origin,
        right_origin=right_origin,
    )


def _start(run: Run) -> int:
    return run.start


def _append_range(ranges: list[Range], elements: Range) -> None:
    last = ranges[-1] if ranges else None
    if last and last.step == elements.step and last.start + last.length * last.step == elements.start:
        ranges[-1] = Range(last.start, last.step, last.length + elements.length)
    else:
        ranges.append(elements)
