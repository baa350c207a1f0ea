"""Points in time as they are stored and compared: microseconds since 1970 UTC, as journals have them."""

from datetime import UTC, datetime, timedelta

from calliope.limits import TIMESTAMP_MAX

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def datetime_of(microseconds: int) -> datetime:
    """Return a point in time as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds_of(name: str, at: object) -> int:
    """Return an aware datetime as microseconds since 1970 UTC, or raise an error that names it.

    Raises:
        TypeError: it is not a datetime.
        ValueError: it has no time zone, or lies before 1970.
    """
    if not isinstance(at, datetime):
        raise TypeError(f"{name} must be a datetime, not {at!r}")
    if at.utcoffset() is None:
        raise ValueError(f"{name} must have a time zone, such as datetime.UTC; {at!r} has none")
    microseconds = (at - _EPOCH) // _MICROSECOND
    if microseconds < 0:
        raise ValueError(f"{name} must not be before 1970, as {at!r} is")
    return microseconds


def due_at(at: object, after: object, since: int) -> int:
    """Return the time that is said by either a datetime or a duration, in microseconds since 1970 UTC.

    Args:
        at: an aware datetime, or None.
        after: a timedelta that is not negative, or None.
        since: where the duration begins.

    Raises:
        TypeError, ValueError: not exactly one of the two is given, or it is not legal.
    """
    if (at is None) == (after is None):
        raise ValueError(f"exactly one of at and after must be given, not at={at!r} and after={after!r}")
    if at is not None:
        return microseconds_of("at", at)
    if not isinstance(after, timedelta):
        raise TypeError(f"after must be a timedelta, not {after!r}")
    if after < timedelta(0):
        raise ValueError(f"after must not be negative, as {after!r} is")
    return min(since + after // _MICROSECOND, TIMESTAMP_MAX)
