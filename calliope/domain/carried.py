"""Objects inside of events, as plain data with their types: a decided command, the event that a deadline brings."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from typing_extensions import TypeForm

from calliope.codec import EventCodec
from calliope.payload import decode_plain, encode_plain
from calliope.recorded_event import RecordedEvent
from calliope.stores.record import StoredRecord, StoredType

T = TypeVar("T")


@dataclass(frozen=True)
class Carried:
    """An object in stored form.

    Attributes:
        type: the stored type name.
        version: the schema version.
        data: its fields, as plain data.
    """

    type: str
    version: int
    data: Any


class Carrier(Generic[T]):
    """Puts objects of some classes into events and takes them out again, with upcasters, as events themselves are.

    Args:
        types: a class, or a union of classes, that events can have.
    """

    def __init__(self, types: TypeForm[T]) -> None:
        self._codec = EventCodec(types)

    def carried(self, value: T) -> Carried:
        """Return the stored form.

        Raises:
            TypeError: it is of none of the classes.
            EventEncodingError: it cannot be stored.
        """
        stored_type, payload = self._codec.encode(value)
        return Carried(stored_type.name, stored_type.schema_version, decode_plain(payload))

    def value_of(self, carried: Carried, record: RecordedEvent[Any]) -> T:
        """Return the object that a record carries.

        Raises:
            UnreadableEventError: the code has no class for it, or it does not fit; the error names the record.
        """
        stored_type = StoredType(carried.type, carried.version)
        payload = encode_plain(carried.data)
        return self._codec.decode(
            StoredRecord(record.position, record.stream_id, record.sequence_number, stored_type, 0, payload)
        )
