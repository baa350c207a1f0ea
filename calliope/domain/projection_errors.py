"""What projections raise, and what stands in the way of one.

CalliopeError
└── ProjectionError
    ├── ProjectionParkedError     an event could not be handled: mend the handler and resume, or skip the event
    ├── ProjectionStoppedError    the projection was stopped before it saw what was waited for
    ├── ProjectionTimeoutError    it did not see it in time: it may later
    └── OffsetMovedError          another process runs the same projection into the same view
"""

from calliope.errors import CalliopeError


class ProjectionError(CalliopeError):
    """A projection has not come as far as was wanted.

    Attributes:
        name: the projection.
    """

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        super().__init__(f"projection {name!r} {message}")


class ProjectionParkedError(ProjectionError):
    """A projection stands still at an event that it could not handle; the events before it are in the view.

    Attributes:
        position: the event's position in the journal.
        error: what went wrong, in words.
    """

    def __init__(self, name: str, position: int, error: str) -> None:
        self.position = position
        self.error = error
        super().__init__(name, f"is parked at position {position}: {error}; resume() or skip({position}) takes it on")


class ProjectionStoppedError(ProjectionError):
    """A projection was stopped before it had seen a position; started anew, it goes on where it was."""

    def __init__(self, name: str, wanted: int, seen: int) -> None:
        self.wanted = wanted
        self.seen = seen
        super().__init__(name, f"was stopped at position {seen}, before {wanted}")


class ProjectionTimeoutError(ProjectionError, TimeoutError):
    """A projection had not seen a position in time; it goes on."""

    def __init__(self, name: str, wanted: int, seen: int, seconds: float) -> None:
        self.wanted = wanted
        self.seen = seen
        self.seconds = seconds
        super().__init__(name, f"did not reach position {wanted} within {seconds} seconds; it is at {seen}")


class OffsetMovedError(ProjectionError):
    """A view's offset is not where this projection left it; nothing of the batch was written."""

    def __init__(self, name: str, expected: int, actual: int) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(name, f"left its offset at {expected} and finds it at {actual}: another one runs, too")
