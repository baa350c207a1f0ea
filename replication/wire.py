"""Messages as bytes: one byte that names the format, then msgpack.

Decoding believes nothing: a message is read as one of `replication.wire_shapes`, which bound how many of everything
there may be, and then checked. Only entries and states may be large; they are bytes within the message and cost no
more memory than it does.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from crdts import VersionVector
from replication.core.messages import Entries, Message, SnapshotChunk
from replication.errors import MalformedMessageError
from replication.wire_shapes import MessageShape

FORMAT = 1
"""The first byte of every message."""

MESSAGE_BYTES_MAX = 96 * 1024 * 1024
"""One change may have 64 MiB; its identifiers and metadata come on top."""

SMALL_MESSAGE_BYTES_MAX = 4 * 1024 * 1024
"""A message that holds neither entries nor states."""

_LARGE = (b"\xa7entries", b"\xa8snapshot")  # msgpack strings of 7 and 8 bytes


def encode(message: Message) -> bytes:
    """Return a message as bytes.

    Raises:
        ValueError: it is larger than any peer would take.
    """
    buffer = bytearray((FORMAT,))
    _encoder.encode_into(message, buffer, 1)
    limit = MESSAGE_BYTES_MAX if isinstance(message, Entries | SnapshotChunk) else SMALL_MESSAGE_BYTES_MAX
    if len(buffer) > limit:
        raise ValueError(f"a {type(message).__name__} must have at most {limit} bytes, not {len(buffer)}")
    return bytes(buffer)


def decode(data: bytes) -> Message:
    """Return the message that bytes mean; memory is bounded by their number.

    Raises:
        MalformedMessageError: they mean none. Nothing else is ever raised.
    """
    _check_size(data)
    try:
        return _decode(memoryview(data)[1:]).checked()
    except (msgspec.DecodeError, ValueError, RecursionError, MemoryError) as error:
        raise MalformedMessageError(str(error)) from None


def _check_size(data: bytes) -> None:
    if not data or data[0] != FORMAT:
        raise MalformedMessageError(f"it is not of format {FORMAT}: {bytes(data[:16])!r}")
    limit = MESSAGE_BYTES_MAX if data[2:11].startswith(_LARGE) else SMALL_MESSAGE_BYTES_MAX
    if len(data) > limit:
        raise MalformedMessageError(f"it has {len(data)} bytes, more than {limit}")


def _encodable(value: object) -> Any:
    if isinstance(value, VersionVector):
        return value.to_dict()
    raise TypeError(f"{value!r} is no part of a message")


_encoder = msgspec.msgpack.Encoder(enc_hook=_encodable)
_decode: Callable[[memoryview], MessageShape] = msgspec.msgpack.Decoder(MessageShape).decode
