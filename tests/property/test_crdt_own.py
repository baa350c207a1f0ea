"""A user's own CRDT is written on `Crdt` and tested in three lines."""

from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from crdts.crdt import Crdt, check_nothing
from crdts.dots import Decoder, DotSets, Encoder, Join
from crdts.operation import Operation
from crdts.testing import Discrepancy, History, check_convergence, convergence_machine


class Badge(Crdt):
    """On while somebody's pinning has not been unpinned."""

    __slots__ = ("_pins",)

    _actions: ClassVar = {"pin": check_nothing, "unpin": check_nothing}

    def _bottom(self) -> None:
        self._pins = DotSets()

    @property
    def value(self) -> bool:
        return None in self._pins

    def pin(self) -> Operation:
        return self._prepare("pin", None)

    def unpin(self) -> Operation:
        return self._prepare("unpin", None)

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        table = self._clock.table
        if action == "pin":
            self._pins.put(None, table.pack(operation), table.seen_by(operation))
        else:
            self._pins.drop(None, table.seen_by(operation))

    def _reset(self, operation: Operation) -> None:
        self._pins.drop_all(self._clock.table.seen_by(operation))

    def _join(self, other: "Badge", join: Join) -> None:
        self._pins.join(other._pins, join)

    def _dump(self, encoder: Encoder) -> Any:
        return self._pins.dump(encoder)

    def _load(self, plain: Any, decoder: Decoder) -> None:
        self._pins.load(plain, decoder, check_nothing)


class GreedyBadge(Badge):
    """Its unpin takes away pins that it has not seen."""

    def _effect(self, action: str, argument: Any, operation: Operation) -> None:
        if action == "pin":
            super()._effect(action, argument, operation)
        else:
            self._pins = DotSets()


commands = st.tuples(st.sampled_from(["pin", "unpin", "clear"]), st.just(()))


def is_pinned(history: History) -> bool:
    return any(not history.after(pin, "unpin") and not history.after(pin, "clear") for pin in history.of("pin"))


def test_badges_converge():
    commands = st.tuples(st.sampled_from(["pin", "unpin", "clear"]), st.just(()))
    check_convergence(Badge, commands)


def test_badges_are_what_their_specification_says():
    check_convergence(Badge, commands, specification=is_pinned)


def test_a_state_machine_tells_the_story_of_its_failure():
    machine = convergence_machine(GreedyBadge, commands, specification=is_pinned)
    with pytest.raises(Discrepancy) as failure:
        run_state_machine_as_test(machine, settings=settings(database=None, phases=[Phase.generate, Phase.shrink]))
    assert "value == specification: False != True" in str(failure.value)


TestBadgesConvergeAsAStateMachine = convergence_machine(Badge, commands, specification=is_pinned).TestCase


def test_a_bug_is_told_as_the_shortest_story_that_shows_it():
    with pytest.raises(Discrepancy) as failure:
        check_convergence(GreedyBadge, commands, specification=is_pinned, max_examples=1000)
    assert str(failure.value).splitlines() == [
        "a: pin",
        "b: unpin",
        "deliver b→a unpin",
        "expect a.value == specification: False != True",
    ]
