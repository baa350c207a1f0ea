"""The plain form of a sequence of runs, for bytes and for comparison.

A run is a tuple: what is in it (the sum of the marks below), the dot of its *last* element, its content or else its
length; then, as far as the marks say so, the offset of its first element, its clock, and the dot and the offset of the
element it hangs on; and for each replica that deleted it, the highest dot and the growth, -1, 0 or 1.

The form says nothing of how the runs came about: each is as long as it can be, the first one first. So sequences that
have seen the same and have been folded alike have the same form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from crdts.dots import FIRST, Encoder
from crdts.run import COUNTER_STEP, START, Run, dot_of, offset_of

BY_OFFSETS: Final = 1  # the elements came with one operation
DELETED: Final = 2
UNSETTLED: Final = 4
RIGHT: Final = 8  # it is a right child
ON_START: Final = 16  # it hangs on the start of the document
MARKS_MAX: Final = 31

Merge = Callable[[list[Any]], Any]


def dump_runs(runs: Iterable[Run], encoder: Encoder, merge: Merge) -> tuple[Any, ...]:
    """Returns the plain form of runs.

    Args:
        runs: the runs in document order.
        encoder: writes dots.
        merge: returns the contents of neighbouring runs as one.
    """
    return tuple([_dump(group, encoder, merge) for group in _groups(runs)])


def _groups(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Yields the runs that are one: visible ones together, deleted ones as one new run."""
    group: list[Run] = []
    for run in runs:
        rest = _rest(group, run if run.visible else run.part(0, run.length))
        if rest is not None:
            if group:
                yield group
            group = [rest]
    if group:
        yield group


def _rest(group: list[Run], run: Run) -> Run | None:
    """Adds as much of a run to the group as continues it, and returns the rest."""
    if not group:
        return run
    last = group[-1]
    if last.is_continued_by(run):
        if run.visible:
            group.append(run)
        else:
            last.absorb(run)
        return None
    if last.deletions and run.length > 1 and last.is_continued_by(first := run.part(0, 1)):
        last.absorb(first)
        return run.part(1, run.length)
    return run


def _dump(group: list[Run], encoder: Encoder, merge: Merge) -> tuple[Any, ...]:
    run, last = group[0], group[-1]
    marks = 0 if run.step == COUNTER_STEP else BY_OFFSETS
    plain = [
        encoder.dots(dot_of(last.end - last.step)),
        last.length if run.deletions else merge([r.content for r in group]),
    ]
    if marks & BY_OFFSETS:
        plain.append(offset_of(run.start))
    if run.clock:
        marks |= UNSETTLED | (RIGHT if run.hangs_right else 0) | (ON_START if run.parent == START else 0)
        plain.append(run.clock)
        if run.parent != START:
            plain += encoder.dots(dot_of(run.parent)), offset_of(run.parent)
    if run.deletions:
        marks |= DELETED
        plain.extend(part for pair in _dump_deletions(run, encoder) for part in pair)
    return marks, *plain


def _dump_deletions(run: Run, encoder: Encoder) -> list[tuple[Any, int]]:
    return sorted(
        (encoder.dots(first + max(growth, 0) * (run.length - 1)), growth // FIRST) for first, growth in run.deletions
    )
