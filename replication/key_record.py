"""How a key is stored: the byte form of a `KeyState`, which is the body of a `StoredState`.

    [1, entries, [[type name, state, written, cleared], …], [change, …]]

`state` is what `Crdt.to_bytes` returns. `entries` says, of each log, the last entry that had operations of the key.
There is one state, unless replicas gave the key different types at once. `written` and `cleared` are None unless there
was a clear. The changes at the end could not be read when they came, and wait for a program that can.

A stored state's `type_name` is the type of the key; that of a deleted key begins with "~", so that keys can be listed
without their states.
"""

from typing import Annotated, Literal

import msgspec

from calliope.stores.versioned import Versioned
from replication.errors import MalformedStateError

DELETED = "~"

Counters = dict[str, Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]]


class TypeRecord(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """The state of one type under a key; see `TypedState`."""

    type_name: str
    body: bytes
    written: Counters | None = None
    cleared: Counters | None = None


class KeyRecord(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """Everything that is known under a key; see `KeyState`."""

    format: Literal[1]
    entries: Counters
    types: list[TypeRecord]
    unread: list[Versioned]


encode_record = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(KeyRecord)


def decode_record(key: str, body: bytes) -> KeyRecord:
    """Return the record that was encoded.

    Raises:
        MalformedStateError: these are not the bytes of a record.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedStateError(key, str(error)) from error
