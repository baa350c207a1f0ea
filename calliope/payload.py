"""One class as bytes: how its objects are encoded, and decoded from every schema version.

Objects become msgpack maps of their fields, so fields with defaults may be added without a new schema version.
Dataclasses, msgspec.Struct, attrs classes and plain data are encoded by msgspec, pydantic models by way of their own
validation. What is stored must read back, so every object is decoded once before it is accepted: a field of the wrong
type is refused when it is written, not discovered years later.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from calliope.errors import EventEncodingError
from calliope.event import EventDefinition, definition_of
from calliope.stores.record import StoredType
from calliope.upcasting import upcasted

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]

encode_plain = msgspec.msgpack.Encoder().encode
decode_plain: Decode = msgspec.msgpack.Decoder().decode


def stored_type_of(payload_class: type) -> StoredType:
    """Return the name and schema version under which new objects of a class are stored."""
    definition = definition_of(payload_class)
    return StoredType(definition.name, definition.version)


def checked_encoder(payload_type: Any, bytes_max: int) -> Encode:
    """Return a function that encodes an object, having made sure that it reads back.

    It raises `EventEncodingError` for an object that does not encode, would not read back, or is too large.
    """
    decode = current_decoder(payload_type)
    to_data = payload_type.model_dump if _is_pydantic(payload_type) else None

    def encode(value: Any) -> bytes:
        try:
            payload = encode_plain(value if to_data is None else to_data(value))
            decode(payload)
        except Exception as error:
            raise EventEncodingError(value, str(error)) from error
        if len(payload) > bytes_max:
            raise EventEncodingError(value, f"it has {len(payload)} bytes, at most {bytes_max} are allowed")
        return payload

    return encode


def current_decoder(payload_type: Any) -> Decode:
    """Return a function that decodes payloads of the current schema version."""
    if _is_pydantic(payload_type):
        convert = _converter(payload_type)
        return lambda payload: convert(decode_plain(payload))
    decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(payload_type)
    return decoder.decode


def decoder_from(payload_type: Any, definition: EventDefinition, from_version: int) -> Decode:
    """Return a function that decodes payloads of a schema version; the upcasters must be there."""
    if from_version == definition.version:
        return current_decoder(payload_type)
    convert = _converter(payload_type)
    return lambda payload: convert(upcasted(definition, decode_plain(payload), from_version))


def _converter(payload_type: Any) -> Callable[[Any], Any]:
    if _is_pydantic(payload_type):
        validate: Callable[[Any], Any] = payload_type.model_validate
        return validate
    return lambda data: msgspec.convert(data, payload_type)


def _is_pydantic(payload_type: Any) -> bool:
    """Tell a pydantic model by what it offers: pydantic is an extra and may not be there to ask."""
    return hasattr(payload_type, "model_validate") and hasattr(payload_type, "model_dump")
