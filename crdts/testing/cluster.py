"""A few replicas in one place, and every step that a network could make them take.

After each step the replica that took it must show what belongs to all that it has seen, and every other
replica what it showed before (nothing is shared between replicas, operations and states).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from string import ascii_lowercase
from typing import Any

from crdts.errors import CausalityError
from crdts.testing.command import Command
from crdts.testing.history import History, Issued
from crdts.testing.member import Member
from crdts.testing.observer import Observer
from crdts.testing.rendering import rendered
from crdts.testing.story import Story
from crdts.version_vector import VersionVector


class Cluster:
    """Replicas of one type, the operations under way between them, and the story of it all.

    Every step checks what must hold after it and raises `Discrepancy`, whose text is the story, if it does not.

    Args:
        crdt_type: the type under test.
        replicas: how many replicas there are; they are called a, b, c ….
        specification: the value as a pure function of the visible history.
        refusals: what a command may raise if it makes no sense for the value as it is; it then changes nothing.
    """

    def __init__(
        self,
        crdt_type: type[Any],
        *,
        replicas: int = 3,
        specification: Callable[[History], Any] | None = None,
        refusals: tuple[type[Exception], ...] = (),
    ) -> None:
        self.story = Story()
        self.members = [Member.of(name, crdt_type(name)) for name in ascii_lowercase[:replicas]]
        self.left_behind: list[Member] = []
        self.issued: list[Issued] = []
        self._names: dict[int, str] = {}
        self._type = crdt_type
        self._refusals = refusals
        self._observer = Observer(self.story, specification)

    def newcomer(self, name: str) -> Member:
        """Returns a new replica that takes part in nothing but the steps it is named in."""
        return Member.of(name, self._type(name))

    # What can be done

    def deliverable(self, member: Member) -> list[Issued]:
        """Returns the operations that the member has not seen and whose past it has."""
        return [each for each in self._unseen(member) if not each.past & ~member.seen]

    def premature(self, member: Member) -> list[Issued]:
        """Returns the operations whose past the member has not seen."""
        return [each for each in self._unseen(member) if each.past & ~member.seen]

    def seen(self, member: Member) -> list[Issued]:
        """Returns the operations that the member has seen, its own included."""
        return [each for each in self.issued if member.seen >> each.index & 1]

    def _unseen(self, member: Member) -> list[Issued]:
        return [each for each in self.issued if not member.seen >> each.index & 1]

    def history(self, member: Member) -> History:
        """Returns what the member has seen, as a specification gets it."""
        return self._observer.history(member.seen)

    # Steps

    def issue(self, member: Member, command: Command) -> None:
        """Carries a command out on a replica; its operation is then under way to all others."""
        before = member.kept()
        with self._step(f"{member}: {command}", member):
            try:
                operation = command(member.replica)
            except self._refusals as refusal:
                self.story.amend(f" is refused ({type(refusal).__name__})")
                operation = None
            if operation is None:
                self._observer.expect_as_before(before, member)
            else:
                self._record(member, command, operation, before)

    def _record(self, member: Member, command: Command, operation: Any, before: Member) -> None:
        counter = member.replica.version[member.name]
        if counter <= before.replica.version[member.name]:
            self.story.fail(
                f"the operation to be counted: {member}.version is still {rendered(before.replica.version)}"
            )
        issued = Issued(
            index=len(self.issued),
            replica_id=member.name,
            counter=counter,
            command=command,
            operation=operation,
            past=before.seen,
            past_version=before.replica.version,
            past_value=before.replica.value,
        )
        self.issued.append(issued)
        self._observer.record(issued)
        self._names[issued.index] = self.story.name(member.name, command)
        member.seen |= 1 << issued.index

    def deliver(self, member: Member, issued: Issued, *, as_bytes: bool = False) -> None:
        """Applies an operation whose past is there; it must be new."""
        with self._step(self._delivery(member, issued, " as bytes" if as_bytes else ""), member):
            operation = _through_bytes(issued.operation) if as_bytes else issued.operation
            if operation != issued.operation:
                self.story.fail(f"the operation from its bytes: {operation!r} != {issued.operation!r}")
            if member.replica.apply(operation) is not True:
                self.story.fail("apply to return True: the operation is new")
            member.seen |= 1 << issued.index

    def deliver_again(self, member: Member, issued: Issued) -> None:
        """Applies an operation that has been seen: apply returns False and changes nothing."""
        before = member.kept()
        with self._step(self._delivery(member, issued, " again"), member):
            if member.replica.apply(issued.operation) is not False:
                self.story.fail("apply to return False: the operation is a duplicate")
            self._observer.expect_as_before(before, member)

    def deliver_early(self, member: Member, issued: Issued) -> None:
        """Applies an operation before its past: apply raises CausalityError and changes nothing."""
        before = member.kept()
        with self._step(self._delivery(member, issued, " before its past"), member):
            try:
                member.replica.apply(issued.operation)
            except CausalityError:
                self._observer.expect_as_before(before, member)
            else:
                self.story.fail("a CausalityError: the operation's past is missing")

    def merge(self, member: Member, other: Member) -> None:
        """Joins the state of another replica, as it is or as it once was, into this one."""
        former = "" if other in self.members else "former "
        with self._step(f"merge {member}←{former}{other}", member):
            member.replica.merge(other.replica)
            member.seen |= other.seen

    def stabilize(self, member: Member, version: VersionVector | None = None) -> None:
        """Folds away what is settled at a stable version, by default the highest; the value stays."""
        stable_version = self.stable_version(member.seen)
        if version is not None:
            stable_version = stable_version.meet(version)
        with self._step(f"stabilize {member} at {rendered(stable_version)}", member):
            member.replica.stabilize(stable_version)

    def read_back(self, member: Member) -> None:
        """Replaces a replica by what its bytes say."""
        with self._step(f"{member} from its bytes", member):
            before = member.kept()
            member.replica = self._type.from_bytes(member.replica.to_bytes(), member.name)
            self._observer.expect_as_before(before, member)

    def leave_behind(self, member: Member) -> None:
        """Replaces a replica by its copy; the original must then stay as it is, and may be merged later."""
        with self._step(f"{member} becomes its copy", member):
            before = Member(member.name, member.replica, member.seen, member.shown)
            member.replica = before.replica.copy(member.name)
            self._observer.expect_as_before(before, member)
            self.left_behind.append(before)

    def catch_up(self, member: Member, choose: Callable[[int], int]) -> None:
        """Delivers everything that is under way to a member, in the causal order that `choose` picks."""
        while ready := self.deliverable(member):
            self.deliver(member, ready[choose(len(ready)) if len(ready) > 1 else 0])

    def stable_version(self, seen: int) -> VersionVector:
        """Returns the highest version that is causally stable for a replica that has seen `seen`.

        Every operation that is still to come to that replica has this version in its past: those to be issued, because
        every member has reached it, and those under way, because it is cut down to their pasts. The mere minimum of the
        members' versions is not stable: a member may have reached it after issuing something that is still under way
        (Baquero, Almeida and Shoker, "Pure operation-based replicated data types", 2017, section 5).
        """
        reached: list[VersionVector] = [each.replica.version for each in self.members]
        under_way = [each.past_version for each in self.issued if not seen >> each.index & 1]
        return reduce(VersionVector.meet, reached + under_way)

    def join(self, one: Member, other: Member) -> Member:
        """Returns what merging copies of two replicas gives; it must be what any replica is that saw as much."""
        joined = Member(f"{one}|{other}", one.replica.copy("joined"), one.seen | other.seen, "")
        with self._step(f"merge copies: {joined}", joined):
            joined.replica.merge(other.replica)
        self.story.forget()
        return joined

    def _delivery(self, member: Member, issued: Issued, how: str) -> str:
        return f"deliver {issued.replica_id}→{member} {self._names[issued.index]}{how}"

    @contextmanager
    def _step(self, line: str, member: Member) -> Iterator[None]:
        with self.story.tell(line):
            yield
            self._observer.observe(member, self.stable_version(member.seen))
            bystanders = self.members + self.left_behind
            self._observer.expect_bystanders(each for each in bystanders if each is not member)


def _through_bytes(operation: Any) -> Any:
    return type(operation).from_bytes(operation.to_bytes())
