"""What a reader is given: an event with its place and context, and the reply of a persist."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from calliope.stores.log_state import replica_id_of
from calliope.stores.record import StoredRecord, minted_id, replicated_id
from crdts import VersionVector

E_co = TypeVar("E_co", covariant=True)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RecordedEvent(Generic[E_co]):
    """An event as it stands in a journal. Two are equal when they are the same record with equal data.

    Attributes:
        data: the event.
    """

    __slots__ = ("_journal_id", "_record", "data")

    def __init__(self, record: StoredRecord, data: E_co, journal_id: str) -> None:
        self._record = record
        self._journal_id = journal_id
        self.data = data

    @property
    def id(self) -> str:
        """Identifies the event, among all journals; in a replicated stream it is the same on every replica."""
        record = self._record
        if record.attributes.event_id is not None:
            return record.attributes.event_id
        if record.writer:
            return replicated_id(record.stream_id, record.writer, record.version[record.writer])
        return minted_id(self._journal_id, record.position)

    @property
    def type(self) -> str:
        """The stored type name."""
        return self._record.type.name

    @property
    def schema_version(self) -> int:
        """The version of the payload's shape when it was stored."""
        return self._record.type.schema_version

    @property
    def stream_id(self) -> str:
        """The stream that holds the event."""
        return self._record.stream_id

    @property
    def sequence_number(self) -> int:
        """The place in the stream: 1, 2, 3 and so on."""
        return self._record.sequence_number

    @property
    def position(self) -> int:
        """The place in the journal; grows from event to event, and may have gaps."""
        return self._record.position

    @property
    def version(self) -> VersionVector:
        """What its writer had observed of the stream, this event included: one counter a writer.

        In a plain stream there is one writer, the journal, and he has observed everything.
        """
        if self._record.writer:
            return VersionVector.wrap(self._record.version)
        return VersionVector({self._journal_id: self._record.sequence_number})

    @property
    def replica_id(self) -> str:
        """Who wrote it: in a plain stream the journal itself, by its id."""
        return replica_id_of(self._record.writer) if self._record.writer else self._journal_id

    @property
    def tags(self) -> frozenset[str]:
        """Labels for filtering."""
        return frozenset(self._record.attributes.tags)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Context as plain data, such as `correlation_id` and `causation_id`."""
        return MappingProxyType(self._record.attributes.metadata)

    @property
    def timestamp(self) -> datetime:
        """When it was persisted, by the writer's clock; aware, in UTC, to the microsecond."""
        return _EPOCH + timedelta(microseconds=self._record.timestamp)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RecordedEvent):
            return NotImplemented
        return self._record == other._record and self.id == other.id and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return (
            f"<RecordedEvent {self.type!r} {self.stream_id!r}#{self.sequence_number}"
            f" position={self.position} data={self.data!r}>"
        )


class PersistReply(Generic[E_co]):
    """What `persist` returns once its events are durable. Two are equal when their records are.

    Attributes:
        concurrent_update_detected: whether the stream holds events that the writer had not observed; a plain one never.

    Args:
        recorded: the stored records, at least one.
        record_of: gives a stored record's event back.
        concurrent: the records that the writer had not observed, as far as they are reported.
        detected: whether there were any.
    """

    __slots__ = ("_concurrent", "_record_of", "_recorded", "concurrent_update_detected")

    def __init__(
        self,
        recorded: Sequence[StoredRecord],
        record_of: Callable[[StoredRecord], RecordedEvent[E_co]],
        concurrent: Sequence[StoredRecord] = (),
        *,
        detected: bool = False,
    ) -> None:
        self._recorded = recorded
        self._record_of = record_of
        self._concurrent = concurrent
        self.concurrent_update_detected = detected

    @property
    def sequence_number(self) -> int:
        """The place of the last of the events in the stream."""
        return self._recorded[-1].sequence_number

    @property
    def position(self) -> int:
        """The place of the last of the events in the journal."""
        return self._recorded[-1].position

    @property
    def version(self) -> VersionVector:
        """The version of the last of the events."""
        return self._record_of(self._recorded[-1]).version

    @property
    def records(self) -> tuple[RecordedEvent[E_co], ...]:
        """The events as they were stored, in order."""
        return tuple(map(self._record_of, self._recorded))

    @property
    def concurrent_updates(self) -> tuple[RecordedEvent[E_co], ...]:
        """The events that the writer had not observed, in the order of the stream; in a plain stream there are none.

        At most the newest 1,024 of them, of the newest 16,384 of the stream. If there are more, none of them counts as
        observed, and the next reply reports them again: read the stream.
        """
        return tuple(map(self._record_of, self._concurrent))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PersistReply):
            return NotImplemented
        return self.records == other.records

    def __hash__(self) -> int:
        return hash(self.position)

    def __repr__(self) -> str:
        return f"<PersistReply sequence_number={self.sequence_number} position={self.position}>"
