"""Reading the plain form of a sequence of runs, believing nothing. The form is described in `crdts.run_codec`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from crdts.dots import FIRST, INDEX_MASK, Decoder
from crdts.run import (
    COUNTER_STEP,
    END,
    OFFSET_MASK,
    OFFSET_STEP,
    RUN_LENGTH_MAX,
    SETTLED,
    SETTLED_CLOCK,
    START,
    Deletion,
    Run,
    by_replica,
    identity,
    offset_of,
)
from crdts.run_codec import BY_OFFSETS, DELETED, MARKS_MAX, ON_START, RIGHT, UNSETTLED
from crdts.run_sequence import RunSequence
from crdts.run_store import in_pieces
from crdts.version_vector import COUNTER_MAX
from crdts.wire import expect


def load_runs(sequence: RunSequence, plain: Any, decoder: Decoder, check: Callable[[Any], None]) -> None:
    """Fills an empty sequence with what `dump_runs` returned.

    Args:
        sequence: the sequence.
        plain: what is claimed to be the form of one.
        decoder: reads dots, and refuses those that the state's version does not contain.
        check: raises `MalformedOperationError` if something is not the content of a run.

    Raises:
        MalformedOperationError: It is not the form of a sequence.
    """
    expect(type(plain) is tuple, "runs")
    runs = [_load(item, decoder, check) for item in plain]
    sequence.rebuild(runs)
    _expect_disjoint(sequence, runs)
    for run in sorted((run for run in runs if run.clock), key=_age):
        _find_origins(sequence, run)
    if any(run.visible > RUN_LENGTH_MAX for run in runs):
        sequence.rebuild(piece for run in runs for piece in (in_pieces(run) if run.visible else [run]))


def _load(plain: Any, decoder: Decoder, check: Callable[[Any], None]) -> Run:
    expect(type(plain) is tuple and len(plain) >= 3, "a run")
    marks, last, content, *rest = plain
    expect(type(marks) is int and 0 <= marks <= MARKS_MAX, "the marks of a run")
    items = iter(rest)
    if marks & DELETED:
        length, content = _number(content, 1, COUNTER_MAX), None
    else:
        check(content)
        length = len(content)
    start, step = _elements(decoder.dot(last), length, items if marks & BY_OFFSETS else None)
    run = Run(start, step, length, content, SETTLED_CLOCK, hangs_right=True, left_origin=SETTLED, right_origin=SETTLED)
    if marks & UNSETTLED:
        run.clock = _number(next(items, None), 1, COUNTER_MAX)
        run.hangs_right = bool(marks & RIGHT)
        _hang(run, START if marks & ON_START else _element(decoder, items))
    else:
        expect(not marks & (RIGHT | ON_START), "nothing to hang on for a settled run")
    run.deletions = tuple(sorted(_deletions(items, length, decoder), key=by_replica))
    expect(bool(run.deletions) == bool(marks & DELETED), "deletions of a deleted run only")
    expect(len({by_replica(deletion) for deletion in run.deletions}) == len(run.deletions), "one deletion a replica")
    return run


def _elements(last: int, length: int, items: Iterator[Any] | None) -> tuple[int, int]:
    """Returns the identity of a run's first element and the step from each to the next."""
    if items is not None:
        offset = _number(next(items, None), 0, OFFSET_MASK)
        expect(offset + length <= OFFSET_MASK, "offsets below 2**32")
        return identity(last, offset), OFFSET_STEP
    first = last - (length - 1) * FIRST
    expect(first >= FIRST, "counters from 1 on")
    return identity(first, 0), COUNTER_STEP


def _hang(run: Run, parent: int) -> None:
    expect(run.hangs_right or parent != START, "nothing to the left of the start")
    run.left_origin = parent if run.hangs_right else SETTLED
    run.right_origin = SETTLED if run.hangs_right else parent


def _element(decoder: Decoder, items: Iterator[Any]) -> int:
    return identity(decoder.dot(next(items, None)), _number(next(items, None), 0, OFFSET_MASK))


def _deletions(items: Iterator[Any], length: int, decoder: Decoder) -> Iterator[Deletion]:
    for plain in items:
        highest, growth = decoder.dot(plain), _number(next(items, None), -1, 1) * FIRST
        lowest = highest - abs(growth) * (length - 1)
        expect(lowest >= FIRST and not (growth and length == 1), "deletions with counters from 1 on")
        yield (lowest if growth > 0 else highest), growth


def _number(plain: Any, least: int, most: int) -> int:
    expect(type(plain) is int and least <= plain <= most, f"a number from {least} to {most}")
    return plain  # type: ignore[no-any-return]


def _expect_disjoint(sequence: RunSequence, runs: list[Run]) -> None:
    """Refuses runs that have elements in common."""
    by_identity = sorted(runs, key=_directory)
    for run, following in pairwise(by_identity):
        same = run.step == following.step and not (run.start ^ following.start) & INDEX_MASK
        expect(not same or run.end <= following.start, "every element once")
    for run in runs:
        expect(offset_of(run.start) > 0 or sequence.run_of(run.start) is run, "every element once")


def _directory(run: Run) -> tuple[int, int, int]:
    return run.step, run.start & INDEX_MASK, run.start


def _find_origins(sequence: RunSequence, run: Run) -> None:
    """Gives a run the origin that is not its parent: the one that its parent has."""
    parent = run.parent
    holder = sequence.run_of(parent)
    if holder is None or not (holder.clock or parent == START):
        return
    index = (parent - holder.start) // holder.step
    expect(parent == START or (holder.clock_at(index), parent) < _age(run), "a parent that is older than its child")
    if run.hangs_right:
        run.right_origin = END if parent == START else holder.right_origin
    else:
        run.left_origin = parent - holder.step if index else holder.left_origin


def _age(run: Run) -> tuple[int, int]:
    return run.clock, run.start
