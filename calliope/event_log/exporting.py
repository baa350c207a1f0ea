"""Writing a journal's events as an event log that `reading` understands: the events, and when they happened.

JSON lines keep everything: data of any shape, tags, metadata, schema versions. CSV keeps what an event log has in
general, the stream, the type, the time and the fields; what is no text becomes JSON.
"""

import csv
from collections.abc import Iterator
from typing import Any, TextIO

import msgspec

from calliope.codec import UntypedEvent
from calliope.errors import CalliopeError
from calliope.event_log.columns import EXPORTED_CSV, EXPORTED_JSON_LINES, TIME, Columns
from calliope.flow.source import Source
from calliope.recorded_event import RecordedEvent

Record = RecordedEvent[UntypedEvent]

_encode_json = msgspec.json.Encoder().encode


class ExportError(CalliopeError):
    """An event does not fit the form that it should be exported in.

    Attributes:
        position: its position in the journal.
    """

    def __init__(self, position: int, reason: str) -> None:
        self.position = position
        super().__init__(f"the event at position {position} cannot be exported: {reason}")


async def export_json_lines(records: Source[Record], file: TextIO, columns: Columns = EXPORTED_JSON_LINES) -> int:
    """Write records as JSON lines; return how many.

    Raises:
        ExportError: an event's fields and the columns have a name in common.
    """
    written = 0
    async for record in records:
        file.write(_encode_json(_row(record, columns)).decode() + "\n")
        written += 1
    return written


async def export_csv(
    records: Source[Record], file: TextIO, columns: Columns = EXPORTED_CSV, *, delimiter: str = ","
) -> int:
    """Write records as CSV; return how many.

    The records are read twice, as the first line must name every field that any of them has. So the source must end,
    and yield the same again; what it yields beyond that is left out.

    Raises:
        ExportError: an event's fields and the columns have a name in common.
    """
    names, count = dict.fromkeys(columns.required), 0
    async for record in records:
        names.update(dict.fromkeys(_fields(record)))
        count += 1
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    async for record in records.take(count):
        row = _row(record, columns)
        writer.writerow([_cell(row.get(name)) for name in names])
    return count


def _row(record: Record, columns: Columns) -> dict[str, Any]:
    fields = _fields(record)
    for name in columns.names:
        if name in fields:
            raise ExportError(record.position, f"its field {name!r} is called like a column; name the column otherwise")
    return {**dict(_context(record, columns)), **fields}


def _fields(record: Record) -> dict[str, Any]:
    data = record.data.data
    return data if isinstance(data, dict) else {"data": data}


def _context(record: Record, columns: Columns) -> Iterator[tuple[str, Any]]:
    yield columns.stream, record.stream_id
    yield columns.type, record.type
    metadata = dict(record.metadata)
    time = metadata.pop(TIME) if isinstance(metadata.get(TIME), str) else record.timestamp.isoformat()
    if columns.time is not None:
        yield columns.time, time
    if columns.tags is not None and record.tags:
        yield columns.tags, sorted(record.tags)
    if columns.metadata is not None and metadata:
        yield columns.metadata, metadata
    if columns.schema_version is not None and record.schema_version != 1:
        yield columns.schema_version, record.schema_version


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _encode_json(value).decode()
