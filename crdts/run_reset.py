"""Clearing a sequence: of what has been seen, nothing is left that can be seen, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from crdts.run import Run, dot_of
from crdts.run_sequence import RunSequence
from crdts.run_settling import cut, is_gone, joined


def delete_seen(sequence: RunSequence, saw: Callable[[int], bool], dot: int) -> None:
    """Deletes every element that an operation has seen and that was visible to it.

    Args:
        sequence: what is changed.
        saw: says whether the operation has seen the operation of a packed dot.
        dot: the packed dot of the operation.
    """
    pieces = [piece for run in sequence.runs() for piece in cut(run, saw)]
    for piece in pieces:
        if saw(dot_of(piece.start)) and not is_gone(piece, saw):
            piece.delete((dot, 0))
    sequence.rebuild(joined(pieces))


def reset(sequence: RunSequence, saw: Callable[[int], bool]) -> None:
    """Forgets everything that a reset has seen, deleted elements included.

    Args:
        sequence: what is changed.
        saw: says whether the reset has seen the operation of a packed dot.
    """
    parts = ((run, run.count_leading(saw)) for run in sequence.runs())
    keep_only(sequence, [run.part(seen, run.length) for run, seen in parts if seen < run.length])


def keep_only(sequence: RunSequence, survivors: Iterable[Run]) -> None:
    """Makes these runs all that there is: each hangs where it says, or on the start if that is forgotten.

    Args:
        sequence: what is changed.
        survivors: runs of no document, in the order of this one.
    """
    kept = list(survivors)
    sequence.rebuild(run for run in kept if not run.clock)
    integrate_all(sequence, (run for run in kept if run.clock))


def integrate_all(sequence: RunSequence, runs: Iterable[Run]) -> None:
    """Integrates runs, parents before their children: what has seen more is newer."""
    for run in sorted(runs, key=_age):
        sequence.integrate(run)


def _age(run: Run) -> tuple[int, int]:
    return run.clock, run.start
