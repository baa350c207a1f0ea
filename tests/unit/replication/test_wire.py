import msgspec
import pytest

from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import Item, LogEntry, Versioned, log_entry
from crdts import VersionVector
from replication import wire, wire_shapes
from replication.core.messages import (
    Acknowledgement,
    Answer,
    Claim,
    Cursor,
    Digest,
    Entries,
    Fence,
    Heard,
    Heartbeat,
    Introduction,
    Message,
    Question,
    Row,
    SnapshotChunk,
    SnapshotRequest,
)
from replication.errors import MalformedMessageError
from replication.identifiers import checked_log_id, checked_replica_id
from replication.wire import decode, encode

BERLIN, PARIS = "berlin~0011223344556677", "päris~a"
VECTOR = VersionVector({BERLIN: 7, PARIS: 2**63 - 1})
ROW = Row("berlin", 3, BERLIN, VECTOR, "127.0.0.1:7401")
MET = Introduction("rome", 2, "127.0.0.1:7402")
HEARD = (Heard(0.25, b"\x05"), Heard(1.5, b"\x00\x80"))
CHANGE = Versioned("cart", BERLIN, 1, {}, 1_700_000_000_000_000, None, (), {}, (Item("orset", 1, b"\x01\x02"),))
ENTRY = log_entry(BERLIN, 8, "operations", [CHANGE])

