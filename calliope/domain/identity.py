"""`Identifier`: typed ids that say what they name, `order-018f…`, and sort by the time they were made."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self
from uuid import UUID, uuid5

from calliope.errors import shortened
from calliope.event_stream import MicrosecondClock, system_clock

RandomBytes = Callable[[int], bytes]
"""Returns so many random bytes."""

_NAMES = UUID("a9d6a4c5-8d43-5f0b-b7c8-0c5d3c1e6f27")
"""The namespace of ids that are made from names. It never changes: the same name gives the same id for ever."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True, repr=False)
class Identifier:
    """The id of one thing of a kind: the kind's prefix, a hyphen and a UUID. Subclass it for each kind.

        class OrderId(Identifier):
            prefix = "order"

        order_id = OrderId.new()                    # order-018f…, above all that were made before
        order_id == OrderId(str(order_id))          # parsed and checked

    Ids of different kinds are never equal and do not compare. `str(id)` is a stream id, and `Repository` takes the id
    itself. In events it is stored as a map with its value; one of another kind, or malformed, is refused when it
    is written, and when it is read.

    Attributes:
        value: the id as text.

    Raises:
        ValueError: the text is not the id of such a thing.
        TypeError: it is no text.
    """

    prefix: ClassVar[str] = ""

    value: str

    def __post_init__(self) -> None:
        """Refuse what is no such id."""
        _uuid_in(type(self).__name__, self.prefix, self.value)

    @classmethod
    def new(cls, clock: MicrosecondClock = system_clock, random: RandomBytes = os.urandom) -> Self:
        """Return a new id, made from the time and 62 random bits.

        Args:
            clock: microseconds since 1970 UTC.
            random: the source of randomness.
        """
        return cls(f"{cls.prefix}-{uuid7(clock, random)}")

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Return the id that a name has, the same for ever and everywhere (UUIDv5, RFC 9562, section 5.5)."""
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, not {shortened(name)}")
        return cls(f"{cls.prefix}-{uuid5(_NAMES, f'{cls.prefix}-{name}')}")

    @property
    def uuid(self) -> UUID:
        """The id without its prefix."""
        return _uuid_in(type(self).__name__, self.prefix, self.value)

    @property
    def time(self) -> datetime | None:
        """When it was made, to the millisecond, aware, in UTC; None if it was made from a name."""
        uuid = self.uuid
        return _EPOCH + timedelta(milliseconds=uuid.int >> 80) if uuid.version == 7 else None

    def __str__(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


def uuid7(clock: MicrosecondClock = system_clock, random: RandomBytes = os.urandom) -> UUID:
    """Return a UUID that begins with the time (UUIDv7, RFC 9562, section 5.7).

    The 12 bits after the milliseconds are the fraction of the millisecond (section 6.2, method 3), so ids sort by the
    microsecond in which they were made.

    Args:
        clock: microseconds since 1970 UTC.
        random: the source of the other 62 bits.
    """
    milliseconds, microseconds = divmod(clock(), 1000)
    fraction = (microseconds << 12) // 1000
    low = int.from_bytes(random(8), "big") & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 0b10 << 62 | low)


def _uuid_in(kind: str, prefix: str, value: object) -> UUID:
    """Return the UUID behind the prefix, which must be as `str(UUID)` writes it."""
    if not prefix:
        raise TypeError(f"{kind} has no prefix: subclass it and set one")
    if not isinstance(value, str):
        raise TypeError(f"{kind} is made from a str, not {shortened(value)}")
    text = value.removeprefix(f"{prefix}-")
    try:
        uuid = UUID(text)
    except ValueError:
        uuid = None
    if uuid is None or value != f"{prefix}-{uuid}":
        raise ValueError(f"{shortened(value)} is no {kind}, which is {prefix}- and a UUID in lower case")
    return uuid
