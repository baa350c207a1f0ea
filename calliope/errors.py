"""The errors of `calliope`, as a tree shaped by the `except` clauses people write.

    CalliopeError
    ├── ExpectedVersionError          somebody else appended first: load again and decide again
    ├── StreamKindError               plain and replicated do not mix in one stream
    ├── ReplicaIdInUseError           two handles write to one stream under one replica id
    ├── LogEntryError                 what another replica sent was not stored
    │   ├── LogGapError               it is not the next of its log
    │   ├── ForkedLogError            its number is held already, with other content
    │   └── MalformedEntryError       it does not match its checksum, or does not decode
    ├── EventError                    the code and the stored events do not fit
    │   ├── EventEncodingError        this event could not be stored (or not read back)
    │   └── UnreadableEventError      a stored event, never skipped:
    │       ├── UnknownEventTypeError     no class is known for the stored type
    │       ├── MissingUpcasterError      the stored payload is of a version that nothing takes further
    │       └── EventDecodingError        the stored payload does not fit its class
    └── JournalError                  the journal as a whole
        ├── JournalClosedError        used after it was closed, or in a forked child
        ├── JournalFormatError        not a journal, or written by a newer version
        ├── JournalBusyError          another process held the write lock for too long
        ├── StorageFullError          no room; nothing of the request was written
        ├── StorageError              the storage failed; the outcome is unknown, the same event id may be sent again
        └── CorruptJournalError       damage was found, and was not served
            └── CorruptRecordError    … in one record

Mistakes of the caller that no retry can mend stay `TypeError` and `ValueError`.
"""

from typing import Any


class CalliopeError(Exception):
    """The root of everything that `calliope` raises about streams and journals."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy by message and facts: what most errors are made from is neither."""
        return _copied, (type(self), self.args, vars(self))


class ExpectedVersionError(CalliopeError):
    """A persist expected another version of its stream; nothing was written.

    Attributes:
        stream_id: the stream.
        expected: the sequence number that the caller expected.
        actual: the sequence number that the stream has (0: no events).
    """

    def __init__(self, expected: int, actual: int, stream_id: str = "") -> None:
        self.expected = expected
        self.actual = actual
        self.stream_id = stream_id
        super().__init__(
            f"stream {stream_id!r} is at version {actual}, not at the expected {expected}; nothing was written"
        )


class StreamKindError(CalliopeError):
    """A stream was used as another kind than its first event made it; nothing was written."""

    def __init__(self, stream_id: str, expected: str, actual: str) -> None:
        self.stream_id = stream_id
        self.expected = expected
        self.actual = actual
        super().__init__(f"stream {stream_id!r} is {actual}, not {expected}, from its first event on")


class ReplicaIdInUseError(CalliopeError):
    """Somebody else wrote to a replicated stream under this handle's replica id; nothing was written.

    Each replica id numbers its own events of a stream, so only one handle at a time may write under it. A handle that
    is made anew carries on where the last one left off.

    Attributes:
        stream_id: the stream.
        replica_id: the replica id.
    """

    def __init__(self, stream_id: str, replica_id: str) -> None:
        self.stream_id = stream_id
        self.replica_id = replica_id
        super().__init__(
            f"another handle has written to stream {stream_id!r} as replica {replica_id!r} since this one did;"
            " nothing was written: give each live handle a replica id of its own"
        )


class LogEntryError(CalliopeError):
    """A log entry of another replica cannot be stored; nothing of what came with it was.

    Attributes:
        log_id: the log that the entry says it is of.
        number: its number there.
    """

    def __init__(self, log_id: str, number: int, reason: str) -> None:
        self.log_id = log_id
        self.number = number
        super().__init__(f"entry {number} of log {log_id!r} {reason}; nothing was written")


class LogGapError(LogEntryError):
    """An entry is not the next of its log.

    Attributes:
        expected: the number that would be the next.
    """

    def __init__(self, log_id: str, number: int, expected: int) -> None:
        self.expected = expected
        super().__init__(log_id, number, f"does not follow what is held: the next is {expected}")


class ForkedLogError(LogEntryError):
    """An entry's number is held already, with other content: two journals wrote under one log id."""

    def __init__(self, log_id: str, number: int) -> None:
        super().__init__(log_id, number, "is held already, with other content")


class MalformedEntryError(LogEntryError):
    """An entry does not match its checksum, or holds what no replica can have written."""


class EventError(CalliopeError):
    """The events in the journal and the event classes in the code do not fit."""


class EventEncodingError(EventError):
    """An event, or a snapshot's state, cannot be stored in a form that reads back; nothing was written."""

    def __init__(self, event: object, reason: str) -> None:
        self.event = event
        self.reason = reason
        super().__init__(f"{shortened(event)} cannot be stored: {reason}")


class UnreadableEventError(EventError):
    """A stored event that this code cannot turn into an object; it is reported, never skipped.

    Attributes:
        stream_id: the stream that holds it.
        position: its position in the journal.
        type: its stored type name.
        schema_version: the schema version it was stored with.
    """

    def __init__(self, stream_id: str, position: int, type: str, schema_version: int, reason: str) -> None:  # noqa: A002 - the field's name
        self.stream_id = stream_id
        self.position = position
        self.type = type
        self.schema_version = schema_version
        super().__init__(
            f"event {type!r} version {schema_version} at position {position} of stream {stream_id!r} {reason}"
        )


class UnknownEventTypeError(UnreadableEventError):
    """No class is known for a stored event type."""


class MissingUpcasterError(UnreadableEventError):
    """No chain of upcasters leads from the stored schema version to the current one."""


class EventDecodingError(UnreadableEventError):
    """A stored payload does not fit the class of its type."""


class JournalError(CalliopeError):
    """The journal as a whole cannot do what was asked."""


class JournalClosedError(JournalError):
    """The journal was used after it was closed, or in a process forked from the one that opened it."""


class JournalFormatError(JournalError):
    """What was given as a journal is none, or was written by a newer version; it was left as it is."""


class JournalBusyError(JournalError):
    """Another process held the journal's write lock for too long; nothing was written."""


class StorageFullError(JournalError):
    """There is no room left; nothing of the request was written, and it may be sent again."""


class StorageError(JournalError):
    """The storage failed; whether the request was written is unknown.

    Sending it again with the same event id is safe: it is written at most once.
    """


class CorruptJournalError(JournalError):
    """Damage was found in a journal; what is damaged was not served."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"the journal is damaged: {detail}")


class CorruptRecordError(CorruptJournalError):
    """A record does not match its checksum, or is missing; it was not served.

    Attributes:
        position: the record's position in the journal, or None when only its place in a stream is known.
    """

    def __init__(self, position: int | None, detail: str) -> None:
        self.position = position
        super().__init__(detail if position is None else f"record at position {position}: {detail}")


def _copied(error_class: type[CalliopeError], args: tuple[Any, ...], facts: dict[str, Any]) -> CalliopeError:
    error = error_class.__new__(error_class, *args)
    vars(error).update(facts)
    return error


def shortened(value: object, length: int = 120) -> str:
    """Return how a value reads in an error, cut where nobody would read on."""
    try:
        text = repr(value)
    except Exception:  # the object may be what is wrong
        text = f"<{type(value).__name__} without a repr>"
    return text if len(text) <= length else text[: length - 1] + "…"
