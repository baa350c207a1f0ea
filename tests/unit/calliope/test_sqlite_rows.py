import struct
from typing import cast
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calliope.errors import CorruptRecordError
from calliope.stores.record import NO_ATTRIBUTES, Attributes, StoredRecord, StoredType
from calliope.stores.sqlite_rows import ALL_COLUMNS, Row, RowReader, checksum_seed, row_of

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
    (number,) = [number for number, stored_type in TYPES.items() if stored_type == record.type]
    row = row_of(record, 7, number, checksum_seed(record.stream_id, record.type))
    assert len(row) == len(ALL_COLUMNS.split(", "))
    assert row[0] == 7
    return cast(Row, row[1:])


def read(row: Row, stream_id: str) -> StoredRecord:
    return RowReader(stream_id, TYPES.__getitem__).record(row)


RECORD = StoredRecord(
    17, "order-3", 5, TYPES[1], 1_700_000_000_000_000, b"payload", Attributes("id", ("tag",), {"user": "ann"})
)


@given(records)
def test_a_row_gives_its_record_back(record: StoredRecord) -> None:
    assert read(stored(record), record.stream_id) == record


def test_the_checksum_is_what_the_format_says() -> None:
    """A journal that was written once must stay readable: the sum is part of the file format."""
    described = b"order-3\0item-added\0001\0" + struct.pack("<qqq", 17, 5, 1_700_000_000_000_000)
    attributes = b"\x93\xa2id\x91\xa3tag\x81\xa4user\xa3ann"
    assert stored(RECORD)[-1] == crc32(described + attributes + b"payload")


@pytest.mark.parametrize("column", range(7))
def test_a_row_with_any_column_altered_is_refused(column: int) -> None:
    row = list(stored(RECORD))
    value = row[column]
    row[column] = value + 1 if isinstance(value, int) else cast(bytes, value)[:-1] + b"?"
    with pytest.raises(CorruptRecordError, match="does not match its checksum"):
        read(cast(Row, tuple(row)), "order-3")


def test_every_flipped_bit_of_the_payload_is_noticed() -> None:
    row = stored(RECORD)
    for bit in range(len(RECORD.payload) * 8):
        payload = bytearray(RECORD.payload)
        payload[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptRecordError) as caught:
            read((*row[:5], bytes(payload), row[6]), "order-3")
        assert caught.value.position == 17


def test_a_row_without_its_attributes_is_refused() -> None:
    row = stored(RECORD)
    with pytest.raises(CorruptRecordError):
        read((*row[:4], None, *row[5:]), "order-3")


def test_a_row_of_another_stream_is_refused() -> None:
    with pytest.raises(CorruptRecordError, match="order-4"):
        read(stored(RECORD), "order-4")


def test_a_row_whose_type_is_not_in_the_journal_is_refused() -> None:
    row = stored(RECORD)
    with pytest.raises(CorruptRecordError, match="type number 9 is not in the journal"):
        read((row[0], row[1], 9, *row[3:]), "order-3")


def test_parts_that_follow_one_another_are_told_apart() -> None:
    assert checksum_seed("ab", StoredType("c", 1)) != checksum_seed("a", StoredType("bc", 1))
    assert checksum_seed("a", StoredType("b", 11)) != checksum_seed("a", StoredType("b1", 1))
