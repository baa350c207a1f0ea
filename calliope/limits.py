"""The limits that every store keeps, so that a journal can move to another store unchanged.

They are the smallest that the supported engines share: PostgreSQL limits an index row to 2,704 bytes and cannot hold
NUL in text, NATS limits a subject and carries messages of one MiB by default.
"""

STREAM_ID_BYTES_MAX = 512
"""UTF-8 bytes of a stream id (and of a snapshot id)."""

EVENT_ID_BYTES_MAX = 128
"""UTF-8 bytes of an event id."""

TYPE_NAME_BYTES_MAX = 256
"""UTF-8 bytes of a stored event type name."""

TAG_BYTES_MAX = 256
"""UTF-8 bytes of one tag."""

TAGS_MAX = 64
"""Tags of one event."""

TYPES_MAX = 1_000
"""Stored type names that one selection of records chooses among."""

METADATA_BYTES_MAX = 64 * 1024
"""Bytes of one event's metadata, encoded."""

PAYLOAD_BYTES_MAX = 768 * 1024
"""Bytes of one event's payload, encoded; with tags and metadata a record stays below one MiB."""

SNAPSHOT_BYTES_MAX = 256 * 1024 * 1024
"""Bytes of one snapshot's state, encoded."""

REQUEST_EVENTS_MAX = 100_000
"""Events of one persist request."""

REQUEST_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of one persist request: payloads, tags and metadata of all of its events."""

POSITION_MAX = 2**63 - 1
"""The highest position, sequence number or expected version."""


TIMESTAMP_MAX = 253_402_300_799_999_999
"""The latest time of an event, in microseconds since 1970 UTC: the end of the year 9999."""


def checked_text(name: str, value: object, bytes_max: int) -> str:
    """Return `value` if it is a legal identifier, or raise an error that names it.

    Args:
        name: what the value is called in the error, such as "stream_id".
        value: what the caller gave.
        bytes_max: the longest allowed UTF-8 form.

    Raises:
        TypeError: it is not a str.
        ValueError: it is empty, too long, or holds a NUL or a lone surrogate.
    """
    if type(value) is not str:
        raise TypeError(f"{name} must be a str, not {value!r}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    if "\0" in value:
        raise ValueError(f"{name} {_start_of(value)!r} must not contain NUL")
    if not value.isascii() or len(value) > bytes_max:
        _check_encoded(name, value, bytes_max)
    return value


def checked_number(name: str, value: object, *, minimum: int = 0, maximum: int = POSITION_MAX) -> int:
    """Return `value` if it is an int from `minimum` to `maximum`, or raise an error that names it.

    Raises:
        TypeError: it is not an int (a bool is none).
        ValueError: it is out of range.
    """
    if type(value) is not int:
        raise TypeError(f"{name} must be an int, not {value!r}")
    if not minimum <= value <= maximum:
        raise ValueError(f"{name} must be from {minimum} to {maximum}, not {value}")
    return value


def _check_encoded(name: str, value: str, bytes_max: int) -> None:
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name} {_start_of(value)!r} must not contain lone surrogates") from None
    if length > bytes_max:
        raise ValueError(f"{name} {_start_of(value)!r} must have at most {bytes_max} bytes in UTF-8, not {length}")


def _start_of(value: str) -> str:
    return value if len(value) <= 40 else value[:39] + "…"
