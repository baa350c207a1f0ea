import io
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest

from calliope import ExpectedVersionError, Journal, RecordedEvent, StorageFullError, UntypedEvent
from calliope.event_log import (
    Columns,
    EventLogError,
    ExportError,
    ImportSummary,
    LogRow,
    columns_of,
    export_csv,
    export_json_lines,
    form_of,
    import_rows,
    importing,
    read_csv,
    read_json_lines,
    reader_of,
)
from calliope.event_log.columns import EXPORTED_JSON_LINES
from calliope.event_log.reading import LINE_BYTES_MAX
from calliope.stores.memory import MemoryStore
from calliope.stores.protocol import AppendRequest, EventStore
from calliope.stores.record import StoredRecord

COLUMNS = Columns("order", "activity", "at")
HEADER = "order,activity,at,sku\n"
AT = "2024-05-01T12:00:00+02:00"

pytestmark = pytest.mark.anyio


def csv_rows(text: str | bytes, columns: Columns = COLUMNS) -> Iterator[LogRow]:
    return read_csv(io.BytesIO(text.encode() if isinstance(text, str) else text), columns)


def json_rows(*lines: object, columns: Columns = COLUMNS) -> Iterator[LogRow]:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return read_json_lines(io.BytesIO(b"\n".join(texts) + b"\n"), columns)


def order(stream: object = "o-1", activity: object = "placed", at: object = AT, **fields: object) -> dict[str, object]:
    return {"order": stream, "activity": activity, "at": at, **fields}


def line(stream: str = "o-1", activity: str = "placed", sku: str = "") -> str:
    return f"{stream},{activity},{AT},{sku}\n"


async def records(journal: Journal) -> list[RecordedEvent[UntypedEvent]]:
    return await journal.records(event_type=UntypedEvent).run_collect()


async def facts(journal: Journal) -> list[tuple[str, str, object]]:
    return [(record.stream_id, record.type, record.data.data) for record in await records(journal)]


def error_of(rows: Iterable[LogRow]) -> EventLogError:
    with pytest.raises(EventLogError) as caught:
        list(rows)
    return caught.value


class TestRows:
    async def test_a_row_becomes_an_event_of_its_stream_with_the_other_columns_as_data(self, journal: Journal) -> None:
        await import_rows(journal, csv_rows(HEADER + line(sku="s-7")))

        (record,) = await records(journal)
        assert (record.stream_id, record.data) == ("o-1", UntypedEvent("placed", {"sku": "s-7"}))
        assert record.metadata == {"time": AT}

    def test_an_empty_cell_is_left_out(self) -> None:
        with_and_without = [row.event.payload for row in csv_rows(HEADER + line(sku="") + line(sku="0"))]
        assert with_and_without == [b"\x80", b"\x81\xa3sku\xa10"]

    async def test_json_lines_keep_the_types_of_their_values(self, journal: Journal) -> None:
        data = {"amount": 2.5, "parts": [1, {"x": None}], "sku": ""}
        await import_rows(journal, json_rows(order(**data)))
        assert await facts(journal) == [("o-1", "placed", data)]

    def test_a_whole_number_may_name_a_stream_in_json(self) -> None:
        assert next(json_rows(order(17))).stream_id == "17"

    async def test_a_log_needs_no_time(self, memory_journal: Journal) -> None:
        await import_rows(memory_journal, csv_rows("order,activity\no-1,placed\n", Columns("order", "activity")))
        assert (await records(memory_journal))[0].metadata == {}

    def test_a_byte_order_mark_is_no_part_of_the_first_column(self) -> None:
        assert next(csv_rows(b"\xef\xbb\xbf" + (HEADER + line()).encode())).stream_id == "o-1"

    def test_windows_line_ends_and_empty_lines_are_passed_over(self) -> None:
        text = (HEADER + "\n" + line("a") + "\n" + line("b")).replace("\n", "\r\n")
        assert [(row.line, row.stream_id) for row in csv_rows(text)] == [(3, "a"), (5, "b")]

    def test_line_numbers_count_the_lines_within_cells(self) -> None:
        text = HEADER + line(sku='"one\ntwo\n\nfour"') + line("b")
        assert [row.line for row in csv_rows(text)] == [2, 6]

    def test_a_row_that_begins_before_a_quoted_line_break_is_named_by_its_first_line(self) -> None:
        assert error_of(csv_rows(HEADER + line() + f'"",placed,{AT},"a\nb"\n')).line == 3


