"""Event logs as files: CSV or JSON lines, one row an event, into a journal and out of it again."""

from calliope.event_log.columns import Columns, EventLogError, LogRow
from calliope.event_log.exporting import ExportError, export_csv, export_json_lines
from calliope.event_log.forms import FORMS, columns_of, form_of, reader_of
from calliope.event_log.importing import ImportSummary, import_rows
from calliope.event_log.reading import LogReader, read_csv, read_json_lines

__all__ = [
    "FORMS",
    "Columns",
    "EventLogError",
    "ExportError",
    "ImportSummary",
    "LogReader",
    "LogRow",
    "columns_of",
    "export_csv",
    "export_json_lines",
    "form_of",
    "import_rows",
    "read_csv",
    "read_json_lines",
    "reader_of",
]
