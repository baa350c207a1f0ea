"""Event streams: a durable journal with composable sources and sinks, for plain async code."""

from calliope.codec import UntypedEvent
from calliope.context import caused_by, current_metadata, with_metadata
from calliope.errors import (
    CalliopeError,
    CorruptJournalError,
    CorruptRecordError,
    EventDecodingError,
    EventEncodingError,
    EventError,
    ExpectedVersionError,
    JournalBusyError,
    JournalClosedError,
    JournalError,
    JournalFormatError,
    MissingUpcasterError,
    StorageError,
    StorageFullError,
    StreamKindError,
    UnknownEventTypeError,
    UnreadableEventError,
)
from calliope.event import event
from calliope.event_stream import EventStream
from calliope.flow import (
    Backoff,
    BufferOverflowError,
    EmptyStreamError,
    Flow,
    FlowError,
    Overflow,
    Sink,
    Source,
    StreamTimeoutError,
    TooManyGroupsError,
)
from calliope.journal import Journal
from calliope.recorded_event import PersistReply, RecordedEvent
from calliope.snapshots import Snapshot, SnapshotStore, SnapshotSummary, UnreadableSnapshotWarning
from calliope.stores.protocol import EventStore, StreamSummary
from calliope.upcasting import upcast

__all__ = [
    "Backoff",
    "BufferOverflowError",
    "CalliopeError",
    "CorruptJournalError",
    "CorruptRecordError",
    "EmptyStreamError",
    "EventDecodingError",
    "EventEncodingError",
    "EventError",
    "EventStore",
    "EventStream",
    "ExpectedVersionError",
    "Flow",
    "FlowError",
    "Journal",
    "JournalBusyError",
    "JournalClosedError",
    "JournalError",
    "JournalFormatError",
    "MissingUpcasterError",
    "Overflow",
    "PersistReply",
    "RecordedEvent",
    "Sink",
    "Snapshot",
    "SnapshotStore",
    "SnapshotSummary",
    "Source",
    "StorageError",
    "StorageFullError",
    "StreamKindError",
    "StreamSummary",
    "StreamTimeoutError",
    "TooManyGroupsError",
    "UnknownEventTypeError",
    "UnreadableEventError",
    "UnreadableSnapshotWarning",
    "UntypedEvent",
    "caused_by",
    "current_metadata",
    "event",
    "upcast",
    "with_metadata",
]
