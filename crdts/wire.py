"""The byte form of operations and states: msgpack of plain values, decoded without trust.

A form is a msgpack array whose first item is the format number. Its fixed part is declared as a type, and
msgspec checks it while decoding: kinds, ranges, lengths. It builds containers as their items come, so a header that
claims more than there is costs nothing. (The most that bytes can be made to take is what empty containers take in
Python: 88 bytes for each byte of them.) What is inside a state or an argument is then checked by the CRDT's type.
Plain values are None, bool, int, float, str, bytes, tuples and dictionaries, at most `DEPTH_MAX` deep, far less
than Python's recursion can follow.
"""

from typing import Annotated, Any, Literal, NoReturn, TypeVar

import msgspec

from crdts.errors import MalformedOperationError
from crdts.version_vector import COUNTER_MAX

FORMAT = 1
MAPS_DEEP_MAX = 32
VALUES_DEEP_MAX = 32
DEPTH_MAX = 4 + 3 * MAPS_DEEP_MAX + VALUES_DEEP_MAX
NAME_LENGTH_MAX = 255
REPLICAS_MAX = 2**20
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

Format = Literal[1]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
Counter = Annotated[int, msgspec.Meta(ge=1, le=COUNTER_MAX)]
Counters = Annotated[dict[Name, Counter], msgspec.Meta(max_length=REPLICAS_MAX)]

T = TypeVar("T")

_ATOMS = frozenset({type(None), bool, int, float, str, bytes})
_BYTES = (bytes, bytearray, memoryview)
_encoder = msgspec.msgpack.Encoder()


def encode(plain: Any) -> bytes:
    """Returns the msgpack bytes of a plain value."""
    return _encoder.encode(plain)


def decode(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    """Returns what `data` encodes, of the decoder's type.

    Raises:
        MalformedOperationError: The bytes are not exactly one value of that type.
    """
    if not isinstance(data, _BYTES):
        raise TypeError(f"encoded CRDT data must be bytes, not {type(data).__name__}")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, ValueError) as error:
        _refuse(error)


def plain(decoded: Any, depth: int = 0) -> Any:
    """Returns a decoded value with its lists as tuples; dictionaries are changed in place.

    Raises:
        MalformedOperationError: It is nested too deeply.
    """
    if type(decoded) in _ATOMS:
        return decoded
    if depth == DEPTH_MAX:
        raise MalformedOperationError(f"malformed: nested over {DEPTH_MAX} containers deep")
    if type(decoded) is list:
        return tuple([plain(item, depth + 1) for item in decoded])
    if type(decoded) is dict:
        for key, item in decoded.items():
            if type(item) not in _ATOMS:
                decoded[key] = plain(item, depth + 1)
        return decoded
    raise MalformedOperationError(f"malformed: a {type(decoded).__name__} is not a plain value")


def expect(claim: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Raises `MalformedOperationError` saying `what` was expected, unless `claim` holds."""
    if not claim:
        raise MalformedOperationError(f"malformed: expected {what}")


def check_replica_id(replica_id: object) -> None:
    """Refuses a decoded replica id that no replica can have."""
    expect(isinstance(replica_id, str) and 0 < len(replica_id) <= NAME_LENGTH_MAX, "a replica id")


def encode_integer(number: int) -> int | bytes:
    """Returns an int of any size as a plain value: itself if it fits 64 bits, else its bytes."""
    if INT64_MIN <= number <= INT64_MAX:
        return number
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def decode_integer(plain: Any) -> int:
    """Returns the int that `encode_integer` encoded, up to 128 bits."""
    if type(plain) is int and INT64_MIN <= plain <= INT64_MAX:
        return plain
    expect(type(plain) is bytes and 8 < len(plain) <= 16, "an integer")
    number = int.from_bytes(plain, "big", signed=True)
    expect(encode_integer(number) == plain, "an integer in its shortest form")
    return number


def _refuse(error: Exception) -> NoReturn:
    raise MalformedOperationError(f"malformed: {error}") from None
