"""Whatever bytes arrive: decoding gives a legal message or says that they are none, within bounded memory."""

import tracemalloc
from math import inf
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calliope.limits import STREAM_ID_BYTES_MAX
from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import LogEntry
from crdts import VersionVector
from replication import wire
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
from replication.errors import MalformedMessageError, PeerRefusedError
from replication.handshake import GREETING_BYTES_MAX, Handshake, identity
from replication.identifiers import checked_log_id
from replication.wire import decode, encode

numbers = st.integers(0, 2**63 - 1)
counters = st.integers(1, 2**63 - 1)
replica_ids = st.text(st.characters(exclude_characters="\0~", exclude_categories=["Cs"]), min_size=1, max_size=60)
log_ids = st.builds(lambda replica_id, run: f"{replica_id}~{run:x}", replica_ids, st.integers(0, 2**64 - 1))
vectors = st.dictionaries(log_ids, counters, max_size=5).map(VersionVector)
ages = st.floats(0, 1e9)
addresses = st.sampled_from(["", "127.0.0.1:7401"])
rows = st.builds(Row, replica_ids, numbers, log_ids, vectors, addresses)
members = st.binary(max_size=20)
heard = st.builds(Heard, ages, members)
entries = st.builds(
    LogEntry, log_ids, counters, st.sampled_from(["events", "operations"]), st.integers(0, 2**32 - 1), st.binary()
)
states = st.builds(StoredState, replica_ids, replica_ids, st.binary())
cursors = st.builds(Cursor, st.none() | st.just("") | replica_ids, numbers)


def several(elements):
    return st.lists(elements, max_size=4).map(tuple)


messages = st.one_of(
    st.builds(
        Digest,
        rows,
        vectors,
        several(st.builds(Introduction, replica_ids, numbers, addresses)),
        numbers,
        numbers,
        several(st.builds(Claim, vectors, members)),
        several(heard),
        several(st.builds(Fence, replica_ids, vectors)),
        several(replica_ids),
        numbers,
        st.booleans(),
        vectors,
    ),
    st.builds(Heartbeat, numbers, numbers, numbers, several(heard)),
    st.builds(Acknowledgement, vectors),
    st.builds(Entries, several(entries), numbers),
    st.builds(SnapshotRequest, cursors, st.none() | vectors, vectors),
    st.builds(SnapshotChunk, cursors, vectors, several(states), several(entries), st.none() | cursors, vectors),
    st.builds(Question, replica_ids, numbers, vectors),
    st.builds(Answer, replica_ids, numbers, replica_ids, vectors),
)


def decodes_or_says_so(data: bytes) -> bool:
    try:
        message = decode(data)
    except MalformedMessageError:
        return False
    assert decode(encode(message)) == message  # what is accepted is legal
    check_bounds(message)
    return True


def check_bounds(part: object) -> None:
    """Check that no number of a message is out of range, and no name illegal, wherever it stands."""
    if isinstance(part, VersionVector):
        part = part.to_dict()
    if isinstance(part, bool | bytes) or part is None:
        return
    if isinstance(part, int | float):
        assert 0 <= part < (2**63 if isinstance(part, int) else inf)
    elif isinstance(part, str):
        assert "\0" not in part
        assert len(part.encode()) <= STREAM_ID_BYTES_MAX
    elif isinstance(part, dict):
        for log_id, number in part.items():
            assert checked_log_id(log_id)
            check_bounds(number)
    elif isinstance(part, tuple):
        for item in part:
            check_bounds(item)
    else:
        for name in getattr(part, "__struct_fields__", None) or part.__dataclass_fields__:
            check_bounds(getattr(part, name))


def check_it_survives(message: Message) -> None:
    assert decode(encode(message)) == message


def check_mutated(message: Message, data: st.DataObject) -> None:
    mutated = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(mutated) - 1))
        mutated[place] = data.draw(st.integers(0, 255))
    decodes_or_says_so(bytes(mutated))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.sampled_from(["berlin~1", "a\0", "~1", "x" * 300, 0, -1, 2**63, float("nan"), float("inf"), b""]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(-9, 9), inner, max_size=3)
    ),
    max_leaves=5,
)


