"""The join of two sequences of runs that have seen different operations.

Call them mine and theirs. What either has settled was in the past of all that it had not seen itself. So

* news from theirs is not settled there; it hangs on what is here, or on what a reset here has forgotten;
* what theirs has seen but does not have is deleted here, and that is stable, or a reset there has forgotten it.

This holds as long as mine has not settled what only theirs knows to be stable: that is for after the join.
"""

from __future__ import annotations

from crdts.dots import Join
from crdts.run import START, Deletion, Run, by_replica, dot_of
from crdts.run_reset import integrate_all, keep_only
from crdts.run_sequence import RunSequence, hang_on_start
from crdts.run_settling import Covers, cut, is_gone
from crdts.run_store import Range


def merge_runs(mine: RunSequence, other: RunSequence, join: Join, covers: Covers) -> None:
    """Gives a sequence all that another one has seen.

    Args:
        mine: what is changed.
        other: what stays as it is.
        join: what each has seen.
        covers: says whether a packed dot is stable, for theirs or for mine.
    """
    theirs = RunSequence(mine.replica_ids, (_translated(run, join) for run in other.runs()))
    if mine.is_empty and all(join.unseen_here(dot_of(run.start)) for run in theirs.runs()):
        mine.rebuild(list(theirs.runs()))
        return
    _take_over_resets(mine, theirs, join, covers)
    fresh = _take_over_deletions(mine, theirs, join)
    for run in fresh:
        if not run.clock:  # it was declared stable too early
            mine.append(run)
    integrate_all(mine, (run for run in fresh if run.clock))


def _take_over_resets(mine: RunSequence, theirs: RunSequence, join: Join, covers: Covers) -> None:
    """Forgets what a reset there has forgotten."""
    kept: list[Run] = []
    has_reset = False
    for run in mine.runs():
        for piece in cut(run, covers) if run.deletions else [run]:
            lost = 0 if is_gone(piece, covers) else _count_lost(piece, theirs, join)
            rest = piece.part(lost, piece.length)
            if rest.clock and rest.length and rest.parent != START and _hangs_on_start(rest, theirs, join):
                hang_on_start(rest)
                has_reset = True
            has_reset = has_reset or lost > 0
            kept.extend([rest] if rest.length else [])
    if has_reset:
        keep_only(mine, kept)


def _count_lost(run: Run, theirs: RunSequence, join: Join) -> int:
    """Returns how many of a run's first elements have been seen there and are not there."""
    seen = run.count_leading(lambda dot: not join.unseen_there(dot))
    stop = run.start + seen * run.step
    element = lost = run.start
    while element < stop:
        found = theirs.at_or_after(Range(element, run.step, (stop - element) // run.step))
        if found is None or found.start >= stop:
            return seen
        if found.start > element:
            lost = found.start
        element = found.end
    return (lost - run.start) // run.step


def _hangs_on_start(run: Run, theirs: RunSequence, join: Join) -> bool:
    """Says whether a reset there has forgotten what a run hangs on here."""
    if join.unseen_there(dot_of(run.start)):
        return not join.unseen_there(dot_of(run.parent)) and theirs.run_of(run.parent) is None
    found = theirs.run_of(run.start)
    return found is not None and found.start == run.start and found.parent == START


def _take_over_deletions(mine: RunSequence, theirs: RunSequence, join: Join) -> list[Run]:
    """Deletes what is deleted there, and returns what is news here, in document order."""
    fresh: list[Run] = []
    for run in theirs.runs():
        known = run.count_leading(lambda dot: not join.unseen_here(dot))
        if known < run.length:
            fresh.append(run.part(known, run.length))
        if known and run.deletions:
            _delete(mine, Range(run.start, run.step, known), run.deletions_of(0, known))
    return fresh


def _delete(mine: RunSequence, elements: Range, deletions: tuple[Deletion, ...]) -> None:
    here = mine.run_of(elements.start)
    if here is not None and (here.start, here.length, here.deletions) == (elements.start, elements.length, deletions):
        return  # as nearly always
    for deletion in deletions:
        mine.delete_range(elements, deletion)


def _translated(run: Run, join: Join) -> Run:
    copy = run.part(0, run.length)
    copy.start = _translate(run.start, join)
    copy.left_origin = _translate(run.left_origin, join)
    copy.right_origin = _translate(run.right_origin, join)
    copy.deletions = tuple(sorted([(join.dot(first), growth) for first, growth in run.deletions], key=by_replica))
    return copy


def _translate(element: int, join: Join) -> int:
    return element if element < 0 else join.dot(element)  # an identity has its replica where a dot has it