MESSAGES: dict[str, Message] = {
    "digest": Digest(
        ROW, VECTOR, (MET, MET), 7, 8, (Claim(VECTOR, b"\x03"),), HEARD, (Fence("rome", VECTOR),), ("päris",), 3, True
    ),
    "smallest digest": Digest(ROW, VersionVector()),
    "heartbeat": Heartbeat(2**32 - 1, 2**63 - 1, 0, HEARD),
    "acknowledgement": Acknowledgement(VECTOR),
    "entries": Entries((ENTRY, log_entry(PARIS, 1, "events", [CHANGE])), 4),
    "snapshot request": SnapshotRequest(Cursor("cart", 5), VECTOR),
    "first snapshot request": SnapshotRequest(Cursor()),
    "snapshot chunk": SnapshotChunk(Cursor(), VECTOR, (StoredState("a", "gcounter", b"\x00"),), (ENTRY,), Cursor(None)),
    "last snapshot chunk": SnapshotChunk(Cursor(None, 9), VECTOR, (), (), None),
    "question": Question("berlin", 1, VECTOR),
    "answer": Answer("berlin", 1, "päris", VECTOR),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_reads_back_as_it_was_written(name):
    message = MESSAGES[name]
    assert decode(encode(message)) == message
    assert type(decode(encode(message))) is type(message)


def test_every_kind_of_message_is_tried_here():
    assert {type(message) for message in MESSAGES.values()} == set(Message.__args__)


def test_every_message_begins_with_its_format():
    assert {encode(message)[0] for message in MESSAGES.values()} == {wire.FORMAT}
    with pytest.raises(MalformedMessageError, match="not of format 1"):
        decode(b"\x02" + encode(MESSAGES["heartbeat"])[1:])


def test_what_follows_a_message_is_not_passed_over():
    with pytest.raises(MalformedMessageError):
        decode(encode(MESSAGES["heartbeat"]) + b"\xc0")


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_that_is_cut_off_is_malformed_wherever_it_is_cut(name):
    data = encode(MESSAGES[name])
    for end in range(len(data)):
        with pytest.raises(MalformedMessageError):
            decode(data[:end])


def raw(*fields: object) -> bytes:
    return bytes((wire.FORMAT,)) + msgspec.msgpack.encode(fields)


ROW_FIELDS = ["berlin", 3, BERLIN, {BERLIN: 1}, "127.0.0.1:7401"]


def row_with(place: int, value: object) -> list[object]:
    return [value if at == place else field for at, field in enumerate(ROW_FIELDS)]


LIES: dict[str, bytes] = {
    "an unknown kind": raw("gossip", 1),
    "a field too many": raw("ack", {BERLIN: 1}, 1),
    "a field too few": raw("answer", "berlin", 1, "paris"),
    "a negative counter": raw("ack", {BERLIN: -1}),
    "a counter of zero": raw("ack", {BERLIN: 0}),
    "a counter of 64 bits": raw("ack", {BERLIN: 2**63}),
    "a counter that is a float": raw("ack", {BERLIN: 1.0}),
    "a counter that is a boolean": raw("ack", {BERLIN: True}),
    "a vector that is nested deeply": raw("ack", eval("[" * 60 + "]" * 60)),
    "a log id without an incarnation": raw("ack", {"berlin": 1}),
    "a log id with an incarnation that is none": raw("ack", {"berlin~xyz": 1}),
    "a log id with a long incarnation": raw("ack", {"berlin~" + "0" * 17: 1}),
    "a log id of no replica": raw("ack", {"~00": 1}),
    "a log id with two incarnations": raw("ack", {"berlin~00~11": 1}),
    "a log id that is too long": raw("ack", {"b" * 256 + "~00": 1}),
    "a log id with NUL": raw("ack", {"b\0~00": 1}),
    "a replica id with an incarnation": raw("digest", row_with(0, BERLIN), {}),
    "a replica id that is empty": raw("digest", row_with(0, ""), {}),
    "an incarnation that is negative": raw("digest", row_with(1, -1), {}),
    "an age that is negative": raw("heartbeat", 1, 1, 1, [[-0.5, b"\x01"]]),
    "an age that is infinite": raw("heartbeat", 1, 1, 1, [[float("inf"), b"\x01"]]),
    "an age that is no number": raw("heartbeat", 1, 1, 1, [[float("nan"), b"\x01"]]),
    "members that are text": raw("heartbeat", 1, 1, 1, [[1.0, "berlin"]]),
    "a roster that is negative": raw("heartbeat", 1, -1),
    "incarnations that are negative": raw("heartbeat", 1, 1, -1),
    "an address that is too long": raw("digest", row_with(4, "a" * 301), {}),
    "somebody introduced without an id": raw("digest", ROW_FIELDS, {}, [["", 1, ""]]),
    "somebody introduced with a long address": raw("digest", ROW_FIELDS, {}, [["rome", 1, "a" * 301]]),
    "somebody introduced with a negative incarnation": raw("digest", ROW_FIELDS, {}, [["rome", -1, ""]]),
    "a claim of an illegal log": raw("digest", ROW_FIELDS, {}, [], 1, 1, [[{"berlin": 1}, b"\x01"]]),
    "a neighbour with NUL": raw("digest", ROW_FIELDS, {}, [], 0, 0, [], [], [], ["a\0"]),
    "a beginning that is a boolean": raw("digest", ROW_FIELDS, {}, [], 0, 0, [], [], [], [], True, False),
    "a beginning that is negative": raw("entries", [], -1),
    "an entry with the number zero": raw("entries", [[BERLIN, 0, "events", 1, b""]]),
    "an entry with a number of 64 bits": raw("entries", [[BERLIN, 2**63, "events", 1, b""]]),
    "an entry of another kind": raw("entries", [[BERLIN, 1, "rumours", 1, b""]]),
    "an entry with a negative checksum": raw("entries", [[BERLIN, 1, "events", -1, b""]]),
    "an entry with a body of text": raw("entries", [[BERLIN, 1, "events", 1, 5]]),
    "an entry of an illegal log": raw("entries", [[BERLIN, 1, "events", 1, b""], ["berlin", 1, "events", 1, b""]]),
    "a state without a key": raw("snapshot", ["", 0], {}, [["", "gcounter", b""]], [], None),
    "a state with a long key": raw("snapshot", ["", 0], {}, [["k" * 513, "gcounter", b""]], [], None),
    "a state without a type": raw("snapshot", ["", 0], {}, [["k", "", b""]], [], None),
    "a cursor behind a key with NUL": raw("snapshot?", ["a\0", 0]),
    "a cursor at a negative position": raw("snapshot?", ["a", -1]),
    "text that is no UTF-8": bytes((wire.FORMAT,)) + b"\x94\xa6answer\xa1\xff\x01\xa1b\x80",
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_malformed(name):
    with pytest.raises(MalformedMessageError):
        decode(LIES[name])


@pytest.mark.parametrize(
    "data",
    [
        raw("ack", {f"b~{number:x}": 1 for number in range(wire_shapes.LOGS_MAX + 1)}),
        raw("digest", ROW_FIELDS, {}, [["rome", 1, ""]] * (wire_shapes.INTRODUCTIONS_MAX + 1)),
        raw("digest", ROW_FIELDS, {}, [], 0, 0, [[{}, b"\x01"]] * (wire_shapes.CLAIMS_MAX + 1)),
        raw("digest", ROW_FIELDS, {}, [], 0, 0, [[{}, b"\x01" * (wire_shapes.MEMBERS_MAX // 8 + 1)]]),
        raw("digest", ROW_FIELDS, {}, [], 0, 0, [], [], [["rome", {}]] * (wire_shapes.FENCES_MAX + 1)),
        raw("digest", ROW_FIELDS, {}, [], 0, 0, [], [], [], ["rome"] * (wire_shapes.NEIGHBOURS_MAX + 1)),
        raw("heartbeat", 1, 1, 1, [[1.0, b"\x01"]] * (wire_shapes.HEARD_MAX + 1)),
        raw("entries", [[BERLIN, 1, "events", 1, b""]] * (wire_shapes.ENTRIES_MAX + 1)),
        raw("snapshot", ["", 0], {}, [["k", "t", b""]] * (wire_shapes.STATES_MAX + 1), [], None),
        raw("snapshot", ["", 0], {}, [], [[BERLIN, 1, "events", 1, b""]] * (wire_shapes.ENTRIES_MAX + 1), None),
    ],
    ids=[
        *("logs", "introductions", "claims", "members", "fences", "neighbours", "heard"),
        *("entries", "states", "entries of a snapshot"),
    ],
)
def test_more_than_a_limit_is_malformed(data):
    with pytest.raises(MalformedMessageError, match="of length <="):
        decode(data)


@pytest.mark.parametrize(
    "header", [b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("before", [b"", b"\x92\xa7entries", b"\x92\xa3ack", b"\x96\xa8snapshot\x92\xa0\x00"])
def test_a_length_that_is_only_claimed_costs_nothing(before, header):
    with pytest.raises(MalformedMessageError):
        decode(bytes((wire.FORMAT,)) + before + header)


def test_only_entries_and_states_may_be_large():
    large = b"x" * (wire.SMALL_MESSAGE_BYTES_MAX + 1)
    entry = LogEntry(BERLIN, 1, "events", 0, large)
    assert decode(encode(Entries((entry,)))) == Entries((entry,))
    chunk = SnapshotChunk(Cursor(), VECTOR, (StoredState("k", "t", large),), (), None)
    assert decode(encode(chunk)) == chunk
    with pytest.raises(MalformedMessageError, match="more than 4194304"):
        decode(bytes((wire.FORMAT,)) + msgspec.msgpack.encode(["ack", large]))


def test_a_message_that_no_peer_would_take_is_not_written():
    with pytest.raises(ValueError, match="a Question must have at most 4194304 bytes"):
        encode(Question("b" * wire.SMALL_MESSAGE_BYTES_MAX, 1, VECTOR))
    body = b"x" * (wire.MESSAGE_BYTES_MAX // 2)
    with pytest.raises(ValueError, match="a Entries must have at most 100663296 bytes"):
        encode(Entries((LogEntry(BERLIN, 1, "events", 0, body), LogEntry(BERLIN, 2, "events", 0, body))))


@pytest.mark.parametrize("replica_id", ["a", "ä" * 127, "b" * 255])
def test_a_legal_replica_id_names_a_log(replica_id):
    assert checked_replica_id(replica_id) == replica_id
    assert checked_log_id(f"{replica_id}~0123456789abcdef") == f"{replica_id}~0123456789abcdef"


@pytest.mark.parametrize("name", [None, 5, b"berlin", ["berlin"], {}])
def test_a_name_that_is_no_text_is_refused_and_named(name):
    with pytest.raises(TypeError, match="replica_id must be a str, not "):
        checked_replica_id(name)
    with pytest.raises(TypeError, match="log_id must be a str, not "):
        checked_log_id(name)


@pytest.mark.parametrize("replica_id", ["", "a~b", "a\0", "b" * 256, "ä" * 128, "\ud800"])
def test_an_illegal_replica_id_is_refused_and_so_is_its_log(replica_id):
    with pytest.raises(ValueError, match="_id "):
        checked_replica_id(replica_id)
    with pytest.raises(ValueError, match="_id "):
        checked_log_id(f"{replica_id}~00")
