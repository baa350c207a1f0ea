"""The same walk as a Hypothesis state machine, for those who want to add rules of their own."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from crdts.testing.cluster import Cluster
from crdts.testing.convergence import REFUSALS, Specification
from crdts.testing.laws import check_laws, check_settled
from crdts.testing.steps import Commands, Steps


class ConvergenceMachine(RuleBasedStateMachine):
    """Runs random commands, deliveries, merges and restarts on a few replicas of one type.

    Subclass it with `crdt_type` and `commands` (or let `convergence_machine` do so) and give its `TestCase` to pytest.
    Rules and invariants of your own find the replicas in `self.cluster.members`. A failure raises `Discrepancy` with
    the story. The class attributes are the arguments of `check_convergence`.
    """

    crdt_type: type[Any]
    commands: Commands
    specification: Specification | None = None
    replicas: int = 3
    refusals: tuple[type[Exception], ...] = REFUSALS

    def __init__(self) -> None:
        super().__init__()
        configured = type(self)
        self.cluster = Cluster(
            configured.crdt_type,
            replicas=configured.replicas,
            specification=configured.specification,
            refusals=configured.refusals,
        )

    def teardown(self) -> None:
        """Checks the laws of merging, delivers the rest and checks that all replicas end alike."""
        if not self.cluster.story.ended:
            check_laws(self.cluster)
            check_settled(self.cluster, lambda count: count - 1)

    def _steps(self, data: st.DataObject) -> Steps:
        return Steps(self.cluster, type(self).commands, data.draw)

    @rule(data=st.data())
    def issue(self, data: st.DataObject) -> None:
        """One replica carries out a command."""
        self._steps(data).issue()

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """One replica is given an operation that it lacks."""
        self._steps(data).deliver()

    @rule(data=st.data())
    def deliver_as_bytes(self, data: st.DataObject) -> None:
        """One replica is given an operation that it lacks, encoded and decoded."""
        self._steps(data).deliver_as_bytes()

    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        """One replica is given an operation that it has."""
        self._steps(data).deliver_again()

    @rule(data=st.data())
    def deliver_early(self, data: st.DataObject) -> None:
        """One replica is given an operation whose past it lacks."""
        self._steps(data).deliver_early()

    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        """One replica joins the state of another."""
        self._steps(data).merge()

    @rule(data=st.data())
    def merge_former(self, data: st.DataObject) -> None:
        """One replica joins a state that arrives late."""
        self._steps(data).merge_former()

    @rule(data=st.data())
    def stabilize(self, data: st.DataObject) -> None:
        """One replica learns what is stable."""
        self._steps(data).stabilize()

    @rule(data=st.data())
    def stabilize_late(self, data: st.DataObject) -> None:
        """One replica learns that something old is stable."""
        self._steps(data).stabilize_late()

    @rule(data=st.data())
    def read_back(self, data: st.DataObject) -> None:
        """One replica is restarted from its bytes."""
        self._steps(data).read_back()

    @rule(data=st.data())
    def leave_behind(self, data: st.DataObject) -> None:
        """One replica goes on as a copy of itself."""
        self._steps(data).leave_behind()

    @rule(data=st.data())
    def catch_up(self, data: st.DataObject) -> None:
        """One replica is given all that it lacks."""
        self._steps(data).catch_up()

    @rule(data=st.data())
    def catch_up_all(self, data: st.DataObject) -> None:
        """Every replica is given all that it lacks."""
        self._steps(data).catch_up_all()


def convergence_machine(
    crdt_type: type[Any],
    commands: Commands,
    *,
    specification: Specification | None = None,
    replicas: int = 3,
    refusals: tuple[type[Exception], ...] = REFUSALS,
) -> type[ConvergenceMachine]:
    """Makes a state machine for a type; its `TestCase` is a test.

    Args are those of `check_convergence`::

        TestBasket = convergence_machine(Basket, commands).TestCase
    """
    attributes = {
        "crdt_type": crdt_type,
        "commands": staticmethod(commands) if callable(commands) else commands,
        "specification": None if specification is None else staticmethod(specification),
        "replicas": replicas,
        "refusals": refusals,
    }
    return type(f"{crdt_type.__name__}Convergence", (ConvergenceMachine,), attributes)
