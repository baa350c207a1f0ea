"""`Run`: records that follow one another, in the form in which they were read.

A reader of events needs no records, so a store hands out what it has read as it is, checked, and a run makes of it what
is asked for: records, or their payloads by type. A thousand payloads of one type are decoded by one call that way, and
not by a thousand.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from calliope.stores.record import StoredRecord, StoredType

T = TypeVar("T")


class TypedPayloads(NamedTuple):
    """The payloads of a run, put together by type.

    Attributes:
        types: the type of each event, in order.
        arrays: for each type one msgpack array of the payloads of its events, in order.
    """

    types: Sequence[StoredType]
    arrays: dict[StoredType, bytes]

    def decoded(self, decode_array: Callable[[StoredType, bytes], list[T]]) -> list[T]:
        """Return all events in order, given what decodes an array of events of one type.

        Raises:
            ValueError: some payload was not one msgpack value.
        """
        decoded = {stored_type: decode_array(stored_type, array) for stored_type, array in self.arrays.items()}
        if len(decoded) == 1:
            (events,) = decoded.values()
        else:
            following = {stored_type: iter(events).__next__ for stored_type, events in decoded.items()}
            events = [following[stored_type]() for stored_type in self.types]
        if len(events) != len(self.types):
            raise ValueError(f"{len(self.types)} payloads hold {len(events)} events")
        return events


class Run(Protocol):
    """Records in order; a store may bring its own form. A run is false when it is empty.

    Attributes:
        last_position: the position of the last record.
        last_sequence_number: its sequence number.
    """

    @property
    def last_position(self) -> int: ...  # noqa: D102 - see above
    @property
    def last_sequence_number(self) -> int: ...  # noqa: D102
    def __len__(self) -> int: ...

    @property
    def records(self) -> list[StoredRecord]:
        """The records, one an event."""
        ...

    def typed_payloads(self) -> TypedPayloads:
        """Return the payloads, put together by type."""
        ...


class RecordRun:
    """Records that are at hand, as a run.

    Attributes:
        records: the records.
    """

    __slots__ = ("records",)

    def __init__(self, records: Sequence[StoredRecord] = ()) -> None:
        self.records = list(records)

    @property
    def last_position(self) -> int:
        """The position of the last record."""
        return self.records[-1].position

    @property
    def last_sequence_number(self) -> int:
        """The sequence number of the last record."""
        return self.records[-1].sequence_number

    def __len__(self) -> int:
        return len(self.records)

    def typed_payloads(self) -> TypedPayloads:
        """Return the payloads, put together by type."""
        return put_together((record.type, 1, record.payload) for record in self.records)


def put_together(parts: Iterable[tuple[StoredType, int, bytes]]) -> TypedPayloads:
    """Put payloads together by type.

    Args:
        parts: in order: a type, of how many events, and their payloads one after another.
    """
    types: list[StoredType] = []
    payloads: dict[StoredType, list[bytes]] = {}
    counts: dict[StoredType, int] = {}
    for stored_type, count, payload in parts:
        if count == 1:
            types.append(stored_type)
        else:
            types += [stored_type] * count
        if stored_type in payloads:
            payloads[stored_type].append(payload)
            counts[stored_type] += count
        else:
            payloads[stored_type], counts[stored_type] = [payload], count
    return TypedPayloads(types, {each: array_of(counts[each], parts) for each, parts in payloads.items()})


def array_of(count: int, payloads: Iterable[bytes]) -> bytes:
    """Return the msgpack array of so many values, which stand in the payloads one after another."""
    return b"".join((b"\xdd", count.to_bytes(4, "big"), *payloads))


def split(count: int, payload: bytes) -> list[bytes]:
    """Return the values, each as it was encoded, that stand in a payload one after another.

    Raises:
        msgspec.DecodeError: there are not so many.
    """
    return [payload] if count == 1 else list(map(bytes, _decode_values(array_of(count, (payload,)))))


def are_single_values(payloads: Sequence[bytes]) -> bool:
    """Tell whether each payload is one msgpack value, so that they can be told apart when they are put together."""
    try:
        values = _decode_values(array_of(len(payloads), payloads))
    except (msgspec.DecodeError, RecursionError):
        return False
    return list(map(len, values)) == list(map(len, payloads))


_decode_values: Callable[[bytes], list[Any]] = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
