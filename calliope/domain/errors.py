"""What executing a command raises besides the domain's own rejections.

CalliopeError
├── ExpectedVersionError     the caller expected another version: look again, then decide again
├── ConflictError            others were quicker again and again: try later
└── CommandExpiredError      the deadline has passed: it is too late
"""

from datetime import datetime

from calliope.errors import CalliopeError


class ConflictError(CalliopeError):
    """Others wrote to the aggregate whenever a command was about to; nothing of the command was stored.

    Attributes:
        stream_id: the aggregate's stream.
        attempts: how often the command was decided and refused by the journal.
    """

    def __init__(self, stream_id: str, attempts: int) -> None:
        self.stream_id = stream_id
        self.attempts = attempts
        super().__init__(
            f"the command was decided {attempts} times, and each time somebody else had written to stream"
            f" {stream_id!r} first; nothing was stored"
        )


class CommandExpiredError(CalliopeError):
    """A command's deadline passed before it could be carried out; nothing of it was stored.

    Attributes:
        stream_id: the aggregate's stream.
        deadline: until when the command was wanted.
    """

    def __init__(self, stream_id: str, deadline: datetime) -> None:
        self.stream_id = stream_id
        self.deadline = deadline
        super().__init__(
            f"the command for stream {stream_id!r} was wanted until {deadline.isoformat()}; nothing was stored"
        )


class UnsavedSnapshotWarning(UserWarning):
    """A snapshot could not be saved; nothing is lost, loading takes longer."""
