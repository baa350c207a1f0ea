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
        self._versions: dict[int, VersionVector] = {}
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
        if seen not in self._versions:
            counters: dict[str, int] = {}
            for each in self.history(seen):
                counters[each.replica_id] = max(each.counter, counters.get(each.replica_id, 0))
            self._versions[seen] = VersionVector(counters)
        return self._versions[seen]

    def observe(self, member: Member, stable_version: VersionVector) -> None:
        """Checks the version, the value and the state of the member that took a step."""
        self._expect_version(f"{member}.version", member.replica.version, self.version(member.seen))
        member.shown = rendered(member.replica.value)
        self._expect_specified(member)
        witness = self._witnesses.get(member.seen)
        if witness is None:
            self._witnesses[member.seen] = member.kept()
        elif witness.name == member.name:
            self._expect_shown(f"{member}.value unchanged", member.shown, witness.shown)
            self._expect_state(f"{member} unchanged", member.replica, witness.replica, stable_version)
        else:
            self._expect_shown(f"{member}.value == {witness}.value", member.shown, witness.shown)
            self._expect_state(f"{member} == {witness}", member.replica, witness.replica, stable_version)

    def expect_as_before(self, before: Member, member: Member) -> None:
        """Checks that a step that may change nothing changed nothing."""
        self._expect_version(f"{member}.version unchanged", member.replica.version, before.replica.version)
        self._expect_shown(f"{member}.value unchanged", rendered(member.replica.value), before.shown)
        if member.replica != before.replica:
            self._story.fail(f"{member} unchanged: {member.replica!r} != {before.replica!r}")

    def expect_bystanders(self, members: Iterable[Member]) -> None:
        """Checks that nothing happened to those that took no part in the step."""
        for member in members:
            self._expect_shown(f"{member}.value untouched", rendered(member.replica.value), member.shown)

    def _expect_version(self, expectation: str, found: VersionVector, expected: VersionVector) -> None:
        if found != expected:
            self._story.fail(f"{expectation}: {rendered(found)} != {rendered(expected)}")

    def _expect_shown(self, expectation: str, found: str, expected: str) -> None:
        if found != expected:
            self._story.fail(f"{expectation}: {found} != {expected}")

    def _expect_state(self, expectation: str, one: Any, other: Any, stable_version: VersionVector) -> None:
        if one != other and _stabilized(one, stable_version) != _stabilized(other, stable_version):
            self._story.fail(f"{expectation} (state): {one!r} != {other!r}")

    def _expect_specified(self, member: Member) -> None:
        if self._specification is None:
            return
        if member.seen not in self._specified:
            specified = self._specification(self.history(member.seen))
            self._specified[member.seen] = specified if callable(specified) else rendered(specified)
        expected = self._specified[member.seen]
        if isinstance(expected, str):
            self._expect_shown(f"{member}.value == specification", member.shown, expected)
        elif not expected(member.replica.value):
            self._story.fail(f"{member}.value as specified, not {member.shown}")


def _stabilized(replica: Any, stable_version: VersionVector) -> Any:
    copied = replica.copy("copy")
    copied.stabilize(stable_version)
    return copied
