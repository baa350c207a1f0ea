"""The errors that streams raise by themselves; errors of the functions given to stages surface unchanged.

Their tree:

    CalliopeError
    └── FlowError
        ├── EmptyStreamError      first or last of nothing
        ├── BufferOverflowError   a buffer with overflow="fail" was full
        ├── TooManyGroupsError    group_by met one key more than it may
        ├── StreamTimeoutError    nothing came in time (also a TimeoutError)
        ├── StreamClosedError     a stream was used from one side after it had been closed from the other
        └── RunDisposedError      the result of a run that was left before it ended

Mistakes in building a recipe are `TypeError` and `ValueError`, where it is built.
"""

from calliope.errors import CalliopeError


class FlowError(CalliopeError):
    """A stream could not go on."""


class EmptyStreamError(FlowError):
    """One element was asked of a stream that had none."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        super().__init__(f"the stream ended without an element, so there is no {wanted} one")


class RunDisposedError(FlowError):
    """The result was asked of a run whose block had been left before the stream ended."""

    def __init__(self) -> None:
        super().__init__("the run was disposed before its stream ended, so it has no result")


class BufferOverflowError(FlowError):
    """An element came for a buffer that was full and that must not be."""

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(f"a buffer of {n} elements was full when another one came")


class TooManyGroupsError(FlowError):
    """A stream had more keys than it may be grouped by."""

    def __init__(self, max_groups: int, key: object) -> None:
        self.max_groups = max_groups
        self.key = key
        super().__init__(f"the stream is grouped by at most {max_groups} keys, and {key!r} is one more")


class StreamTimeoutError(FlowError, TimeoutError):
    """No element came in time; the stream has been closed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"no element came within {seconds} seconds")


class StreamClosedError(FlowError):
    """A stream was used from one side after it had been closed from the other."""
