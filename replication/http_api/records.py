"""Events as JSON."""

from typing import Any

from calliope import RecordedEvent, UntypedEvent
from replication.http_api.plain_values import as_json


def record_as_json(record: RecordedEvent[UntypedEvent]) -> dict[str, Any]:
    """Return an event with its place and context."""
    return {
        "stream_id": record.stream_id,
        "sequence_number": record.sequence_number,
        "position": record.position,
        "id": record.id,
        "type": record.type,
        "schema_version": record.schema_version,
        "timestamp": record.timestamp.isoformat(),
        "replica_id": record.replica_id,
        "version": record.version.to_dict(),
        "tags": sorted(record.tags),
        "metadata": as_json(record.metadata),
        "data": as_json(record.data.data),
    }
