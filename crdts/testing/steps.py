"""The steps of a random story, each with who takes it and with what drawn by Hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar

from hypothesis import strategies as st

from crdts.testing.cluster import Cluster
from crdts.testing.command import Command
from crdts.testing.member import Member

Commands: TypeAlias = st.SearchStrategy[Any] | Callable[[Any], st.SearchStrategy[Any]]
Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
T = TypeVar("T")


class Steps:
    """Takes steps in a cluster; a step that is impossible at the moment does nothing.

    Everything is drawn so that the simplest choice comes first: replica a, the oldest operation, the newest version.

    Args:
        cluster: where the steps are taken.
        commands: the strategy for one command, or a function from the replica to that strategy.
        draw: draws from a strategy.
    """

    def __init__(self, cluster: Cluster, commands: Commands, draw: Draw) -> None:
        self._cluster = cluster
        self._commands = commands
        self._draw = draw

    def issue(self) -> None:
        """One replica carries out a command."""
        member = self._member()
        strategy = self._commands if isinstance(self._commands, st.SearchStrategy) else self._commands(member.replica)
        self._cluster.issue(member, _command(self._draw(strategy)))

    def deliver(self) -> None:
        """One replica is given an operation that it lacks."""
        member = self._member()
        if ready := self._cluster.deliverable(member):
            self._cluster.deliver(member, self._one_of(ready))

    def deliver_as_bytes(self) -> None:
        """One replica is given an operation that it lacks, encoded and decoded."""
        member = self._member()
        if ready := self._cluster.deliverable(member):
            self._cluster.deliver(member, self._one_of(ready), as_bytes=True)

    def deliver_again(self) -> None:
        """One replica is given an operation that it has."""
        member = self._member()
        if seen := self._cluster.seen(member):
            self._cluster.deliver_again(member, self._one_of(seen))

    def deliver_early(self) -> None:
        """One replica is given an operation whose past it lacks."""
        member = self._member()
        if premature := self._cluster.premature(member):
            self._cluster.deliver_early(member, self._one_of(premature))

    def merge(self) -> None:
        """One replica joins the state of another."""
        member = self._member()
        self._cluster.merge(member, self._one_of([each for each in self._cluster.members if each is not member]))

    def merge_former(self) -> None:
        """One replica joins a state that arrives late."""
        if self._cluster.left_behind:
            self._cluster.merge(self._member(), self._one_of(self._cluster.left_behind))

    def stabilize(self) -> None:
        """One replica learns what is stable."""
        self._cluster.stabilize(self._member())

    def stabilize_late(self) -> None:
        """One replica learns that something old is stable."""
        member = self._member()
        if self._cluster.issued:
            self._cluster.stabilize(member, self._one_of(self._cluster.issued).past_version)

    def read_back(self) -> None:
        """One replica is restarted from its bytes."""
        self._cluster.read_back(self._member())

    def leave_behind(self) -> None:
        """One replica goes on as a copy of itself."""
        self._cluster.leave_behind(self._member())

    def catch_up(self) -> None:
        """One replica is given all that it lacks."""
        self._cluster.catch_up(self._member(), self.choose)

    def catch_up_all(self) -> None:
        """Every replica is given all that it lacks."""
        for member in self._cluster.members:
            self._cluster.catch_up(member, self.choose)

    def choose(self, count: int) -> int:
        """Draws one of `count` possibilities."""
        return int(self._draw(_below(count))) if count > 1 else 0

    def _one_of(self, items: Sequence[T]) -> T:
        return items[self.choose(len(items))]

    def _member(self) -> Member:
        return self._one_of(self._cluster.members)


@cache
def _below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


def _command(drawn: Any) -> Command:
    if isinstance(drawn, tuple) and len(drawn) == 2 and isinstance(drawn[0], str) and isinstance(drawn[1], tuple):
        return Command(*drawn)
    raise TypeError(f"a command is a pair (method name, tuple of arguments), not {drawn!r}")
