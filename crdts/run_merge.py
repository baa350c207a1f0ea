"""The join of two sequences of runs that have seen different operations."""

from __future__ import annotations

from operator import le

from crdts.dots import Join
from crdts.run import START, Run
from crdts.run_reset import integrate_all, keep_only
from crdts.run_sequence import RunSequence
from crdts.run_store import Range, by_replica


def merge_runs(sequence: RunSequence, other: RunSequence, join: Join) -> None:
    """Gives a sequence all that another one has seen.

    Both have been folded by one stable version. If each has seen something that the other has not, then both have seen
    that version, and what is news to one of them was inserted after it: it is not settled anywhere, and what it hangs
    on has been forgotten nowhere, unless by a reset.

    Args:
        sequence: what is changed.
        other: what stays as it is.
        join: what each has seen.
    """
    if all(map(le, join.there, join.here)):
        return
    theirs = RunSequence(sequence.replica_ids, (_translated(run, join) for run in other.runs()))
    if all(map(le, join.here, join.there)):
        sequence.rebuild(list(theirs.runs()))
        return
    _take_over_resets(sequence, theirs, join)
    fresh = _take_over_deletions(sequence, theirs, join)
    for run in fresh:
        if not run.clock:
            sequence.append(run)
    integrate_all(sequence, (run for run in fresh if run.clock))


def _take_over_resets(sequence: RunSequence, theirs: RunSequence, join: Join) -> None:
    """Forgets what is missing there though it has been seen there: a reset has done it."""
    lost = [(run, _count_lost(run, theirs, join)) for run in sequence.runs()]
    if any(count or _was_hung_on_start(run, theirs) for run, count in lost):
        keep_only(sequence, [run.part(count, run.length) for run, count in lost if count < run.length])


def _count_lost(run: Run, theirs: RunSequence, join: Join) -> int:
    """Returns how many of a run's first elements are forgotten there."""
    stop = run.start + run.count_leading(lambda dot: not join.unseen_there(dot)) * run.step
    element, lost = run.start, run.start
    while element < stop:
        found = theirs.at_or_after(Range(element, run.step, (stop - element) // run.step))
        if found is None or found.start >= stop:
            return (stop - run.start) // run.step
        if found.start > element:
            lost = found.start
        element = found.end
    return (lost - run.start) // run.step


def _was_hung_on_start(run: Run, theirs: RunSequence) -> bool:
    """Says whether a reset there has forgotten what a run hangs on here."""
    if not run.clock or run.parent == START:
        return False
    found = theirs.run_of(run.start)
    return found is not None and found.start == run.start and bool(found.clock) and found.parent == START


def _take_over_deletions(sequence: RunSequence, theirs: RunSequence, join: Join) -> list[Run]:
    """Deletes what is deleted there, and returns what is news here, in document order."""
    fresh: list[Run] = []
    for run in theirs.runs():
        known = run.count_leading(lambda dot: not join.unseen_here(dot))
        if known < run.length:
            fresh.append(run.part(known, run.length))
        if known:
            for deletion in run.deletions_of(0, known):
                sequence.delete_range(Range(run.start, run.step, known), deletion)
    return fresh


def _translated(run: Run, join: Join) -> Run:
    copy = run.part(0, run.length)
    copy.start = _translate(run.start, join)
    copy.left_origin = _translate(run.left_origin, join)
    copy.right_origin = _translate(run.right_origin, join)
    copy.deletions = tuple(sorted([(join.dot(first), growth) for first, growth in run.deletions], key=by_replica))
    return copy


def _translate(element: int, join: Join) -> int:
    return element if element < 0 else join.dot(element)  # an identity has its replica where a dot has it
