"""Which column of an event log says what, and how a row becomes an event that a journal can keep."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from calliope.codec import EventCodec, UntypedEvent
from calliope.errors import CalliopeError
from calliope.limits import STREAM_ID_BYTES_MAX, checked_text
from calliope.persisting import append_request
from calliope.stores.record import NewEvent

TIME = "time"
"""The name under which an event's metadata keeps the time that its row says."""


class EventLogError(CalliopeError):
    """A row of an event log cannot be imported; nothing of it was written, what precedes it stays.

    Attributes:
        line: the line where the row begins, counted from 1.
        reason: what is wrong with it.
    """

    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(f"line {line} {reason}")


@dataclass(frozen=True)
class Columns:
    """The columns of an event log that are not the event's own data; all others are.

    Attributes:
        stream: the column of the stream id.
        type: the column of the event type.
        time: the column of the time when it happened, in ISO 8601; None: the log says none.
        tags: the column of the tags, a list of texts; it may be absent from a row.
        metadata: the column of further metadata, an object; it may be absent from a row.
        schema_version: the column of the version of the data's shape; absent from a row: 1.
    """

    stream: str
    type: str
    time: str | None = None
    tags: str | None = None
    metadata: str | None = None
    schema_version: str | None = None

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) < len(names):
            raise ValueError(f"one column cannot say two things: {', '.join(names)}")

    @property
    def names(self) -> list[str]:
        """The columns that the log must or may have."""
        names = (self.stream, self.type, self.time, self.tags, self.metadata, self.schema_version)
        return [name for name in names if name is not None]

    @property
    def required(self) -> list[str]:
        """The columns that every row must have."""
        return [name for name in (self.stream, self.type, self.time) if name is not None]


EXPORTED_CSV = Columns("stream", "type", TIME)
"""The columns of what `export_csv` writes unless told otherwise."""

EXPORTED_JSON_LINES = Columns("stream", "type", TIME, "tags", "metadata", "schema_version")
"""The columns of what `export_json_lines` writes unless told otherwise."""


class LogRow(NamedTuple):
    """One row, checked and encoded.

    Attributes:
        line: the line where it begins, counted from 1.
        stream_id: the stream that it belongs to.
        event: the event.
    """

    line: int
    stream_id: str
    event: NewEvent


_codec = EventCodec(UntypedEvent)


def row_from(line: int, fields: dict[str, Any], columns: Columns) -> LogRow:
    """Return a row from the fields of a line; they are used up.

    Raises:
        EventLogError: something is missing, or no journal could keep it.
    """
    for name in columns.required:
        if fields.get(name) in (None, ""):
            raise EventLogError(line, f"has no {name!r}")
    try:
        return _row(line, fields, columns)
    except (CalliopeError, TypeError, ValueError) as error:
        raise EventLogError(line, f"cannot be imported: {error}") from error


def _row(line: int, fields: dict[str, Any], columns: Columns) -> LogRow:
    stream_id = fields.pop(columns.stream)
    if type(stream_id) is int:
        stream_id = str(stream_id)
    checked_text(columns.stream, stream_id, STREAM_ID_BYTES_MAX)
    event_type = checked_text(columns.type, fields.pop(columns.type), 2**31)
    metadata: dict[str, Any] = _taken(fields, columns.metadata, dict, {})
    if columns.time is not None:
        metadata = {**metadata, TIME: _checked_time(columns.time, fields.pop(columns.time))}
    tags: list[str] = _taken(fields, columns.tags, list, [])
    schema_version: int = _taken(fields, columns.schema_version, int, 1)
    event = UntypedEvent(event_type, fields, schema_version)
    request = append_request(stream_id, "plain", _codec, event, 0, tags=tags, metadata=metadata)
    return LogRow(line, stream_id, request.events[0])


def _checked_time(name: str, text: object) -> str:
    try:
        datetime.fromisoformat(text)  # type: ignore[arg-type] # what is no text is refused in the same way
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a time in ISO 8601, not {text!r}") from None
    return str(text)


def _taken(fields: dict[str, Any], name: str | None, kind: type, default: Any) -> Any:
    """Take an optional column out of a row."""
    value = default if name is None else fields.pop(name, default)
    if type(value) is not kind:
        raise TypeError(f"{name} must be {_JSON_NAMES[kind]}, not {value!r}")
    return value


_JSON_NAMES = {dict: "an object", list: "a list", int: "a whole number"}
