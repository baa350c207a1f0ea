import struct
from collections.abc import Sequence
from typing import cast
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calliope.errors import CorruptRecordError
from calliope.stores.event_rows import (
    ALL_COLUMNS,
    ROW_BYTES_MAX,
    ROW_EVENTS_MAX,
    KnownType,
    Row,
    RowReader,
    RowRun,
    checksum_seed,
    row_of,
    rows_of,
)
from calliope.stores.record import NO_ATTRIBUTES, Attributes, StoredRecord, StoredType
from calliope.stores.run import split

TYPES = {1: StoredType("item-added", 1), 2: StoredType("item-added", 2), 3: StoredType("paid", 1)}

numbers = st.integers(min_value=1, max_value=2**63 - 1)
attributes = st.one_of(
    st.just(NO_ATTRIBUTES),
    st.builds(
        Attributes,
        st.none() | st.text(min_size=1),
        st.lists(st.text(min_size=1)).map(tuple),
        st.dictionaries(st.text(), st.integers(-(2**63), 2**64 - 1) | st.text() | st.none()),
    ),
)
records = st.builds(
    StoredRecord, numbers, st.text(min_size=1), numbers, st.sampled_from(list(TYPES.values())), numbers, st.binary()
).flatmap(lambda record: attributes.map(lambda given: with_attributes(record, given)))


def with_attributes(record: StoredRecord, given: Attributes) -> StoredRecord:
    return StoredRecord(
        record.position,
        record.stream_id,
        record.sequence_number,
        record.type,
        record.timestamp,
        record.payload,
        given,
    )


def stored(record: StoredRecord) -> Row:
    row = row_of(record, 7, known(record.type, record.stream_id))
    assert len(row) == len(ALL_COLUMNS.split(", "))
    assert row[0] == 7
    return row[1:]


def known(stored_type: StoredType, stream_id: str = "order-3") -> KnownType:
    (number,) = [number for number, known_type in TYPES.items() if known_type == stored_type]
    return number, checksum_seed(stream_id, stored_type)


def read(row: Row, stream_id: str) -> StoredRecord:
    reader = RowReader(stream_id, TYPES.__getitem__)
    (record,) = reader.records(row)
    assert reader.are_whole([row])
    return record


def refused(row: Row, stream_id: str = "order-3") -> bool:
    """Tell whether a row is refused, looked at alone and among others."""
    reader = RowReader(stream_id, TYPES.__getitem__)
    with pytest.raises(CorruptRecordError, match="does not match its checksum"):
        reader.records(row)
    return not reader.are_whole([row, row])


RECORD = StoredRecord(
    17, "order-3", 5, TYPES[1], 1_700_000_000_000_000, b"payload", Attributes("id", ("tag",), {"user": "ann"})
)


@given(records)
def test_a_row_gives_its_record_back(record: StoredRecord) -> None:
    assert read(stored(record), record.stream_id) == record


def test_the_checksum_is_what_the_format_says() -> None:
    """A journal that was written once must stay readable: the sum is part of the file format."""
    described = b"order-3\0item-added\0001\0" + struct.pack("<qqqq", 17, 5, 1, 1_700_000_000_000_000)
    attributes = b"\x93\xa2id\x91\xa3tag\x81\xa4user\xa3ann"
    assert stored(RECORD)[-1] == crc32(described + attributes + b"payload")


@pytest.mark.parametrize("column", range(8))
def test_a_row_with_any_column_altered_is_refused(column: int) -> None:
    row = list(stored(RECORD))
    value = row[column]
    row[column] = value + 1 if isinstance(value, int) else cast(bytes, value)[:-1] + b"?"
    assert refused(cast(Row, tuple(row)))


def test_every_flipped_bit_of_the_payload_is_noticed() -> None:
    row = stored(RECORD)
    for bit in range(len(RECORD.payload) * 8):
        payload = bytearray(RECORD.payload)
        payload[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptRecordError) as caught:
            read((*row[:6], bytes(payload), row[7]), "order-3")
        assert caught.value.position == 17


def test_a_row_without_its_attributes_is_refused() -> None:
    row = stored(RECORD)
    assert refused((*row[:5], b"", *row[6:]))


def test_a_row_of_another_stream_is_refused() -> None:
    with pytest.raises(CorruptRecordError, match="order-4"):
        read(stored(RECORD), "order-4")


def test_a_row_whose_type_is_not_in_the_journal_is_refused() -> None:
    row = stored(RECORD)
    with pytest.raises(CorruptRecordError, match="type number 9 is not in the journal"):
        read((*row[:3], 9, *row[4:]), "order-3")
    assert not RowReader("order-3", TYPES.__getitem__).are_whole([row, (*row[:3], 9, *row[4:])])


def test_a_row_whose_types_cannot_be_read_is_refused() -> None:
    row = stored(RECORD)
    with pytest.raises(CorruptRecordError, match="type numbers b'x' cannot be read"):
        read((*row[:3], b"x", *row[4:]), "order-3")


def test_parts_that_follow_one_another_are_told_apart() -> None:
    assert checksum_seed("ab", StoredType("c", 1)) != checksum_seed("a", StoredType("bc", 1))
    assert checksum_seed("a", StoredType("b", 11)) != checksum_seed("a", StoredType("b1", 1))


SHARED = Attributes(None, ("tag",), {"user": "ann"})


