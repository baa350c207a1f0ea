"""The forms that event logs come in, and how a user says which: by a file's suffix, or by name."""

from functools import partial
from pathlib import Path

from calliope.event_log.columns import EXPORTED_CSV, EXPORTED_JSON_LINES, Columns
from calliope.event_log.reading import LogReader, read_csv, read_json_lines

FORMS = ("csv", "tsv", "jsonl")

_BY_SUFFIX = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}


def form_of(file: str) -> str:
    """Return the form of a file, by its suffix.

    Raises:
        ValueError: the suffix does not say it.
    """
    form = _BY_SUFFIX.get(Path(file).suffix.lower())
    if form is None:
        raise ValueError(f"the suffix of {file!r} is none of {', '.join(_BY_SUFFIX)}; say its format")
    return form


def columns_of(form: str, stream: str | None, event_type: str | None, time: str | None) -> Columns:
    """Return the columns that a user named; those of an exported log if there is none.

    Raises:
        ValueError: the stream's or the type's is missing, or one column is named twice.
    """
    if stream is None and event_type is None and time is None:
        return EXPORTED_JSON_LINES if form == "jsonl" else EXPORTED_CSV
    if stream is None or event_type is None:
        raise ValueError("the column of the stream and the column of the type must be named, or none")
    return Columns(stream, event_type, time)


def reader_of(form: str, delimiter: str | None = None) -> LogReader:
    """Return the reader of a form.

    Args:
        form: one of `FORMS`.
        delimiter: what separates the cells; None: a comma in CSV, a tab in TSV.

    Raises:
        ValueError: the delimiter cannot be one, or the form has none.
    """
    if form == "jsonl":
        if delimiter is not None:
            raise ValueError(f"JSON lines have no delimiter, so it cannot be {delimiter!r}")
        return read_json_lines
    if delimiter is None:
        delimiter = "\t" if form == "tsv" else ","
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"the delimiter must be one character and no quote, not {delimiter!r}")
    return partial(read_csv, delimiter=delimiter)
