"""A bug planted in each type is caught and told in a few lines."""

from typing import Any

import pytest

from crdts.bounded_counter import BoundedCounter
from crdts.counters import GCounter, PNCounter
from crdts.dots import DotSets, DotValues, Join, Stable
from crdts.flags import DWFlag, EWFlag
from crdts.lww_map import LWWMap
from crdts.maps import ORMap
from crdts.operation import Operation
from crdts.registers import LWWRegister, MVRegister
from crdts.sequence import RGA
from crdts.sets import GSet, ORSet, RWSet, TwoPhaseSet
from crdts.testing import Discrepancy
from crdts.text import Text
from tests.property.crdt_subjects import SUBJECTS


class AddingGCounter(GCounter):
    """Its merge adds what the other has counted instead of taking the maximum."""

    def _join(self, other: Any, join: Join) -> None:
        for replica_id, total in other._ups.by_replica(other.replica_id).items():
            self._ups.add(replica_id, total, self.replica_id)


class OneSidedPNCounter(PNCounter):
    """Its merge forgets the decrements."""

    def _join(self, other: Any, join: Join) -> None:
        GCounter._join(self, other, join)


class MintingBoundedCounter(BoundedCounter):
    """A transfer to itself mints rights."""

    def transfer(self, n: int, to: str) -> Operation:
        return self.increment(n) if to == self.replica_id else super().transfer(n, to)


class ForgetfulGSet(GSet):
    """Its bytes lose the elements that came by two ways."""

    def _dump(self, encoder: Any) -> Any:
        return {key: dots for key, dots in super()._dump(encoder).items() if isinstance(dots, int)}


class RevivingTwoPhaseSet(TwoPhaseSet):
    """Adding again what was removed brings it back."""

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "add":
            self._removes.drop(argument, self._clock.table.seen_by(operation))
        super()._effect(action, argument, operation)


class GreedyORSet(ORSet):
    """A remove drops also the adds that it has not seen."""

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "remove":
            self._adds.dots.pop(argument, None)
        else:
            super()._effect(action, argument, operation)


class ResurrectingORSet(ORSet):
    """Its merge is a union: what was removed here comes back."""

    def _join(self, other: Any, join: Join) -> None:
        for key, dots in other._adds.dots.items():
            self._adds.dots.setdefault(key, join.translate(dots))


class NearsightedRWSet(RWSet):
    """A remove of an element that is not there is not remembered."""

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "add" or argument in self._adds:
            super()._effect(action, argument, operation)


class HastyRWSet(RWSet):
    """Stabilising takes everything seen here for stable."""

    def stabilize(self, version: Any) -> None:
        super().stabilize(version)
        self._fold(Stable(self._clock.table, self.version))


class GreedyEWFlag(EWFlag):
    """Disabling also drops the enables that it has not seen."""

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "disable":
            self._enables = DotSets()
        else:
            super()._effect(action, argument, operation)


class HastyDWFlag(DWFlag):
    """Stabilising forgets every disable."""

    def _fold(self, stable: Stable) -> bool:
        folded = bool(self._disables.dots) and not self._enables.dots
        self._disables = DotSets() if folded else self._disables
        return folded


class UntimedLWWRegister(LWWRegister):
    """A stable write loses its timestamp."""

    def _fold(self, stable: Stable) -> bool:
        timed = {dot: write for dot, write in self._writes.values.items() if stable.covers(dot) and write[0]}
        self._writes.values.update((dot, (0, value)) for dot, (_, value) in timed.items())
        return bool(timed)


class LastComeLWWRegister(LWWRegister):
    """Of concurrent writes the last to arrive wins."""

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        self._writes = DotValues()
        super()._effect(action, argument, operation)


class SingleMVRegister(MVRegister):
    """A write replaces also those that it has not seen."""

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        self._writes = DotValues()
        super()._effect(action, argument, operation)


