"""One class as bytes: how its objects are encoded, and decoded from every schema version.

Objects become msgpack maps of their fields, so fields with defaults may be added without a new schema version.
Dataclasses, msgspec.Struct, attrs classes and plain data are encoded by msgspec, pydantic models by way of their own
validation. What is stored must read back, so every object is decoded once before it is accepted and compared: a field
of the wrong type, or an object of a subclass in a field that knows its base only, is refused when it is written, not
discovered years later.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from calliope.errors import EventEncodingError
from calliope.event import EventDefinition, definition_of
from calliope.stores.record import StoredType
from calliope.upcasting import upcasted

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]


class Decoder(NamedTuple):
    """Decodes payloads of one class.

    Attributes:
        one: decodes one payload.
        array: decodes a msgpack array of payloads to a list.
    """

    one: Decode
    array: Callable[[bytes], list[Any]]

    @classmethod
    def from_plain(cls, convert: Callable[[Any], Any]) -> "Decoder":
        """Return a decoder that makes objects of plain data."""
        return cls(
            lambda payload: convert(decode_plain(payload)),
            lambda array: list(map(convert, decode_plain(array))),
        )


encode_plain = msgspec.msgpack.Encoder().encode
decode_plain: Decode = msgspec.msgpack.Decoder().decode


def stored_type_of(payload_class: type) -> StoredType:
    """Return the name and schema version under which new objects of a class are stored."""
    definition = definition_of(payload_class)
    return StoredType(definition.name, definition.version)


def checked_encoder(payload_type: Any, bytes_max: int) -> Encode:
    """Return a function that encodes an object, having made sure that it reads back.

    It raises `EventEncodingError` for an object that does not encode, reads back as another, or is too large.
    """
    decode = current_decoder(payload_type).one
    to_data = _pydantic_data if _is_pydantic(payload_type) else None

    def encode(value: Any) -> bytes:
        try:
            payload = encode_plain(value if to_data is None else to_data(value))
            decoded = decode(payload)
            same = decoded == value or _is_stored_alike(decoded, value, payload_type)
        except Exception as error:
            raise EventEncodingError(value, str(error)) from error
        if not same:
            raise EventEncodingError(value, f"it would read back as {decoded!r}")
        if len(payload) > bytes_max:
            raise EventEncodingError(value, f"it has {len(payload)} bytes, at most {bytes_max} are allowed")
        return payload

    return encode


def _is_stored_alike(decoded: Any, value: Any, payload_type: Any) -> bool:
    """Tell whether an object that does not equal what was decoded from it lost nothing all the same.

    So it is with classes that compare by identity, with NaN, and with a tuple in a field that allows any sequence.
    Plain data has no class that says what was meant: there, a tuple that comes back as a list is another value.
    """
    if payload_type is Any or payload_type.__module__ == "builtins" or _has_unstored_fields(payload_type):
        return False
    if _is_pydantic(payload_type):
        decoded, value = _pydantic_data(decoded, serialize_as_any=True), _pydantic_data(value, serialize_as_any=True)
    return _encode_sorted(decoded) == _encode_sorted(value)


def _has_unstored_fields(payload_type: Any) -> bool:
    """Tell whether it is an attrs class with private fields: msgspec stores those of all kinds of classes but these."""
    return any(attribute.name.startswith("_") for attribute in getattr(payload_type, "__attrs_attrs__", ()))


_encode_sorted = msgspec.msgpack.Encoder(order="deterministic").encode


def current_decoder(payload_type: Any) -> Decoder:
    """Return what decodes payloads of the current schema version."""
    if _is_pydantic(payload_type):
        return Decoder.from_plain(_converter(payload_type))
    decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(payload_type)
    array_decoder: msgspec.msgpack.Decoder[list[Any]] = msgspec.msgpack.Decoder(list[payload_type])
    return Decoder(decoder.decode, array_decoder.decode)


def decoder_from(payload_type: Any, definition: EventDefinition, from_version: int) -> Decoder:
    """Return what decodes payloads of a schema version; the upcasters must be there."""
    if from_version == definition.version:
        return current_decoder(payload_type)
    convert = _converter(payload_type)
    return Decoder.from_plain(lambda data: convert(upcasted(definition, data, from_version)))


def _converter(payload_type: Any) -> Callable[[Any], Any]:
    if _is_pydantic(payload_type):
        # A strict model would refuse the text that dates, UUIDs and decimals are stored as.
        return lambda data: payload_type.model_validate(data, strict=False)
    return lambda data: msgspec.convert(data, payload_type)


def _pydantic_data(model: Any, *, serialize_as_any: bool = False) -> Any:
    """Return what a model is validated from: with aliases, without computed fields."""
    return model.model_dump(by_alias=True, round_trip=True, warnings=False, serialize_as_any=serialize_as_any)


def _is_pydantic(payload_type: Any) -> bool:
    """Tell a pydantic model by what it offers: pydantic is an extra and may not be there to ask."""
    return hasattr(payload_type, "model_validate") and hasattr(payload_type, "model_dump")
