"""What of a sequence can be forgotten because it is stable."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TypeAlias

from crdts.run import RUN_LENGTH_MAX, Deletion, Run, dot_of
from crdts.run_sequence import RunSequence

Covers: TypeAlias = Callable[[int], bool]


def can_settle(sequence: RunSequence, covers: Covers) -> bool:
    """Says whether there is anything that `settle` would forget."""
    return any(_can_settle(run, covers) for run in sequence.runs())


def settle(sequence: RunSequence, covers: Covers) -> None:
    """Forgets what no operation to come can need; the visible elements stay as they are.

    Stable deleted elements go. Of other stable ones, what they hang on is forgotten, and neighbours become one run.

    Args:
        sequence: what is changed.
        covers: says whether a packed dot is stable, that is, seen by every operation to come.
    """
    kept: list[Run] = []
    for run in sequence.runs():
        for piece in cut(run, covers) if _can_settle(run, covers) else [run]:
            if is_gone(piece, covers):
                continue
            if piece.clock and covers(dot_of(piece.start)):
                piece.settle()
            kept.append(piece)
    sequence.rebuild(joined(kept))


def joined(runs: Iterable[Run]) -> list[Run]:
    """Returns runs with those made one that continue each other; they are changed by it."""
    whole: list[Run] = []
    for run in runs:
        if whole and whole[-1].visible + run.visible <= RUN_LENGTH_MAX and whole[-1].is_continued_by(run):
            whole[-1].absorb(run)
        else:
            whole.append(run)
    return whole


def _can_settle(run: Run, covers: Covers) -> bool:
    if run.clock and covers(dot_of(run.start)):
        return True
    last = run.length - 1
    return any(covers(first) or covers(first + last * growth) for first, growth in run.deletions)


def cut(run: Run, covers: Covers) -> list[Run]:
    """Returns a run in pieces of which the insertion and each deletion are stable as a whole or not at all."""
    cuts = {0, run.length, run.count_leading(covers)}
    for deletion in run.deletions:
        cuts.add(_stable_from_or_to(deletion, run.length, covers))
    return [run.part(start, stop) for start, stop in pairwise(sorted(cuts))]


def is_gone(piece: Run, covers: Covers) -> bool:
    """Says whether one of the deletions of such a piece is stable."""
    return any(covers(first) for first, _ in piece.deletions)


def _stable_from_or_to(deletion: Deletion, length: int, covers: Covers) -> int:
    """Returns where the deletions of a run begin or cease to be stable; 0 or the length if they do not change."""
    first, growth = deletion
    is_stable_at_first = covers(first)
    changes = range(1, length) if growth else range(0)
    return 1 + bisect_left(changes, True, key=lambda index: covers(first + index * growth) != is_stable_at_first)
