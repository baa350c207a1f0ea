"""What the operations of `RGA` and `Text` say, as plain arguments.

An insertion is a tuple: its content; twice the offset of its first element, plus 1 if that is a right child; then what
it hangs on: nothing for the start of the document, or the counter, unless it is 0 the offset, and unless it is the
operation's own the replica id of an element.

A deletion is a tuple of ranges. A range is a tuple: the counter of its first element; if its elements came with one
operation, the offset of the first; how many they are; and unless it is the operation's own, their replica id.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

from crdts.dots import INDEX_BITS, INDEX_MASK, ReplicaTable
from crdts.operation import Operation
from crdts.run import COUNTER_STEP, OFFSET_MASK, OFFSET_STEP, START, counter_of, identity, offset_of
from crdts.run_sequence import Place
from crdts.run_store import Range
from crdts.version_vector import COUNTER_MAX
from crdts.wire import check_replica_id, expect

Renumber = Callable[[int], int]
FORGOTTEN = -4  # no element


def insertion(content: Any, offset: int, place: Place, replica_ids: list[str]) -> tuple[Any, ...]:
    """Returns the argument of an insertion that was made here."""
    parent, hangs_right = place
    if parent == START:
        return content, offset * 2 + hangs_right
    replica = parent & INDEX_MASK
    if replica:
        return content, offset * 2 + hangs_right, counter_of(parent), offset_of(parent), replica_ids[replica]
    if parent & (OFFSET_MASK << INDEX_BITS):
        return content, offset * 2 + hangs_right, counter_of(parent), offset_of(parent)
    return content, offset * 2 + hangs_right, counter_of(parent)


def check_insertion(argument: Any, check_content: Callable[[Any], None]) -> None:
    """Refuses what is not the argument of an insertion."""
    expect(type(argument) is tuple and 2 <= len(argument) <= 5, "a content, a side and what it hangs on")
    content, side, *parent = argument
    check_content(content)
    _check_number(side, 0, 2 * (OFFSET_MASK - len(content)) + 1)
    expect(bool(parent) or bool(side & 1), "nothing to the left of the start")
    for part, most in zip(parent, (COUNTER_MAX, OFFSET_MASK), strict=False):
        _check_number(part, 0, most)
    if len(parent) == 3:
        check_replica_id(parent[2])


def place_of(argument: Any, operation: Operation, table: ReplicaTable) -> Place:
    """Returns where an insertion hangs; on FORGOTTEN if it names what its operation cannot have seen."""
    _, side, *parent = argument
    if not parent:
        return Place(START, True)
    counter, offset = (*parent, 0)[:2]
    replica_id = parent[2] if len(parent) == 3 else operation.replica_id
    is_own = counter == operation.counter and replica_id == operation.replica_id
    if not operation.saw(replica_id, counter) or (is_own and offset >= side // 2):
        return Place(FORGOTTEN, bool(side & 1))
    return Place(identity(counter << INDEX_BITS | table.index(replica_id), offset), bool(side & 1))


def renumbered_insertion(argument: Any, renumber: Renumber) -> Any:
    """Returns the argument of an insertion with the counters of its own replica renumbered."""
    content, side, *parent = argument
    if len(parent) in (1, 2):
        parent[0] = renumber(parent[0])
    return (content, side, *parent)


def deletion(ranges: list[Range], replica_ids: list[str]) -> tuple[Any, ...]:
    """Returns the argument of a deletion that was made here."""
    return tuple([_plain_range(elements, replica_ids) for elements in ranges])


def check_deletion(argument: Any) -> None:
    """Refuses what is not the argument of a deletion."""
    expect(type(argument) is tuple and len(argument) > 0, "ranges")
    for plain in argument:
        expect(type(plain) is tuple and 2 <= len(plain) <= 4, "a range")
        numbers = plain
        if type(plain[-1]) is str:
            check_replica_id(plain[-1])
            numbers = plain[:-1]
        expect(len(numbers) in (2, 3), "a range")
        for number in numbers:
            _check_number(number, 0, COUNTER_MAX)
        expect(numbers[0] > 0 and numbers[-1] > 0, "counters and lengths from 1 on")
        most = COUNTER_MAX + 1 if len(numbers) == 2 else OFFSET_MASK
        expect(numbers[-2] + numbers[-1] <= most, "elements that can be")


def ranges_of(argument: Any, operation: Operation, table: ReplicaTable) -> Iterator[Range]:
    """Yields the elements that a deletion names, as far as its operation can have seen them."""
    for plain in argument:
        replica_id, numbers = operation.replica_id, plain
        if type(plain[-1]) is str:
            replica_id, numbers = plain[-1], plain[:-1]
        counter, length = numbers[0], numbers[-1]
        last = counter + length - 1 if len(numbers) == 2 else counter
        if operation.saw(replica_id, last):
            offset, step = (0, COUNTER_STEP) if len(numbers) == 2 else (numbers[1], OFFSET_STEP)
            yield Range(identity(counter << INDEX_BITS | table.index(replica_id), offset), step, length)


def renumbered_deletion(argument: Any, renumber: Renumber) -> Any:
    """Returns the argument of a deletion with the counters of its own replica renumbered."""
    return tuple([each for plain in argument for each in _renumbered_range(plain, renumber)])


def _plain_range(elements: Range, replica_ids: list[str]) -> tuple[Any, ...]:
    start, step, length = elements
    replica = start & INDEX_MASK
    whose = (replica_ids[replica],) if replica else ()
    if step == COUNTER_STEP:
        return counter_of(start), length, *whose
    return counter_of(start), offset_of(start), length, *whose


def _renumbered_range(plain: Any, renumber: Renumber) -> list[Any]:
    """Returns a range as one or, if its elements are no longer neighbours, as two."""
    counter, *rest = plain
    if type(plain[-1]) is str:
        return [plain]
    if len(rest) == 2:
        return [(renumber(counter), *rest)]
    length = rest[0]
    shift = renumber(counter) - counter
    same = bisect_left(range(length), True, key=lambda index: renumber(counter + index) != counter + index + shift)
    parts = [(counter, same), (counter + same, length - same)]
    return [(renumber(first), count) for first, count in parts if count]


def _check_number(plain: Any, least: int, most: int) -> None:
    expect(type(plain) is int and least <= plain <= most, f"a number from {least} to {most}")
