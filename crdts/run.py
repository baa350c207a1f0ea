"""A run: neighbouring elements of one replica with consecutive identities, kept as one record.

An element's identity is one integer: the counter of the operation that inserted it, its offset among the elements that
this operation inserted, and the place of its replica in the object's `ReplicaTable`. So the identities of one replica
sort in the order of its operations, and those of a run are an arithmetic progression: its step is one offset in a text
that came at once, and one counter in a text that was typed element by element. The dots that deleted the elements of a
run are progressions, too: one dot for all if they were deleted at once, falling ones for a backspace held down.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from crdts.dots import FIRST, INDEX_BITS, INDEX_MASK

OFFSET_BITS: Final = 32
OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1
OFFSET_STEP: Final = 1 << INDEX_BITS
COUNTER_STEP: Final = 1 << INDEX_BITS + OFFSET_BITS

START: Final = -1  # before everything: the left origin of what has no other
END: Final = -2  # after everything: the right origin of what has no other
SETTLED: Final = -3  # an origin that nobody needs any more
SETTLED_CLOCK: Final = 0  # below every clock: an operation to come is newer than all that is settled

RUN_LENGTH_MAX: Final = 512  # visible elements; what editing inside a run copies is bounded by it

Deletion: TypeAlias = tuple[
    int, int
]  # the packed dot that deleted a run's first element; what it grows by: -FIRST, 0, FIRST


def identity(dot: int, offset: int) -> int:
    """Returns the identity of an element that the operation of a packed dot inserted."""
    return (dot >> INDEX_BITS) * COUNTER_STEP + offset * OFFSET_STEP + (dot & INDEX_MASK)


def dot_of(element: int) -> int:
    """Returns the packed dot of the operation that inserted an element."""
    return element // COUNTER_STEP * FIRST + (element & INDEX_MASK)


def counter_of(element: int) -> int:
    """Returns the counter of the operation that inserted an element."""
    return element // COUNTER_STEP


def offset_of(element: int) -> int:
    """Returns an element's place among those that its operation inserted."""
    return element >> INDEX_BITS & OFFSET_MASK