def request(
    *payloads: bytes,
    types: Sequence[int] = (1,),
    first: Attributes = NO_ATTRIBUTES,
    others: Attributes = NO_ATTRIBUTES,
) -> list[StoredRecord]:
    """Return the records of one request, whose types repeat."""
    return [
        StoredRecord(
            40 + index, "order-3", 10 + index, TYPES[types[index % len(types)]], 9, payload, others if index else first
        )
        for index, payload in enumerate(payloads)
    ]


def rows_for(records: list[StoredRecord]) -> list[Row]:
    return [row[1:] for row, _ in rows_of(records, 7, known)]


def run_of(rows: list[Row]) -> RowRun:
    reader = RowReader("order-3", TYPES.__getitem__)
    assert reader.are_whole(rows)
    return RowRun(rows, reader)


values = st.integers(-(2**63), 2**64 - 1) | st.text(max_size=40) | st.lists(st.booleans()) | st.binary(max_size=300)


@given(
    st.lists(values.map(msgspec.msgpack.encode), min_size=1, max_size=700),
    st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=5),
    st.none() | st.text(min_size=1),
    attributes,
)
def test_the_rows_of_a_request_give_its_records_back(
    payloads: list[bytes], types: list[int], event_id: str | None, given: Attributes
) -> None:
    others = Attributes(None, given.tags, given.metadata)
    records = request(*payloads, types=types, first=Attributes(event_id, given.tags, given.metadata), others=others)
    rows = rows_for(records)
    assert len(rows) <= 1 + len(payloads) // 100
    run = run_of(rows)
    assert (run.records, len(run)) == (records, len(records))
    assert (run.last_position, run.last_sequence_number) == (records[-1].position, records[-1].sequence_number)
    decoded = run.typed_payloads().decoded(lambda _, array: msgspec.msgpack.decode(array))
    assert decoded == [msgspec.msgpack.decode(payload) for payload in payloads]
    assert run.typed_payloads().types == [record.type for record in records]


def test_a_request_is_a_row_and_a_large_one_several() -> None:
    assert [row[2] for row in rows_for(request(*[b"\1"] * 600))] == [ROW_EVENTS_MAX, ROW_EVENTS_MAX, 600 - 512]
    large = msgspec.msgpack.encode("x" * (ROW_BYTES_MAX // 4))
    assert [row[2] for row in rows_for(request(*[large] * 7))] == [3, 3, 1]
    larger = msgspec.msgpack.encode("x" * ROW_BYTES_MAX)
    assert [row[2] for row in rows_for(request(larger, b"\1", larger, b"\1", b"\1"))] == [1, 1, 1, 2]


def test_the_checksum_of_several_events_is_what_the_format_says() -> None:
    described = b"order-3\0item-added\0001\0" + struct.pack("<qqqq", 42, 12, 3, 9)
    (row,) = rows_for(request(b"\1", b"\2", b"\3"))
    assert row == (42, 12, 3, 1, 9, b"", b"\1\2\3", crc32(described + b"\1\2\3"))


def test_the_checksum_of_events_of_several_types_is_what_the_format_says() -> None:
    described = b"order-3\0item-added\0001\0paid\0001\0" + struct.pack("<qqqq", 41, 11, 2, 9)
    (row,) = rows_for(request(b"\1", b"\2", types=(1, 3)))
    assert row == (41, 11, 2, b"\x92\1\3", 9, b"", b"\1\2", crc32(described + b"\1\2"))


@pytest.mark.parametrize("column", range(8))
def test_a_row_of_several_events_with_any_column_altered_is_refused(column: int) -> None:
    (row,) = rows_for(request(b"\1", b"\2", b"\3", types=(1, 2, 2), first=SHARED, others=SHARED))
    altered = list(row)
    value = row[column]
    altered[column] = value + 1 if isinstance(value, int) else value[:-1] + b"\x01"
    assert refused(cast(Row, tuple(altered)))


@pytest.mark.parametrize("odd", [b"", b"\1\2", b"\xc1", b"\x92\1"])
def test_payloads_that_could_not_be_told_apart_are_not_put_together(odd: bytes) -> None:
    records = request(b"\1", odd, b"", b"\1\1", b"\2")
    assert [row[2] for row in rows_for(records)] == [1] * 5
    assert run_of(rows_for(records)).records == records


@pytest.mark.parametrize(
    "others",
    [
        NO_ATTRIBUTES,
        Attributes(None, ("tag",), {"user": "bob"}),
        Attributes(None, (), {"user": "ann"}),
        Attributes("another", ("tag",), {"user": "ann"}),
    ],
)
def test_events_of_different_attributes_are_not_put_together(others: Attributes) -> None:
    records = request(b"\1", b"\2", b"\3", first=SHARED, others=others)
    assert [row[2] for row in rows_for(records)] == [1, 1, 1]
    assert run_of(rows_for(records)).records == records


def test_metadata_that_is_equal_in_python_and_not_in_the_file_is_kept_apart() -> None:
    first, others = Attributes(None, (), {"x": 1}), Attributes(None, (), {"x": True})
    records = request(b"\1", b"\2", first=first, others=others)
    read_back = [record.attributes.metadata["x"] for record in run_of(rows_for(records)).records]
    assert list(map(repr, read_back)) == ["1", "True"]


def test_a_payload_of_fewer_values_than_events_is_not_split() -> None:
    with pytest.raises(msgspec.DecodeError):
        split(3, b"\1\2")
