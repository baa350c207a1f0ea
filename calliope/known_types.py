"""Which class an event is of when a reader across streams does not say."""

from collections.abc import Mapping
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
            codec = self._by_type[record.type] = self._codec_for(record)
        return codec.decode(record)

    def decode_array(self, stored_type: StoredType, array: bytes) -> list[Any]:
        """Return the events of one type, quickly; see `EventCodec.decode_array`."""
        return self._by_type[stored_type].decode_array(stored_type, array)

    def _codec_for(self, record: StoredRecord) -> EventCodec[Any]:
        try:
            return EventCodec(self._class_of(record.type.name))
        except (TypeError, ValueError) as error:
            reason = f"{error}; say event_type=… (UntypedEvent reads plain data)"
            raise UnknownEventTypeError(record.stream_id, record.position, *record.type, reason) from error

    def _class_of(self, name: str) -> type:
        used = [codec.class_of(name) for codec in self._codecs.values()]
        latest: dict[str, type] = {}
        for found in [event_class for event_class in used if event_class is not None] or decorated_classes(name):
            latest[f"{found.__module__}.{found.__qualname__}"] = found
        if len(latest) == 1:
            return latest.popitem()[1]
        raise ValueError("is of no known type" if not latest else f"could be any of {', '.join(sorted(latest))}")
