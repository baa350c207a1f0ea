"""Events to bytes and back: which classes a stream holds, under which stored types."""

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, is_typeddict

from typing_extensions import TypeAliasType, TypeForm

from calliope.errors import (
    EventDecodingError,
    MissingUpcasterError,
    UnknownEventTypeError,
    UnreadableEventError,
    shortened,
)
from calliope.event import EventDefinition, definition_of, redefines
from calliope.limits import PAYLOAD_BYTES_MAX, TYPE_NAME_BYTES_MAX, checked_number, checked_text
from calliope.payload import Decoder, checked_encoder, decoder_from, stored_type_of
from calliope.stores.record import StoredRecord, StoredType
from calliope.upcasting import missing_upcaster

E = TypeVar("E")


@dataclass(frozen=True)
class UntypedEvent:
    """An event as plain data, for tools that know no classes: importers, exporters, gateways.

    Attributes:
        type: the stored type name.
        data: the payload, as plain data; usually a dict of fields.
        schema_version: the version of the payload's shape.
    """

    type: str
    data: Any
    schema_version: int = 1


class EventCodec(Generic[E]):
    """Encodes and decodes the events of one stream.

    Args:
        event_type: a class, or a union of classes. A class stands for its subclasses too. `UntypedEvent` reads and
            writes every type as plain data.

    Raises:
        TypeError: a class cannot be an event, or is `UntypedEvent` among others.
        ValueError: two of the classes are stored under the same name.
    """

    def __init__(self, event_type: TypeForm[E]) -> None:
        self._roots = tuple(event_classes(event_type))
        self._untyped = UntypedEvent in self._roots
        if self._untyped and len(self._roots) > 1:
            raise TypeError(f"UntypedEvent stands for events of every type, so it stands alone, not in {event_type!r}")
        self._encoders: dict[type, _Encoder] = {}
        self._decoders: dict[StoredType, Decoder] = {}
        self._definitions: dict[str, tuple[type, EventDefinition]] = {}
        self._learn()

    def class_of(self, name: str) -> type | None:
        """Return the class that is stored under a name, or None."""
        if name not in self._definitions:
            self._learn()
        return self._definitions[name][0] if name in self._definitions else None

    def encode(self, event: E) -> tuple[StoredType, bytes]:
        """Return an event's stored type and payload.

        Raises:
            TypeError: the event is of no class of this stream.
            EventEncodingError: it does not encode, is too large, or would not read back.
        """
        encoder = self._encoders.get(type(event)) or self._new_encoder(type(event), event)
        return encoder(event)

    def decode(self, record: StoredRecord) -> E:
        """Return the event of a record.

        Raises:
            UnknownEventTypeError: its type is none of this stream's classes.
            MissingUpcasterError: its schema version is newer than the class's, or nothing takes it further.
            EventDecodingError: its payload does not fit the class.
        """
        decoder = self._decoders.get(record.type) or self._new_decoder(record)
        try:
            event: E = decoder.one(record.payload)
        except Exception as error:
            raise self._unreadable(EventDecodingError, record, f"does not fit its class: {error}") from error
        return event

    def decode_array(self, stored_type: StoredType, array: bytes) -> list[E]:
        """Return the events of one type, quickly.

        Args:
            stored_type: their type; `decode` has met it before.
            array: one msgpack array of their payloads.

        Raises:
            Exception: something cannot be decoded; `decode` says which and why.
        """
        events: list[E] = self._decoders[stored_type].array(array)
        return events

    def _learn(self) -> None:
        """Find the classes and their subclasses anew; more may have been defined since."""
        if self._untyped:
            return
        definitions: dict[str, tuple[type, EventDefinition]] = {}
        for event_class in _with_subclasses(self._roots):
            definition = definition_of(event_class)
            for name in (definition.name, *definition.aliases):
                known = definitions.get(name, (event_class, definition))[0]
                if not redefines(event_class, known):
                    raise ValueError(
                        f"{known.__qualname__} and {event_class.__qualname__} are both stored as {name!r};"
                        " name one of them with @event(...)"
                    )
                definitions[name] = event_class, definition
        if definitions != self._definitions:
            self._definitions = definitions
            self._decoders.clear()

    def _new_encoder(self, event_class: type, event: E) -> "_Encoder":
        self._learn()
        if self._untyped and event_class is UntypedEvent:
            encoder: _Encoder = _encoded_untyped
        elif any(event_class is known for known, _ in self._definitions.values()):
            encoder = _encoder_of(event_class)
        else:
            names = ", ".join(sorted(root.__name__ for root in self._roots))
            raise TypeError(f"{shortened(event)} is no event of this stream, which holds {names}")
        self._encoders[event_class] = encoder
        return encoder

    def _new_decoder(self, record: StoredRecord) -> Decoder:
        stored_type = record.type
        if self._untyped:
            decoder = _untyped_decoder(stored_type)
        else:
            event_class, definition = self._definition_for(record)
            self._check_version(definition, record)
            try:
                decoder = decoder_from(event_class, definition, stored_type.schema_version)
            except TypeError as error:
                raise self._unreadable(EventDecodingError, record, f"has a class that none can be: {error}") from error
        self._decoders[stored_type] = decoder
        return decoder

    def _definition_for(self, record: StoredRecord) -> tuple[type, EventDefinition]:
        try:
            if self.class_of(record.type.name) is not None:
                return self._definitions[record.type.name]
        except ValueError as error:  # a class defined since is stored under the name of another
            raise self._unreadable(UnknownEventTypeError, record, f"is of no one type: {error}") from error
        known = ", ".join(sorted(self._definitions))
        raise self._unreadable(UnknownEventTypeError, record, f"is of no known type; known are {known}")

    def _check_version(self, definition: EventDefinition, record: StoredRecord) -> None:
        version = record.type.schema_version
        if version > definition.version:
            reason = f"is newer than this code, which knows version {definition.version}"
            raise self._unreadable(MissingUpcasterError, record, reason)
        missing = missing_upcaster(definition, version)
        if missing is not None:
            raise self._unreadable(MissingUpcasterError, record, f"has no upcaster from version {missing}")

    def _unreadable(
        self, error_class: type[UnreadableEventError], record: StoredRecord, reason: str
    ) -> UnreadableEventError:
        return error_class(record.stream_id, record.position, *record.type, reason)


