"""The visible history: which commands a replica has seen, and which of them had seen which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from crdts.testing.command import Command
from crdts.version_vector import VersionVector


@dataclass(frozen=True, slots=True, eq=False)
class Issued:
    """One command that a replica carried out, with everything that the replica had seen by then.

    Attributes:
        index: its place in the order in which the commands were carried out (a legal causal order).
        replica_id: the replica that carried it out.
        counter: the replica's own entry in its version vector afterwards; with `replica_id` its dot.
        command: what was done.
        operation: what the mutator returned.
        past: the indices of all that had been seen, as the bits of one integer.
        past_version: the version that the replica had before.
        past_value: the value that it showed before; positions in a list mean what was to be seen there.
    """

    index: int
    replica_id: str
    counter: int
    command: Command
    operation: Any
    past: int
    past_version: VersionVector
    past_value: Any

    @property
    def method(self) -> str:
        """The name of the mutator."""
        return self.command.method

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments of the mutator."""
        return self.command.args

    def saying(self, command: Command, **changes: Any) -> Issued:
        """Returns this with another command, issued at the same place in history, and other changes if need be."""
        return replace(self, command=command, **changes)


class History:
    """The commands visible to one replica, and the happened-before relation between them.

    A specification is a pure function from a history to the value. For the add-wins set::

        {add.args[0] for add in history.of("add") if not history.after(add, "remove", add.args[0])}

    Iterating yields the visible `Issued` in a causal order: each after all that it had seen. Specifying a type so is
    due to Burckhardt, Gotsman, Yang and Zawirski, "Replicated data types: specification, verification, optimality"
    (POPL 2014).
    """

    def __init__(self, issued: Iterable[Issued]) -> None:
        self._issued = tuple(issued)

    def __iter__(self) -> Iterator[Issued]:
        return iter(self._issued)

    def __len__(self) -> int:
        return len(self._issued)

    def of(self, method: str, *args: object) -> list[Issued]:
        """Returns the commands of one method, only those whose first arguments are `args` if any are given.

        Arguments are told apart by type too: `of("add", 1)` finds neither `add(True)` nor `add(1.0)`.
        """
        return [each for each in self._issued if each.method == method and _starts_with(each.args, args)]

    def before(self, earlier: Issued, later: Issued) -> bool:
        """Says whether `later` was issued by a replica that had seen `earlier`."""
        return bool(later.past >> earlier.index & 1)

    def concurrent(self, one: Issued, other: Issued) -> bool:
        """Says whether neither had been seen when the other was issued."""
        return one.index != other.index and not self.before(one, other) and not self.before(other, one)

    def after(self, earlier: Issued, method: str, *args: object) -> list[Issued]:
        """Returns what `of(method, *args)` returns, but only those that had seen `earlier`."""
        return [each for each in self.of(method, *args) if self.before(earlier, each)]

    def latest(self, method: str, *args: object) -> list[Issued]:
        """Returns those of `of(method, *args)` that no other one of them had seen."""
        return [each for each in self.of(method, *args) if not self.after(each, method, *args)]

    def past(self, issued: Issued) -> History:
        """Returns the part of this history that had been seen when `issued` was issued."""
        return History(each for each in self._issued if self.before(each, issued))

    def uncleared(self) -> History:
        """Returns what no `clear` had seen, without the clears: an observed reset undoes just what it saw."""
        return History(each for each in self._issued if each.method != "clear" and not self.after(each, "clear"))

    def translated(self, translate: Callable[[Issued], Issued | None]) -> History:
        """Returns this history with something else said in place of each command, or nothing where that is None.

        It makes the history of a nested value from the history of the map that holds it; see `Issued.saying`.
        """
        translations = map(translate, self._issued)
        return History(each for each in translations if each is not None)


def _starts_with(args: tuple[Any, ...], prefix: tuple[Any, ...]) -> bool:
    return all(map(_same, args, prefix)) if len(args) >= len(prefix) else False


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other
