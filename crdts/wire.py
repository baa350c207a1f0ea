"""The byte form of operations and states: msgpack of plain values, decoded without trust.

A form is a msgpack array whose first item is the format number. What arrives is measured before anything
is built: a first pass walks the bytes without making objects, so a header that claims more items than there
are bytes, a container nested too deep for the decoder, or bytes left over fail before they cost memory. Only
None, bool, int, float, str, bytes, arrays (as tuples) and maps come out; extension types are refused.
"""

from typing import Any

import msgpack  # type: ignore[import-untyped] # it ships no type information

from crdts.errors import MalformedOperationError

FORMAT = 1
MAPS_DEEP_MAX = 32
VALUES_DEEP_MAX = 32
DEPTH_MAX = 4 + 3 * MAPS_DEEP_MAX + VALUES_DEEP_MAX
_CONTAINERS = frozenset({tuple, dict})
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def encode(plain: Any) -> bytes:
    """Returns the msgpack bytes of a plain value."""
    return msgpack.packb(plain)  # type: ignore[no-any-return]


def decode(data: bytes) -> Any:
    """Returns the plain value that `data` encodes.

    Raises:
        MalformedOperationError: The bytes are not exactly one msgpack value of plain types.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"encoded CRDT data must be bytes, not {type(data).__name__}")
    try:
        scout = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
        scout.feed(data)
        scout.skip()
        if scout.tell() != len(data):
            raise MalformedOperationError(f"{len(data) - scout.tell()} bytes are left over after the value")
        plain = msgpack.unpackb(data, use_list=False, strict_map_key=False, ext_hook=_refuse_extension)
    except MalformedOperationError:
        raise
    except Exception as error:  # msgpack has seven types of them, and which one depends on its C extension
        raise MalformedOperationError(f"not the bytes of a CRDT: {str(error) or type(error).__name__}") from None
    _check_depth(plain)
    return plain


def _check_depth(plain: Any) -> None:
    level = [plain]
    for _ in range(DEPTH_MAX):
        level = [item for container in level for item in _items(container) if type(item) in _CONTAINERS]
        if not level:
            return
    raise MalformedOperationError(f"nested over {DEPTH_MAX} containers deep")


def _items(container: Any) -> Any:
    if type(container) is dict:
        return container.values()
    return container if type(container) is tuple else ()


def _refuse_extension(code: int, _data: bytes) -> Any:
    raise MalformedOperationError(f"msgpack extension type {code} is not used by CRDTs")


def expect(claim: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Raises `MalformedOperationError` saying `what` was expected, unless `claim` holds."""
    if not claim:
        raise MalformedOperationError(f"malformed: expected {what}")


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
