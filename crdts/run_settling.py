"""What of a sequence can be forgotten because it is stable."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

from crdts.run import RUN_LENGTH_MAX, Deletion, Run, dot_of
from crdts.run_sequence import RunSequence

Covers: TypeAlias = Callable[[int], bool]


def settle(sequence: RunSequence, covers: Covers) -> bool:
    """Forgets what no operation to come can need; the visible elements stay as they are.

    Stable deleted elements go. Of other stable ones, what they hang on is forgotten, and neighbours become one run.

    Args:
        sequence: what is changed.
        covers: says whether a packed dot is stable, that is, seen by every operation to come.

    Returns:
        Whether anything was forgotten.
    """
    changed = False
    kept: list[Run] = []
    for run in sequence.runs():
        pieces = _cut(run, covers)
        changed = changed or len(pieces) != 1 or pieces[0] is not run
        for piece in pieces:
            if piece.clock and covers(dot_of(piece.start)):
                piece.settle()
                changed = True
            if kept and _fits(kept[-1], piece):
                kept[-1].absorb(piece)
                changed = True
            else:
                kept.append(piece)
    if changed:
        sequence.rebuild(kept)
    return changed


def _fits(run: Run, following: Run) -> bool:
    return run.is_continued_by(following) and run.visible + following.visible <= RUN_LENGTH_MAX


def _cut(run: Run, covers: Covers) -> list[Run]:
    """Returns a run in pieces that are stable as a whole or not at all, without those whose deletion is stable."""
    cuts = {0, run.length}
    if run.clock:
        cuts.add(run.count_leading(covers))
    for deletion in run.deletions:
        cuts.add(_stable_from_or_to(deletion, run.length, covers))
    if len(cuts) == 2:
        return [] if _is_gone(run, covers) else [run]
    pieces = [run.part(start, stop) for start, stop in pairwise(sorted(cuts))]
    return [piece for piece in pieces if not _is_gone(piece, covers)]


def _stable_from_or_to(deletion: Deletion, length: int, covers: Covers) -> int:
    """Returns where the deletions of a run begin or cease to be stable; 0 or the length if they do not change."""
    first, growth = deletion
    is_stable_at_first = covers(first)
    changes = range(1, length) if growth else range(0)
    return 1 + bisect_left(changes, True, key=lambda index: covers(first + index * growth) != is_stable_at_first)


def _is_gone(run: Run, covers: Covers) -> bool:
    return any(covers(first) for first, _ in run.deletions)
