"""Sequences: what replicas insert at one place does not interleave, and stays where it was put."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, ClassVar, Generic, Self

from typing_extensions import TypeVar

from crdts.crdt import Crdt
from crdts.dots import INDEX_BITS, INDEX_MASK, Decoder, Encoder, Join, Stable
from crdts.elements import check_element, identify
from crdts.operation import Operation
from crdts.run import COUNTER_STEP, OFFSET_STEP, identity
from crdts.run_arguments import (
    check_deletion,
    check_insertion,
    deletion,
    insertion,
    place_of,
    ranges_of,
    renumbered_deletion,
    renumbered_insertion,
)
from crdts.run_codec import dump_runs
from crdts.run_decoder import load_runs
from crdts.run_merge import merge_runs
from crdts.run_reset import delete_seen, reset
from crdts.run_sequence import Place, RunSequence, new_run
from crdts.run_settling import Covers, can_settle, settle
from crdts.version_vector import NOTHING_SEEN, VersionVector
from crdts.wire import expect

E = TypeVar("E", default=Any)


class _Sequence(Crdt):
    """What `RGA` and `Text` have in common; `crdts.run_sequence` says how it works.

    An element's clock is the number of operations that the inserting one had seen, itself included.

    What is stable is settled late, when the runs are next changed, written or compared: a join folds both sides by what
    either knows to be stable, but what one side is about to learn may be older than what the other knows to be stable.
    """

    __slots__ = ("_inserted", "_inserted_by", "_past", "_past_size", "_runs", "_stable")

    def _bottom(self) -> None:
        self._runs = RunSequence(self._clock.table.replica_ids)
        self._inserted_by = 0  # the counter of the last operation that inserted something here,
        self._inserted = 0  # and how many elements it inserted: inside a map it can do so repeatedly
        self._past = NOTHING_SEEN
        self._past_size = 0
        self._stable: Covers | None = None  # what is stable but not settled yet

    def stabilize(self, version: VersionVector) -> None:
        super().stabilize(version)
        self._settle()

    def __len__(self) -> int:
        return len(self._runs)

    @staticmethod
    @abstractmethod
    def _merged(contents: list[Any]) -> Any:
        """Returns the contents of neighbouring runs as one."""

    @staticmethod
    @abstractmethod
    def _check_content(content: Any) -> None:
        """Refuses what is not the content of a run."""

    def _insert(self, index: int, content: Any) -> Operation:
        self._settle()
        clock = self._clock
        operation = clock.draft(self.type_name)
        counter = operation.counter
        offset = self._inserted if counter == self._inserted_by else 0
        self._inserted_by, self._inserted = counter, offset + len(content)
        start = identity(counter << INDEX_BITS, offset)
        place = self._runs.insert(index, content, start, _step(content, offset), self._age(operation))
        clock.finish(operation, "insert", insertion(content, offset, place, self._runs.replica_ids))
        return operation

    def _delete(self, index: int, count: int) -> Operation:
        self._settle()
        clock = self._clock
        operation = clock.draft(self.type_name)
        ranges = self._runs.delete(index, count, operation.counter << INDEX_BITS)
        clock.finish(operation, "delete", deletion(ranges, self._runs.replica_ids))
        return operation

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        self._settle()
        table = self._clock.table
        dot = table.pack(operation)
        if action == "delete":
            for elements in ranges_of(argument, operation, table):
                self._runs.delete_range(elements, (dot, 0))
            return
        content, offset = argument[0], argument[1] // 2
        place, start = place_of(argument, operation, table), identity(dot, offset)
        run = new_run(place, content, start, _step(content, offset), self._age(operation))
        if operation.type_name == self.type_name or self._runs.has_none_of(run):
            self._runs.integrate(run)

    def _clear(self, argument: Any, operation: Operation) -> None:
        """Deletes what the operation has seen, for the sake of what stands beside it; a reset leaves nothing of it."""
        self._settle()
        table = self._clock.table
        delete_seen(self._runs, table.seen_by(operation), table.pack(operation))

    def _reset(self, operation: Operation) -> None:
        self._settle()
        reset(self._runs, self._clock.table.seen_by(operation))

    def _join(self, other: Self, join: Join) -> None:
        if self._runs.is_empty:
            other._settle()
        merge_runs(self._runs, other._runs, join, self._stable or _nothing)
        self._settle()

    def _fold(self, stable: Stable) -> bool:
        size = len(self._clock.table.replica_ids)

        def covers(dot: int) -> bool:
            return dot & INDEX_MASK < size and stable.covers(dot)

        if not can_settle(self._runs, covers):
            return False
        self._settle()
        self._stable = covers
        return True

    def _settle(self) -> None:
        if self._stable is not None:
            settle(self._runs, self._stable)
            self._stable = None

    def _dump(self, encoder: Encoder) -> Any:
        self._settle()
        return dump_runs(self._runs.runs(), encoder, self._merged)

    def _load(self, plain: Any, decoder: Decoder) -> None:
        load_runs(self._runs, plain, decoder, self._check_content)

    @classmethod
    def _renumbered(cls, action: str, argument: Any, renumber: Callable[[int], int]) -> Any:
        if action == "insert":
            return renumbered_insertion(argument, renumber)
        return renumbered_deletion(argument, renumber) if action == "delete" else argument

    def _adopt_action(self, action: str, argument: Any, operation: Operation, renumber: Callable[[int], int]) -> Any:
        """Hangs what a copy inserted on what is visible here: anything else may be forgotten elsewhere."""
        argument = self._renumbered(action, argument, renumber)
        if action == "insert":
            place = place_of(argument, operation, self._clock.table)
            if not self._runs.is_visible(place.parent):
                parent = self._runs.visible_near(place.parent, self._clock.table.seen_by(operation))
                argument = insertion(argument[0], argument[1] // 2, Place(parent, True), self._runs.replica_ids)
        self._run(action, argument, operation)
        return argument

    def _age(self, operation: Operation) -> int:
        others = operation.others
        if others is not self._past:  # consecutive operations of one replica share their past
            self._past, self._past_size = others, sum(others.values())
        return operation.counter + self._past_size


def _check_elements(content: Any) -> None:
    expect(type(content) is tuple and len(content) > 0, "elements")
    for element in content:
        check_element(element)


def _check_insertion(argument: Any) -> None:
    check_insertion(argument, _check_elements)


class RGA(_Sequence, Generic[E]):
    """A list that replicas insert into and delete from at any place.

    An element stays between the neighbours that it was inserted between, wherever these go; what several replicas
    insert at one place concurrently, one after the other or one before the other, is not interleaved. Elements are
    None, str, bytes, numbers and tuples of these (see `crdts.elements`); equal ones may occur repeatedly.

    Named after Roh et al., "Replicated abstract data types: Building blocks for collaborative applications" (2011);
    the order is that of Fugue (Weidner and Kleppmann, 2023), see `crdts.run_sequence`.
    """

    __slots__ = ()

    _actions: ClassVar = {"insert": _check_insertion, "delete": check_deletion}

    @property
    def value(self) -> list[E]:
        """The elements in order."""
        return list(chain.from_iterable(self._runs.contents()))

    def insert(self, index: int, element: E) -> Operation:
        """Inserts an element before the one that is at an index now, or at the end.

        Raises:
            IndexError: The index is not from 0 to the length; nothing has changed.
            TypeError: The index is not an int; the value cannot be an element.
            ValueError: NaN, an int beyond 64 bits, text that UTF-8 cannot encode.
        """
        check_index(index, len(self._runs), "insert at")
        return self._insert(index, (identify(element),))

    def append(self, element: E) -> Operation:
        """Inserts an element at the end."""
        return self._insert(len(self._runs), (identify(element),))

    def delete(self, index: int) -> Operation:
        """Deletes the element at an index.

        Raises:
            IndexError: There is no element at the index; nothing has changed.
            TypeError: The index is not an int.
        """
        check_index(index, len(self._runs) - 1, "delete at")
        return self._delete(index, 1)

    def __getitem__(self, index: int) -> E:
        check_index(index, len(self._runs) - 1, "read at")
        return self._runs.content_at(index)[0]  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[E]:
        return iter(self.value)

    @staticmethod
    def _merged(contents: list[Any]) -> Any:
        return tuple(chain.from_iterable(contents))

    _check_content = staticmethod(_check_elements)


def check_index(index: object, last: int, what: str) -> None:
    """Refuses what is not an index from 0 to `last`."""
    if not isinstance(index, int) or isinstance(index, bool):
        raise TypeError(f"cannot {what} {index!r:.100}: an index is an int")
    if not 0 <= index <= last:
        possible = f"possible are 0 to {last}" if last >= 0 else "there is nothing here"
        raise IndexError(f"cannot {what} {index}: {possible}")


def _nothing(_dot: int) -> bool:
    return False


def _step(content: Any, offset: int) -> int:
    return COUNTER_STEP if len(content) == 1 and not offset else OFFSET_STEP
