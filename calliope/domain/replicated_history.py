"""`History`: the changes of one replicated aggregate, in an order that is the same on every replica. Pure.

Replicas hold the same changes, each in an order of its own. Here they are put into one order: by how many events their
writers had observed, then by timestamp, replica id and event id. Who observes a change observes what its writer had
observed too, and one more: so a change never comes before its past, whoever computes the order, and whatever comes
later changes nothing between two that are there.

A change *conflicts* if something counts before it that its writer had not observed; the policy says what of it counts.

Invariant: a change that does not conflict is folded over exactly the state that its writer decided on. For what counts
    before it was observed by its writer; what did not count there and then is judged here alike, on the same states.
Invariant: histories of the same changes have the same state, in whatever order and lots they were added.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Generic, TypeVar

from calliope.domain.conflict_policy import Change, ConflictPolicy
from calliope.domain.decider import Decider, listed_events
from calliope.recorded_event import RecordedEvent
from crdts import VersionVector

State = TypeVar("State")
Event = TypeVar("Event")

EXECUTION = "execution_id"
"""The metadata that the events of one execution of a command have in common, and no others."""

CHANGES_MAX = 256
"""How many of the last changes are remembered; for one that comes before them all are needed again."""

_place = attrgetter("place")


@dataclass(frozen=True)
class _Folded(Generic[State, Event]):
    """The state after a change, and what counts up to there.

    Attributes:
        change: the change; None: there is none before.
        state: the state.
        counting: what has been observed by whoever has observed all that counts.
        counts: whether the change does.
    """

    change: Change[Event] | None
    state: State
    counting: VersionVector
    counts: bool


class History(Generic[State, Event]):
    """Folds changes in their order, however they come.

    Args:
        decider: how the aggregate evolves.
        policy: what counts of changes that conflict.
        changes_max: how many changes are remembered.
    """

    def __init__(
        self,
        decider: Decider[State, Any, Event],
        policy: ConflictPolicy[State, Event],
        changes_max: int = CHANGES_MAX,
    ) -> None:
        self._decider = decider
        self._policy = policy
        self._changes_max = changes_max
        self._forget_all()

    @property
    def state(self) -> State:
        """The state after all changes."""
        return self._last.state

    def begin(self, changes: Iterable[Change[Event]]) -> None:
        """Fold these changes and no others."""
        self._forget_all()
        self._fold_all(sorted(changes, key=_place))

    def add(self, changes: Sequence[Change[Event]]) -> bool:
        """Fold further changes; False, and nothing is done, if that takes changes that are not remembered any more."""
        if not all(map(self._is_within_memory, changes)):
            return False
        new = sorted(changes, key=_place)
        if new:
            kept = bisect_left(self._folded, new[0].place, key=_place_of)
            again = [folded.change for folded in self._folded[kept:] if folded.change is not None]
            if again:
                self._keep(self._folded[:kept])
            self._fold_all(sorted([*again, *new], key=_place))
        return True

    @property
    def _last(self) -> _Folded[State, Event]:
        return self._folded[-1] if self._folded else self._beginning

    def _forget_all(self) -> None:
        self._beginning: _Folded[State, Event] = _Folded(None, self._decider.initial, VersionVector(), counts=False)
        self._folded: list[_Folded[State, Event]] = []
        self._ids: set[str] = set()

    def _is_within_memory(self, change: Change[Event]) -> bool:
        first = self._beginning.change
        return first is None or (first.place < change.place and change.version.descends(self._beginning.counting))

    def _fold_all(self, changes: Iterable[Change[Event]]) -> None:
        for change in changes:
            folded = self._after(self._last, change)
            self._folded.append(folded)
            if folded.counts:
                self._ids.add(change.id)
        if len(self._folded) > 2 * self._changes_max:
            self._forget(len(self._folded) - self._changes_max)

    def _after(self, before: _Folded[State, Event], change: Change[Event]) -> _Folded[State, Event]:
        events = change.events
        if not change.version.descends(before.counting):
            is_twin = change.id in self._ids  # the same command, carried out at another replica too
            events = () if is_twin else listed_events(self._policy(before.state, change))
        if not events:
            return _Folded(change, before.state, before.counting, counts=False)
        state = self._decider.state_after(events, before.state)
        return _Folded(change, state, before.counting.merge(change.version), counts=True)

    def _forget(self, count: int) -> None:
        self._beginning = self._folded[count - 1]
        self._keep(self._folded[count:])

    def _keep(self, folded: list[_Folded[State, Event]]) -> None:
        """Remember these and no others; of twins one may go while the other stays, and it counts or not by itself."""
        self._folded = folded
        self._ids = {each.change.id for each in folded if each.counts and each.change is not None}


def changes_in(records: Iterable[RecordedEvent[Event]]) -> list[Change[Event]]:
    """Return the changes that records are of, which must be consecutive in their stream."""
    return [_change_of(list(together)) for _, together in groupby(records, key=_execution_of)]


def _execution_of(record: RecordedEvent[Any]) -> tuple[str, Any]:
    mark = record.metadata.get(EXECUTION)
    return record.replica_id, record.sequence_number if mark is None else mark


def _change_of(records: Sequence[RecordedEvent[Event]]) -> Change[Event]:
    first = records[0]
    observed = sum(first.version.values())
    return Change(
        id=first.id,
        events=tuple([record.data for record in records]),
        replica_id=first.replica_id,
        timestamp=first.timestamp,
        metadata=first.metadata,
        version=records[-1].version,
        place=(observed, first.timestamp, first.replica_id, first.id),
    )


def _place_of(folded: _Folded[Any, Any]) -> tuple[Any, ...]:
    return () if folded.change is None else folded.change.place