BAD_CSV = {
    "no stream": (HEADER + line() + line(""), 3, "has no 'order'"),
    "no type": (HEADER + line(activity=""), 2, "has no 'activity'"),
    "no time": (HEADER + "o-1,placed,,\n", 2, "has no 'at'"),
    "no time that is one": (HEADER + "o-1,placed,tomorrow,\n", 2, "at must be a time in ISO 8601, not 'tomorrow'"),
    "too few cells": (HEADER + "o-1,placed\n", 2, "has 2 cells, the first line has 4"),
    "too many cells": (HEADER + line(sku="a,b"), 2, "has 5 cells, the first line has 4"),
    "a quote left open": (HEADER + line(sku='"a'), 2, "is no CSV"),
    "text behind a quote": (HEADER + line(sku='"a"b'), 2, "is no CSV"),
    "a column missing": ("order,activity,when\n", 1, "names no column 'at'; there are 'order', 'activity', 'when'"),
    "a column twice": ("order,activity,at,x,x\n", 1, "names the column 'x' twice"),
    "nothing at all": ("", 1, "names no column 'order'; there are none at all"),
    "NUL": (HEADER + line() + line(sku="a\0b"), 3, "contains NUL"),
    "a stream id that is too long": (HEADER + line("o" * 513), 2, "at most 512 bytes"),
    "a type that is too long": (HEADER + line(activity="t" * 257), 2, "at most 256 bytes"),
    "no UTF-8": ((HEADER + line()).encode() + b"o-2,\xff,,\n", 3, "is not in UTF-8"),
    "no UTF-8 within a cell of many lines": (HEADER.encode() + b'o-1,p,t,"\n\n\xff"\n', 4, "is not in UTF-8"),
    "an endless line": (HEADER + "x" * (LINE_BYTES_MAX + 1), 2, f"is longer than {LINE_BYTES_MAX} bytes"),
}

BAD_JSON = {
    "no JSON": (b"{", "is no JSON"),
    "no object": ([1], "is no JSON object: '[1]'"),
    "no stream": ({"activity": "placed", "at": AT}, "has no 'order'"),
    "null for a stream": (order(None), "has no 'order'"),
    "a stream that is no text": (order([1]), "order must be a str, not [1]"),
    "a truth value for a stream": (order(True), "order must be a str, not True"),
    "a type that is no text": (order(activity=5), "activity must be a str, not 5"),
    "a time that is no text": (order(at=1714557600), "at must be a time in ISO 8601, not 1714557600"),
    "a NUL in the stream": (order("a\0b"), "must not contain NUL"),
    "a lone surrogate": (b'{"order": "\\ud800", "activity": "x", "at": ""}', "is no JSON"),
    "a number beyond 64 bits": (order(amount=2**64), "cannot be imported"),
    "nesting without end": (b"[" * 5_000, "is no JSON"),
    "a number that is none": (b'{"x": NaN}', "is no JSON"),
    "an event that is too large": (order(note="x" * 800_000), "at most 786432 are allowed"),
}


