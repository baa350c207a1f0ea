"""Which class an event is of when a reader across streams does not say."""

from collections.abc import Mapping, Sequence
from typing import Any

from calliope.codec import EventCodec
from calliope.errors import UnknownEventTypeError
from calliope.event import decorated_classes
from calliope.stores.record import StoredRecord, StoredType


class KnownTypes:
    """Decodes events of all classes that a journal was used with, and of all that `@event` decorates.

    Args:
        codecs: the codecs of the journal's streams; it may grow.
    """

    def __init__(self, codecs: Mapping[Any, EventCodec[Any]]) -> None:
        self._codecs = codecs
        self._by_type: dict[StoredType, EventCodec[Any]] = {}

    def decode(self, record: StoredRecord) -> Any:
        """Return the event of a record.

        Raises:
            UnknownEventTypeError: no class, or more than one, is known for its type.
            UnreadableEventError: as `EventCodec.decode`.
        """
        codec = self._by_type.get(record.type)
        if codec is None:
            codec = self._by_type[record.type] = EventCodec(self._class_of(record))
        return codec.decode(record)

    def decode_all(self, records: Sequence[StoredRecord]) -> list[Any]:
        """Return the events of records."""
        return list(map(self.decode, records))

    def _class_of(self, record: StoredRecord) -> type:
        name = record.type.name
        used = {codec.class_of(name) for codec in self._codecs.values()} - {None}
        classes = used or decorated_classes(name)
        if len(classes) == 1:
            return classes.pop()  # type: ignore[return-value] # None was taken out
        found = "is of no known type" if not classes else f"could be any of {sorted(map(repr, classes))}"
        raise UnknownEventTypeError(
            record.stream_id,
            record.position,
            *record.type,
            f"{found}; say event_type=… (UntypedEvent reads plain data)",
        )