_Encoder = Callable[[Any], tuple[StoredType, bytes]]


def event_classes(event_type: Any) -> Iterable[type]:
    """Yield the classes of a class, a union of classes, or an alias of one.

    Raises:
        TypeError: something in it is not a class that events can have.
    """
    if isinstance(event_type, TypeAliasType):
        yield from event_classes(event_type.__value__)
    elif get_origin(event_type) in (Union, types.UnionType):
        for member in get_args(event_type):
            yield from event_classes(member)
    elif _can_be_event(event_type):
        yield event_type
    else:
        raise TypeError(
            "an event type is a dataclass, a msgspec.Struct, an attrs class, a pydantic model, or a union of such"
            f" classes, not {event_type!r}"
        )


def stored_names(event_type: Any) -> set[str]:
    """Return the names under which events of a type are stored, or were: of subclasses and by aliases too.

    Raises:
        TypeError: it is no event type.
    """
    definitions = map(definition_of, _with_subclasses(event_classes(event_type)))
    return {name for definition in definitions for name in (definition.name, *definition.aliases)}


def _can_be_event(event_type: Any) -> bool:
    """Tell whether objects know that they are of this class, and are not several events, as lists and tuples are."""
    return (
        isinstance(event_type, type)
        and get_origin(event_type) is None
        and event_type is not Any
        and event_type.__module__ != "builtins"
        and not issubclass(event_type, (list, tuple))
        and not is_typeddict(event_type)
    )


def _with_subclasses(roots: Iterable[type]) -> list[type]:
    found: dict[type, None] = {}
    queue = list(roots)
    while queue:
        event_class = queue.pop(0)
        if event_class not in found:
            found[event_class] = None
            queue += type.__subclasses__(event_class)
    return list(found)


def _encoder_of(event_class: type) -> _Encoder:
    stored_type = stored_type_of(event_class)
    encode = checked_encoder(event_class, PAYLOAD_BYTES_MAX)
    return lambda event: (stored_type, encode(event))


def _encoded_untyped(event: UntypedEvent) -> tuple[StoredType, bytes]:
    stored_type = StoredType(
        checked_text("event type", event.type, TYPE_NAME_BYTES_MAX),
        checked_number("schema_version", event.schema_version, minimum=1),
    )
    return stored_type, _encode_data(event.data)


_encode_data = checked_encoder(Any, PAYLOAD_BYTES_MAX)


def _untyped_decoder(stored_type: StoredType) -> Decoder:
    return Decoder.from_plain(lambda data: UntypedEvent(stored_type.name, data, stored_type.schema_version))