class TestBadRows:
    @pytest.mark.parametrize("name", BAD_CSV)
    def test_csv_is_refused_by_line_number(self, name: str) -> None:
        text, number, reason = BAD_CSV[name]
        error = error_of(csv_rows(text))
        assert error.line == number
        assert str(error).startswith(f"line {number} ")
        assert reason in str(error)

    @pytest.mark.parametrize("name", BAD_JSON)
    def test_json_is_refused_by_line_number(self, name: str) -> None:
        bad, reason = BAD_JSON[name]
        error = error_of(json_rows(order(), b"", bad))
        assert error.line == 3
        assert reason in str(error)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("tags", "vip"), ("tags", [7]), ("metadata", []), ("schema_version", "2"), ("schema_version", 0)],
    )
    def test_what_an_export_would_not_write_is_refused(self, field: str, value: object) -> None:
        row = {"stream": "s", "type": "t", "time": AT, field: value}
        assert error_of(json_rows(row, columns=EXPORTED_JSON_LINES)).line == 1

    async def test_the_rows_before_a_bad_one_are_stored_and_mending_it_adds_the_rest(self, journal: Journal) -> None:
        with pytest.raises(EventLogError):
            await import_rows(journal, csv_rows(HEADER + line("a") + line("b") + line("") + line("c")))
        assert [stream for stream, *_ in await facts(journal)] == ["a", "b"]

        mended = csv_rows(HEADER + line("a") + line("b") + line("x") + line("c"))
        assert await import_rows(journal, mended) == ImportSummary(added=2, known=2, streams=4)
        assert [stream for stream, *_ in await facts(journal)] == ["a", "b", "x", "c"]

    def test_one_column_cannot_say_two_things(self) -> None:
        with pytest.raises(ValueError, match="one column cannot say two things: a, a"):
            Columns("a", "a")


LOG = HEADER + line("a", sku="1") + line("b", sku="1") + line("a", sku="2") + line("a", sku="2") + line("b", sku="3")


async def nothing() -> None:
    pass


class InterferingStore(MemoryStore):
    """Calls a function before each append, for as long as there are any."""

    before_appends: Iterator[Callable[[], Awaitable[None]]] = iter(())

    async def open(self) -> EventStore:
        return self

    async def append(self, request: AppendRequest) -> list[StoredRecord]:
        for interfere in self.before_appends:
            await interfere()
            break
        return await super().append(request)


class TestImporting:
    async def test_events_come_in_the_order_of_the_log(self, memory_journal: Journal) -> None:
        await import_rows(memory_journal, csv_rows(LOG))
        assert [(record.stream_id, record.data.data["sku"]) for record in await records(memory_journal)] == [
            ("a", "1"),
            ("b", "1"),
            ("a", "2"),
            ("a", "2"),
            ("b", "3"),
        ]

    async def test_a_second_import_adds_nothing(self, journal: Journal) -> None:
        first = await import_rows(journal, csv_rows(LOG))
        second = await import_rows(journal, csv_rows(LOG))
        assert first == ImportSummary(added=5, known=0, streams=2)
        assert second == ImportSummary(added=0, known=5, streams=2)
        assert len(await records(journal)) == 5

    async def test_rows_that_say_the_same_are_counted(self, journal: Journal) -> None:
        await import_rows(journal, csv_rows(HEADER + line() * 2))
        await import_rows(journal, csv_rows(HEADER + line() * 3))
        assert len(await records(journal)) == 3

    async def test_a_log_that_grew_adds_what_is_new(self, journal: Journal) -> None:
        await import_rows(journal, csv_rows(LOG))
        summary = await import_rows(journal, csv_rows(LOG + line("a", sku="4")))
        assert (summary.added, summary.known) == (1, 5)
        assert (await facts(journal))[-1] == ("a", "placed", {"sku": "4"})

    async def test_a_log_in_another_order_adds_nothing(self, journal: Journal) -> None:
        await import_rows(journal, csv_rows(LOG))
        again = HEADER + "".join(reversed(LOG.splitlines(keepends=True)[1:]))
        assert (await import_rows(journal, csv_rows(again))).added == 0

    async def test_an_edited_row_is_a_new_event_and_its_neighbours_are_not(self, journal: Journal) -> None:
        await import_rows(journal, csv_rows(LOG))
        summary = await import_rows(journal, csv_rows(LOG.replace("b,placed", "b,cancelled", 1)))
        assert (summary.added, summary.known) == (1, 4)

    async def test_the_same_log_in_another_form_adds_nothing(self, journal: Journal) -> None:
        await import_rows(journal, csv_rows(HEADER + line(sku="7")))
        assert (await import_rows(journal, json_rows({"sku": "7", **order()}))).added == 0

    async def test_what_the_streams_held_before_stays_and_counts(self, journal: Journal) -> None:
        await journal.event_stream("a", UntypedEvent).persist([UntypedEvent("opened", {}), UntypedEvent("opened", {})])
        await import_rows(journal, csv_rows(LOG))
        summary = await import_rows(journal, csv_rows(LOG))
        assert summary.added == 0
        assert [type_ for stream, type_, _ in await facts(journal) if stream == "a"] == ["opened", "opened"] + [
            "placed"
        ] * 3

    async def test_batches_make_no_difference(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importing, "BATCH_ROWS_MAX", 2)
        monkeypatch.setattr(importing, "PAGE_RECORDS", 1)
        for _ in range(2):
            await import_rows(journal, csv_rows(LOG))
        assert [stream for stream, *_ in await facts(journal)] == ["a", "b", "a", "a", "b"]

    async def test_progress_is_told_after_each_batch(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importing, "BATCH_ROWS_MAX", 2)
        told: list[int] = []
        await import_rows(journal, csv_rows(LOG), on_progress=lambda summary: told.append(summary.rows))
        assert told == [2, 4, 5, 5]

    async def test_an_empty_log_imports_nothing(self, memory_journal: Journal) -> None:
        assert await import_rows(memory_journal, csv_rows(HEADER)) == ImportSummary()
        assert await import_rows(memory_journal, json_rows()) == ImportSummary()

    async def test_a_stream_that_somebody_else_writes_to_ends_the_import_and_nothing_is_doubled(self) -> None:
        store = InterferingStore()
        async with Journal(store.open) as journal:

            async def write_first() -> None:
                await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("opened", {}))

            store.before_appends = iter([write_first])
            with pytest.raises(ExpectedVersionError):
                await import_rows(journal, csv_rows(LOG))
            await import_rows(journal, csv_rows(LOG))

            found = Counter(str(data) for _, _, data in await facts(journal))
        assert found == {"{}": 1, "{'sku': '1'}": 2, "{'sku': '2'}": 2, "{'sku': '3'}": 1}

    @pytest.mark.parametrize("failing", range(5))
    async def test_no_row_overtakes_one_that_could_not_be_written(self, failing: int) -> None:
        """The disk is full for one request and has room again for the next."""

        async def no_room() -> None:
            raise StorageFullError("no room")

        log = HEADER + "".join(line(stream, sku=str(number)) for number in range(4) for stream in "ab")
        store = InterferingStore()
        async with Journal(store.open) as journal:
            store.before_appends = iter([nothing] * failing + [no_room])
            with pytest.raises(StorageFullError):
                await import_rows(journal, csv_rows(log))
            await import_rows(journal, csv_rows(log))

            for stream in "ab":
                events = await journal.event_stream(stream, UntypedEvent).query().run_collect()
                assert [event.data["sku"] for event in events] == ["0", "1", "2", "3"]


