"""Where events come to stand: what a stream allows, and the places of what follows its last event."""

from calliope.errors import ExpectedVersionError, StreamKindError
from calliope.stores.protocol import AppendRequest, StreamKind
from calliope.stores.record import StoredRecord


def check_may_follow(request: AppendRequest, kind: StreamKind, sequence_number: int) -> None:
    """Check that a stream of a kind, with so many events, is what a request expects.

    Raises:
        StreamKindError: it is of another kind.
        ExpectedVersionError: it has another version.
    """
    if kind != request.kind:
        raise StreamKindError(request.stream_id, request.kind, kind)
    if request.expected_version is not None and request.expected_version != sequence_number:
        raise ExpectedVersionError(request.expected_version, sequence_number, request.stream_id)


def placed(request: AppendRequest, position: int, sequence_number: int) -> list[StoredRecord]:
    """Return the records of a request's events, which follow a position and a sequence number.

    This loop is most of what a commit costs in Python: it looks nothing up twice.
    """
    stream_id, timestamp = request.stream_id, request.timestamp
    records = []
    for event in request.events:
        position += 1
        sequence_number += 1
        records.append(
            StoredRecord(position, stream_id, sequence_number, event.type, timestamp, event.payload, event.attributes)
        )
    return records