def places_in(part: object, place: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return where every part of a decoded message is, at whatever depth."""
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    return [place, *[deeper for key, item in inner for deeper in places_in(item, (*place, key))]]


def check_field_replaced(message: Message, data: st.DataObject) -> None:
    """Put anything in the place of some field: its type, its bounds and what it means are checked, all three."""
    fields = msgspec.msgpack.decode(encode(message)[1:])
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(places_in(fields)[1:]))
        holder = fields
        for key in way:
            holder = holder[key]
        match data.draw(st.sampled_from(["replace", "remove", "repeat"])):
            case "replace":
                holder[last] = data.draw(anything)
            case "remove":
                del holder[last]
            case "repeat" if isinstance(holder, list):
                holder.insert(last, holder[last])
        if not places_in(fields)[1:]:
            return
    decodes_or_says_so(bytes((wire.FORMAT,)) + msgspec.msgpack.encode(fields))


@given(messages)
@settings(max_examples=30)
def test_a_message_survives_the_wire(message):
    check_it_survives(message)


@given(messages, st.data())
@settings(max_examples=30)
def test_a_mutated_message_is_legal_or_malformed(message, data):
    check_mutated(message, data)


@given(messages, st.data())
@settings(max_examples=100)
def test_a_message_with_anything_in_a_field_is_legal_or_malformed(message, data):
    check_field_replaced(message, data)


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_random_bytes_are_malformed(data):
    decodes_or_says_so(bytes((wire.FORMAT,)) + data)


@pytest.mark.soak
@given(messages)
@settings(max_examples=2_000)
def test_many_messages_survive_the_wire(message):
    check_it_survives(message)


@pytest.mark.soak
@given(messages, st.data())
@settings(max_examples=2_000)
def test_many_mutated_messages_are_legal_or_malformed(message, data):
    check_mutated(message, data)


@pytest.mark.soak
@given(messages, st.data())
@settings(max_examples=2_000)
def test_many_messages_with_anything_in_a_field_are_legal_or_malformed(message, data):
    check_field_replaced(message, data)


@given(st.data())
@settings(max_examples=100)
def test_a_greeting_with_anything_in_a_field_is_refused_or_malformed_or_of_somebody(data):
    stranger = Handshake(identity("paris", "shop", "secret"), "dialler", "127.0.0.1:7402")
    fields = msgspec.msgpack.decode(stranger.begin())
    for _ in range(data.draw(st.integers(1, 2))):
        fields[data.draw(st.integers(0, len(fields) - 1))] = data.draw(anything)
    listener = Handshake(identity("berlin", "shop", "secret"), "listener")
    answer: bytes | None = b""
    try:
        answer = listener.receive(msgspec.msgpack.encode(fields))
    except PeerRefusedError as error:
        answer = listener.refusal(error)
    except MalformedMessageError:
        pass
    assert answer is not None
    assert len(answer) < GREETING_BYTES_MAX
    assert listener.peer is None, "nobody is known before he has proven himself"


def test_headers_that_claim_much_take_no_memory():
    random = Random(4)
    beginnings = [b"", b"\x92\xa3ack", b"\x92\xa7entries", b"\x98\xa6digest", b"\x96\xa8snapshot\x92\xa0\x00"]
    headers = [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdc\xff\xff",
        b"\x9f",
        b"\x8f",
    ]
    tracemalloc.start()
    try:
        for _ in range(2_000):
            tail = b"".join(random.choice([*headers, random.randbytes(3)]) for _ in range(random.randint(1, 40)))
            decodes_or_says_so(bytes((wire.FORMAT,)) + random.choice(beginnings) + tail)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


def test_nesting_without_end_is_malformed():
    for opening in (b"\x91", b"\x81", b"\x81\xa1a"):
        for before in (b"", b"\x92\xa3ack", b"\x92\xa7entries\x91", b"\x96\xa8snapshot"):
            assert not decodes_or_says_so(bytes((wire.FORMAT,)) + before + opening * 100_000)