@dataclass
class Shipped:
    weight: float
    parcels: list[int]


async def exported(journal: Journal, *, form: str = "jsonl", columns: Columns | None = None) -> str:
    file = io.StringIO()
    source = journal.records(event_type=UntypedEvent)
    if form == "csv":
        await export_csv(source, file, columns or Columns("stream", "type", "time"))
    else:
        await export_json_lines(source, file, columns or EXPORTED_JSON_LINES)
    return file.getvalue()


class TestExporting:
    async def test_what_was_imported_from_csv_comes_out_as_it_went_in(self, memory_journal: Journal) -> None:
        log = HEADER + line("a", sku='"x,y\n""z"""') + line("b") + line("a", sku="2")
        await import_rows(memory_journal, csv_rows(log))
        assert await exported(memory_journal, form="csv", columns=COLUMNS) == log

    async def test_json_lines_bring_everything_to_another_journal(
        self, journal: Journal, memory_journal: Journal
    ) -> None:
        await journal.event_stream("a", Shipped).persist(
            [Shipped(2.5, [1, 2]), Shipped(1.0, [])], tags=["vip", "eu"], metadata={"correlation_id": "c-1"}
        )
        await journal.event_stream("b", UntypedEvent).persist(UntypedEvent("old", {"x": None}, schema_version=3))
        text = await exported(journal)

        await import_rows(memory_journal, read_json_lines(io.BytesIO(text.encode()), EXPORTED_JSON_LINES))

        originals, copies = await records(journal), await records(memory_journal)
        assert [(copy.stream_id, copy.data, copy.tags) for copy in copies] == [
            (original.stream_id, original.data, original.tags) for original in originals
        ]
        assert [copy.metadata for copy in copies] == [
            {**original.metadata, "time": original.timestamp.isoformat()} for original in originals
        ]
        assert await exported(memory_journal) == text

    async def test_an_export_imported_into_its_own_journal_adds_nothing(self, journal: Journal) -> None:
        await journal.event_stream("a", Shipped).persist([Shipped(2.5, [1, 2])] * 2, tags=["vip"])
        text = await exported(journal)
        summary = await import_rows(journal, read_json_lines(io.BytesIO(text.encode()), EXPORTED_JSON_LINES))
        assert (summary.added, summary.known) == (0, 2)

    async def test_csv_has_a_column_for_every_field_and_json_for_what_is_no_text(self, memory_journal: Journal) -> None:
        await import_rows(memory_journal, json_rows(order(amount=2), order(parts=[1, "x"], gift=True, note=None)))
        assert await exported(memory_journal, form="csv", columns=COLUMNS) == (
            f'order,activity,at,amount,parts,gift,note\no-1,placed,{AT},2,,,\no-1,placed,{AT},,"[1,""x""]",true,\n'
        )

    @pytest.mark.parametrize("form", ["csv", "jsonl"])
    async def test_a_field_that_is_called_like_a_column_is_refused_and_named(
        self, memory_journal: Journal, form: str
    ) -> None:
        await import_rows(memory_journal, json_rows(order(), order(type="x")))
        with pytest.raises(ExportError, match="position 2 cannot be exported: its field 'type'") as caught:
            await exported(memory_journal, form=form)
        assert caught.value.position == 2

    async def test_events_that_came_while_csv_was_written_are_left_out(self, memory_journal: Journal) -> None:
        """Its first line is written already, and may lack their fields."""
        await import_rows(memory_journal, json_rows(order(amount=1)))

        rows = iter(json_rows(order(amount=2, other=1)))

        async def grow(_: object) -> None:
            await import_rows(memory_journal, list(rows))

        file = io.StringIO()
        await export_csv(memory_journal.records(event_type=UntypedEvent).on_each(grow), file, COLUMNS)

        assert len(await records(memory_journal)) == 2
        assert file.getvalue() == f"order,activity,at,amount\no-1,placed,{AT},1\n"

    async def test_a_journal_without_events_has_a_header_in_csv_and_nothing_in_json(self, journal: Journal) -> None:
        assert await exported(journal, form="csv") == "stream,type,time\n"
        assert await exported(journal) == ""


