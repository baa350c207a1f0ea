"""What a story does to a replica: a method and its arguments."""

from __future__ import annotations

from typing import Any, NamedTuple

from crdts.testing.rendering import rendered


class Command(NamedTuple):
    """Calls one method of a replica, and reads well in a story.

    A command equals the plain pair `(method, args)`, so a strategy may produce either. It is callable, so it
    also serves as the function that `ORMap.update` applies to a nested value, where a lambda would neither
    print nor tell a specification what it does::

        Command("update", ("basket", ORSet, Command("add", ("milk",))))

    Attributes:
        method: the name of a mutator of the type under test.
        args: its positional arguments.
    """

    method: str
    args: tuple[Any, ...] = ()

    def __call__(self, replica: Any) -> Any:
        """Carries the command out on `replica` and returns the operation, as the mutator does."""
        return getattr(replica, self.method)(*self.args)

    def __str__(self) -> str:
        return " ".join([self.method, ", ".join(map(rendered, self.args))]).rstrip()
