"""The promises that are checked after every step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from crdts.testing.history import History, Issued
from crdts.testing.member import Member
from crdts.testing.rendering import rendered
from crdts.testing.story import Story
from crdts.version_vector import VersionVector


class Observer:
    """Compares what replicas show with what they must show.

    Invariant: the value is a function of what has been seen. So whatever value a replica showed first for a set of seen
    commands is the value that every replica must show for that set, however it came to see them, then and later.

    Args:
        story: where a broken promise is told.
        specification: the value as a pure function of the visible history, or a predicate on it.
    """

    def __init__(self, story: Story, specification: Callable[[History], Any] | None) -> None:
        self._story = story
        self._specification = specification
        self._issued: list[Issued] = []
        self._specified: dict[int, Any] = {}
        self._witnesses: dict[int, Member] = {}

    def record(self, issued: Issued) -> None:
        """Makes a command part of the histories to come."""
        self._issued.append(issued)

    def history(self, seen: int) -> History:
        """Returns the visible history of a replica that has seen `seen`."""
        return History(each for each in self._issued if seen >> each.index & 1)

    def version(self, seen: int) -> VersionVector:
        """Returns the version that a replica has that has seen `seen`."""
        counters: dict[str, int] = {}
        for each in self.history(seen):
            counters[each.replica_id] = max(each.counter, counters.get(each.replica_id, 0))
        return VersionVector(counters)

    def observe(self, member: Member, stable_version: VersionVector) -> None:
        """Checks the version, the value and the state of the member that took a step."""
        self._expect(f"{member}.version", member.replica.version, self.version(member.seen))
        member.shown = rendered(member.replica.value)
        self._expect_specified(member)
        witness = self._witnesses.setdefault(member.seen, member)
        if witness is member:
            self._witnesses[member.seen] = member.kept()
            return
        expected = f"{member}.value unchanged" if witness.name == member.name else f"{member}.value == {witness}.value"
        if member.shown != witness.shown:
            self._story.fail(f"{expected}: {member.shown} != {witness.shown}")
        self.expect_same(expected.replace(".value", ""), member.replica, witness.replica, stable_version)

    def expect_as_before(self, before: Member, member: Member) -> None:
        """Checks that a step that may change nothing changed nothing."""
        self._expect(f"{member}.version unchanged", member.replica.version, before.replica.version)
        self._expect(f"{member}.value unchanged", member.replica.value, before.replica.value)
        if member.replica != before.replica:
            self._story.fail(f"{member} unchanged: {member.replica!r} != {before.replica!r}")

    def expect_bystanders(self, members: Iterable[Member]) -> None:
        """Checks that nothing happened to those that took no part in the step."""
        for member in members:
            shown = rendered(member.replica.value)
            if shown != member.shown:
                self._story.fail(f"{member}.value untouched: {shown} != {member.shown}")

    def expect_same(self, expectation: str, one: Any, other: Any, stable_version: VersionVector) -> None:
        """Checks that two replicas that saw the same are the same, once both are stabilised as far as can be."""
        self._expect(f"{expectation} (version)", one.version, other.version)
        self._expect(expectation, one.value, other.value)
        one, other = (_stabilized(each, stable_version) for each in (one, other))
        if one != other:
            self._story.fail(f"{expectation} (state): {one!r} != {other!r}")

    def _expect(self, expectation: str, found: object, expected: object) -> None:
        if rendered(found) != rendered(expected):
            self._story.fail(f"{expectation}: {rendered(found)} != {rendered(expected)}")

    def _expect_specified(self, member: Member) -> None:
        if self._specification is None:
            return
        if member.seen not in self._specified:
            self._specified[member.seen] = self._specification(self.history(member.seen))
        specified = self._specified[member.seen]
        if not callable(specified):
            self._expect(f"{member}.value == specification", member.replica.value, specified)
        elif not specified(member.replica.value):
            self._story.fail(f"{member}.value as specified, not {member.shown}")


def _stabilized(replica: Any, stable_version: VersionVector) -> Any:
    copied = replica.copy("copy")
    copied.stabilize(stable_version)
    return copied
