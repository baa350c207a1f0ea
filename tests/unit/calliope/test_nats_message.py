from random import Random

import pytest

from calliope.errors import CorruptRecordError
from calliope.limits import PAYLOAD_BYTES_MAX, POSITION_MAX
from calliope.stores.nats_message import (
    MESSAGE_BYTES_MAX,
    MESSAGE_EVENTS_MAX,
    Composition,
    Message,
    MessageRows,
    position_of,
    sequence_of,
)
from calliope.stores.protocol import AppendRequest
from calliope.stores.record import Attributes, NewEvent, StoredRecord, StoredType
from calliope.testing.requests import TIMESTAMP, append_of

WRITING = bytes(12)


def composed(*requests: AppendRequest, version: int = 0) -> Composition:
    composition = Composition("a", version, WRITING)
    assert all(composition.add(request) for request in requests)
    return composition


def read(composition: Composition, last_sequence: int) -> list[StoredRecord]:
    """Return the records in the messages of a composition."""
    messages, rows = composition.messages(), MessageRows()
    first = last_sequence - len(messages) + 1
    return [record for each, data in enumerate(messages, first) for record in rows.records(Message(each, data))]


def stored(composition: Composition, last_sequence: int) -> list[StoredRecord]:
    """Return the records that are told to writers."""
    return [record for _, records in composition.stored(last_sequence) for record in records]


def requests_of_all_kinds() -> list[AppendRequest]:
    mixed = [NewEvent(StoredType("ab"[n % 2], 1 + n % 3), b"\xcc" + bytes([n])) for n in range(200)]
    return [
        append_of("a", b"\x01"),
        append_of("a", b"\x01", b"\xa12", b"\xc0", tags=("red",), metadata={"k": [1]}, event_id="id"),
        append_of("a", b"not msgpack", b"\x01\x02", b""),
        append_of("a", *[b"\x05"] * 700, type="other", schema_version=4),
        AppendRequest("a", "plain", mixed, TIMESTAMP),
        AppendRequest("a", "plain", [NewEvent(StoredType("x", 1), b"\x01", Attributes("own"))] * 3, TIMESTAMP),
    ]


def test_what_is_read_is_what_writers_are_told():
    composition = composed(*requests_of_all_kinds(), version=7)
    assert composition.is_one_message
    assert read(composition, 5) == stored(composition, 5)
    assert [record.sequence_number for record in read(composition, 5)] == list(range(8, composition.version + 1))
    assert read(composition, 5)[0].position == position_of(5)


@pytest.mark.parametrize(("count", "size"), [(10_000, 1), (90, 30_000), (3, PAYLOAD_BYTES_MAX), (4_097, 3)])
def test_a_request_that_is_too_large_becomes_several_messages(count: int, size: int):
    request = append_of("a", *[b"\xc6" + size.to_bytes(4, "big") + bytes(size)] * count, event_id="id")
    composition = composed(request)
    messages = composition.messages()
    assert len(messages) > 1
    assert max(map(len, messages)) < MESSAGE_BYTES_MAX + 1_000
    assert all(Message(1, message).body.event_count <= MESSAGE_EVENTS_MAX for message in messages)
    assert read(composition, 40) == stored(composition, 40)
    assert not composition.add(append_of("a"))


def test_the_records_of_a_request_are_found_among_others_and_across_messages():
    rows, large = MessageRows(), append_of("a", *[b"\x05"] * 9_000, event_id="large")
    composition = composed(
        append_of("a"), append_of("a", *[b"\x05"] * 600, event_id="id"), append_of("a", event_id="x")
    )
    (data,) = composition.messages()
    records, goes_on = rows.requested(Message(3, data), "id")
    assert (records, goes_on) == (stored(composition, 3)[1:601], False)
    assert rows.requested(Message(3, data), "x") == (stored(composition, 3)[601:], True)
    assert rows.requested(Message(3, data), "none") == ([], False)
    assert rows.requested(Message(3, data), None) == ([], False)
    messages = [Message(each, data) for each, data in enumerate(composed(large).messages(), 1)]
    found = [rows.requested(messages[0], "large"), *[rows.requested(message, None) for message in messages[1:]]]
    assert [record for records, _ in found for record in records] == stored(composed(large), len(messages))


def test_any_flipped_bit_is_found():
    (data,) = composed(append_of("a", b"\x01", tags=("red",), event_id="id")).messages()
    random = Random(1)
    for _ in range(200):
        place = random.randrange(8 * len(data))
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(CorruptRecordError, match="does not match its checksum") as raised:
            Message(9, bytes(damaged))
        assert raised.value.position == position_of(9)
    for damaged in (b"", b"\0", data[:-1], data + b"\0"):
        with pytest.raises(CorruptRecordError):
            Message(9, bytes(damaged))


def test_positions_and_sequence_numbers_belong_together():
    for sequence in (1, 2, 2**40, POSITION_MAX // MESSAGE_EVENTS_MAX):
        for index in (0, 1, MESSAGE_EVENTS_MAX - 1):
            assert sequence_of(position_of(sequence, index)) == sequence
        assert position_of(sequence, MESSAGE_EVENTS_MAX - 1) + 1 == position_of(sequence + 1)