class Run:
    """Elements that follow one another in the document, all visible or all deleted.

    Each element but the first hangs to the right of the one before it, in the tree that `RunSequence` describes.

    Attributes:
        start: the identity of the first element.
        step: what the identities of neighbours differ by, COUNTER_STEP or OFFSET_STEP.
        length: the number of elements.
        visible: the number of elements that are not deleted: `length` or 0.
        content: the visible elements, a str or a tuple; None if they are deleted.
        clock: the clock of the first element's insertion; it grows with the counter from element to element.
        hangs_right: whether the first element is a right child of its left origin, else a left child of its right one.
        left_origin: the nearest element in whose right subtree the first element is.
        right_origin: the nearest element in whose left subtree the elements are.
        deletions: who deleted the elements; no replica twice, ordered by replica.
        above: the node of the tree that holds the run.
        previous: the run before this one in the document.
        next: the run after this one in the document.
    """

    __slots__ = (
        "above",
        "clock",
        "content",
        "deletions",
        "hangs_right",
        "left_origin",
        "length",
        "next",
        "previous",
        "right_origin",
        "start",
        "step",
        "visible",
    )

    above: Any
    previous: Any  # a Run, except before the very first one of a tree
    next: Run | None

    def __init__(
        self,
        start: int,
        step: int,
        length: int,
        content: Any,
        clock: int,
        *,
        hangs_right: bool,
        left_origin: int,
        right_origin: int,
        deletions: tuple[Deletion, ...] = (),
    ) -> None:
        self.start = start
        self.step = step
        self.length = length
        self.visible = 0 if content is None else length
        self.content = content
        self.clock = clock
        self.hangs_right = hangs_right
        self.left_origin = left_origin
        self.right_origin = right_origin
        self.deletions = deletions
        self.previous = self.next = self.above = None

    @property
    def end(self) -> int:
        """The identity that would continue the run."""
        return self.start + self.length * self.step

    @property
    def parent(self) -> int:
        """The element that the first element hangs on."""
        return self.left_origin if self.hangs_right else self.right_origin

    def holds(self, element: int) -> bool:
        """Says whether an element of this run's replica that is not before it is in it."""
        steps, rest = divmod(element - self.start, self.step)
        return steps < self.length and not rest

    def clock_at(self, index: int) -> int:
        """Returns the clock of an element's insertion."""
        return self.clock + index if self.clock and self.step == COUNTER_STEP else self.clock

    def part(self, start: int, stop: int) -> Run:
        """Returns a run of the elements from `start` to `stop` that is in no document."""
        hangs_right, left_origin = self.hangs_right, self.left_origin
        if start:
            hangs_right, left_origin = True, self.start + (start - 1) * self.step
        return Run(
            self.start + start * self.step,
            self.step,
            stop - start,
            None if self.content is None else self.content[start:stop],
            self.clock_at(start),
            hangs_right=hangs_right,
            left_origin=left_origin,
            right_origin=self.right_origin,
            deletions=self.deletions_of(start, stop) if self.deletions else (),
        )

    def deletions_of(self, start: int, stop: int) -> tuple[Deletion, ...]:
        """Returns the deletions of the elements from `start` to `stop`."""
        single = stop - start == 1
        return tuple([(first + start * growth, 0 if single else growth) for first, growth in self.deletions])

    def count_leading(self, covers: Callable[[int], bool]) -> int:
        """Returns how many of the first elements' packed dots are covered, given that no later one is."""
        dot = dot_of(self.start)
        if not covers(dot):
            return 0
        last = self.length - 1
        if self.step == OFFSET_STEP or covers(dot + last * FIRST):
            return self.length
        return bisect_left(range(last), True, key=lambda index: not covers(dot + index * FIRST))

    def delete(self, deletion: Deletion) -> None:
        """Makes the elements deleted ones, or records one more deletion, unless it is of a replica that has done it."""
        self.visible, self.content = 0, None
        if all((first ^ deletion[0]) & INDEX_MASK for first, _ in self.deletions):
            self.deletions = tuple(sorted((*self.deletions, deletion), key=by_replica))

    def settle(self) -> None:
        """Forgets the place of the elements in the tree."""
        self.clock, self.hangs_right, self.left_origin, self.right_origin = SETTLED_CLOCK, True, SETTLED, SETTLED

    def shorten(self, length: int) -> None:
        """Gives up the elements from `length` on."""
        if self.deletions:
            self.deletions = self.deletions_of(0, length)
        self.length = length
        if self.visible:
            self.visible = length
            self.content = self.content[:length]

    def absorb(self, following: Run) -> None:
        """Takes in the elements of a run that continues this one."""
        if self.deletions:
            self.deletions = joined_deletions(self, following) or ()
        else:
            self.content += following.content
        self.length += following.length
        self.visible += following.visible

    def is_continued_by(self, other: Run) -> bool:
        """Says whether this run and the one right after it in the document can be one, however long."""
        if self.start + self.length * self.step != other.start or self.step != other.step:
            return False
        if self.clock_at(self.length) != other.clock:
            return False
        if self.clock and not (other.hangs_right and other.left_origin == other.start - other.step):
            return False
        if self.deletions:
            return joined_deletions(self, other) is not None
        return not other.deletions


def joined_deletions(run: Run, following: Run) -> tuple[Deletion, ...] | None:
    """Returns the deletions of two neighbouring deleted runs as those of one run, or None if they do not fit."""
    joined: list[Deletion] = []
    if len(run.deletions) != len(following.deletions):
        return None
    for (first, growth), (following_first, following_growth) in zip(run.deletions, following.deletions, strict=True):
        grown = following_first - first
        if run.length == 1:
            growth = grown
        if growth not in (-FIRST, 0, FIRST) or grown != growth * run.length:
            return None
        if following.length > 1 and following_growth != growth:
            return None
        joined.append((first, growth))
    return tuple(joined)


def by_replica(deletion: Deletion) -> int:
    """Returns what the deletions of a run are ordered by."""
    return deletion[0] & INDEX_MASK