class HastyMVRegister(MVRegister):
    """Stabilising leaves one of several values."""

    def _fold(self, stable: Stable) -> bool:
        settled = sorted(dot for dot in self._writes.values if stable.covers(dot))[1:]
        for dot in settled:
            del self._writes.values[dot]
        return bool(settled)


class GreedyLWWMap(LWWMap):
    """Removing a key drops also the writes that it has not seen."""

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "remove":
            self._writes.pop(argument[0], None)
        else:
            super()._effect(action, argument, operation)


class GreedyORMap(ORMap):
    """Removing a key drops also the updates that it has not seen."""

    def _reset_key(self, key: Any, operation: Operation) -> None:
        self._entries.pop(key, None)


class HauntedORMap(ORMap):
    """A key that is removed keeps its value if a concurrent update keeps the key: it depends on what came first."""

    def _reset_key(self, key: Any, operation: Operation) -> None:
        entries = self._entries.get(key, {})
        entry = next(iter(entries.values()), None)
        kept = entry and entry.value.value
        super()._reset_key(key, operation)
        if key in self._entries and isinstance(kept, frozenset):
            for element in kept:
                entry.value._adds.dots.setdefault(element, entry.dots)


class FirstComeRGA(RGA):
    """Of what is inserted at one place, what arrives later goes first."""

    def _age(self, operation: Operation) -> int:
        return 1 + sum(self.version.values())


class HastyRGA(RGA):
    """Stabilising takes everything seen here for stable."""

    def _fold(self, stable: Stable) -> bool:
        return super()._fold(Stable(self._clock.table, self.version))


class FirstComeText(Text):
    """Of what is inserted at one place, what arrives later goes first."""

    def _age(self, operation: Operation) -> int:
        return 1 + sum(self.version.values())


class ShortText(Text):
    """A deletion leaves its last character."""

    def delete(self, index: int, count: int = 1) -> Operation:
        return super().delete(index, max(1, count - 1))


# Each with the number of lines in which its bug can be told; a story may take a few more.
MUTANTS = {
    AddingGCounter: 4,
    OneSidedPNCounter: 3,
    MintingBoundedCounter: 2,
    ForgetfulGSet: 8,
    RevivingTwoPhaseSet: 3,
    GreedyORSet: 4,
    ResurrectingORSet: 4,
    NearsightedRWSet: 4,
    HastyRWSet: 5,
    GreedyEWFlag: 4,
    HastyDWFlag: 5,
    UntimedLWWRegister: 11,
    LastComeLWWRegister: 4,
    SingleMVRegister: 4,
    HastyMVRegister: 9,
    GreedyLWWMap: 4,
    GreedyORMap: 4,
    HauntedORMap: 6,
    FirstComeRGA: 4,
    HastyRGA: 7,
    FirstComeText: 4,
    ShortText: 3,
}


LONG_HUNTS = {UntimedLWWRegister, HastyRWSet, HastyRGA, HastyMVRegister, ShortText, HauntedORMap}
"""Those that take seconds; there is another of each type that does not."""


def _hunted(mutant, lines):
    marks = [pytest.mark.soak] if mutant in LONG_HUNTS else []
    return pytest.param(mutant, lines, id=mutant.__name__, marks=marks)


@pytest.mark.parametrize(("mutant", "lines"), [_hunted(*each) for each in MUTANTS.items()])
def test_a_planted_bug_is_caught_and_told_in_a_few_lines(mutant, lines):
    subject = SUBJECTS[mutant.__base__.__name__]
    with pytest.raises(Discrepancy) as failure:
        subject.check(crdt_type=mutant, max_examples=3000, seed=1)
    assert len(str(failure.value).splitlines()) <= lines + 2, str(failure.value)


def test_every_type_has_a_mutant():
    assert {mutant.__base__ for mutant in MUTANTS} == {subject.crdt_type for subject in SUBJECTS.values()}