class TestForms:
    @pytest.mark.parametrize(
        ("file", "form"),
        [("a.csv", "csv"), ("b/A.CSV", "csv"), ("a.tsv", "tsv"), ("a.jsonl", "jsonl"), ("a.ndjson", "jsonl")],
    )
    def test_a_suffix_says_the_form(self, file: str, form: str) -> None:
        assert form_of(file) == form

    def test_another_suffix_does_not(self) -> None:
        with pytest.raises(ValueError, match=r"the suffix of 'log\.txt' is none of \.csv"):
            form_of("log.txt")

    def test_tabs_separate_the_cells_of_tsv(self) -> None:
        read = reader_of("tsv")
        rows = list(read(io.BytesIO(HEADER.replace(",", "\t").encode() + b"o-1\tplaced\t2024-05-01\ta,b\n"), COLUMNS))
        assert rows[0].event.payload == b"\x81\xa3sku\xa3a,b"

    @pytest.mark.parametrize(
        ("form", "delimiter"), [("csv", ""), ("csv", ";;"), ("csv", '"'), ("csv", "\n"), ("jsonl", ";")]
    )
    def test_a_delimiter_that_cannot_be_one_is_refused(self, form: str, delimiter: str) -> None:
        with pytest.raises(ValueError, match="delimiter"):
            reader_of(form, delimiter)

    @pytest.mark.parametrize("names", [("s", None, None), (None, "t", None), (None, None, "at"), ("s", "s", None)])
    def test_columns_that_do_not_make_an_event_are_refused(
        self, names: tuple[str | None, str | None, str | None]
    ) -> None:
        with pytest.raises(ValueError, match="column"):
            columns_of("csv", *names)
