"""The errors that streams raise by themselves; errors of the functions given to stages surface unchanged.

CalliopeError
└── FlowError
├── EmptyStreamError      first or last of nothing
└── RunDisposedError      the result of a run that was left before it ended
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
