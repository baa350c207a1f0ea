"""One replica under test, and what it has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crdts.testing.rendering import rendered


@dataclass(slots=True, eq=False)
class Member:
    """One replica of a cluster under test.

    Attributes:
        name: its replica id.
        replica: the CRDT itself; replaced when it is read back from bytes or copied.
        seen: the indices of the commands that it has seen, as the bits of one integer.
        shown: its value as it printed after its last step.
    """

    name: str
    replica: Any
    seen: int
    shown: str

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, name: str, replica: Any, seen: int = 0) -> Member:
        """Makes a member of a replica that has seen `seen`."""
        return cls(name, replica, seen, rendered(replica.value))

    def kept(self) -> Member:
        """Returns a copy of this member as it is now, which shares nothing with it if `copy` is right."""
        return Member(self.name, self.replica.copy(self.name), self.seen, self.shown)
