"""Bytes from a broken or hostile peer: refused as malformed, at no more cost than their length, and nothing changes."""

import math
import tracemalloc
from time import monotonic

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdts.errors import CausalityError, MalformedOperationError
from crdts.operation import Operation
from crdts.testing import Cluster
from crdts.testing.rendering import rendered
from crdts.testing.steps import Steps
from crdts.text import Text
from crdts.version_vector import VersionVector
from tests.property.crdt_subjects import SUBJECTS

subjects = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())
patiently = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
sparingly = settings(patiently, max_examples=12)
for_long = settings(patiently, max_examples=700)

# What a decoder may trip over, put in the place of anything in an honest message.
NASTY = [
    None, True, False, 0, 1, -1, 7, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**63),
    0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, "", "a", "x" * 300, "\x00", b"", b"\xff" * 20,
    [], [[]], {}, {"a": 1}, {"a": -1}, {1: {2: 3}}, {None: None}, [1, 2, 3], ["add", "x"], {"": 0}, {(): ()},
    msgpack.ExtType(5, b"x"), msgpack.Timestamp(1),
]  # fmt: skip


def deep(value, depth):
    for _ in range(depth):
        value = [value]
    return value


nasty = st.sampled_from([*NASTY, deep("x", 31), deep("x", 33), deep("x", 400)])


@st.composite
def damaged(draw, data):
    """The bytes with a few changes to them, or with a few changes to what they say, most of them small."""
    change = draw(st.sampled_from([damaged_message, damaged_message, damaged_message, damaged_bytes]))
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        data = change(draw, data)
    return data


def damaged_bytes(draw, data):
    at = draw(st.integers(0, len(data)))
    until = min(len(data), at + draw(st.integers(0, 4)))
    return data[:at] + draw(st.binary(max_size=4)) + data[until:]


def damaged_message(draw, data):
    try:
        plain = msgpack.unpackb(data, strict_map_key=False, use_list=False)
        return msgpack.packb(changed(draw, plain))
    except (ValueError, TypeError, OverflowError):  # it was damaged too much already
        return damaged_bytes(draw, data)


def changed(draw, plain):
    """Returns a plain value with one thing somewhere in it replaced, dropped, doubled or swapped with another."""
    items = list(plain.items()) if isinstance(plain, dict) else plain
    if not isinstance(items, list | tuple) or not items:
        return draw(st.one_of(similar(plain), similar(plain), nasty))
    items = list(items)
    other, at = sorted(draw(st.integers(0, len(items) - 1)) for _ in "12")  # what matters comes last in a message
    how = draw(st.sampled_from(["inside"] * 7 + ["drop", "double", "swap", "replace"]))
    if how == "inside":
        items[at] = changed(draw, items[at])
    elif how == "drop":
        del items[at]
    elif how == "double":
        items.insert(other, items[at])
    elif how == "swap":
        items[at], items[other] = items[other], items[at]
    else:
        items[at] = draw(nasty)
    return dict(items) if isinstance(plain, dict) else tuple(items)


def similar(plain):
    """Something of the same type that might just pass."""
    if isinstance(plain, int):
        nearby = [plain + 1, plain - 1, plain + 2, -plain, 0, 1, 2, 3, plain << 20, plain << 32, 2**62, 2**63 - 1]
        return st.sampled_from([each for each in nearby if each < 2**64])
    if isinstance(plain, str):
        return st.sampled_from(["a", "b", "c", "z", "x", "y", "add", "remove", "clear", "insert", "ORSet", "Text", ""])
    return nasty


@st.composite
def honest(draw, subject):
    """Three replicas after a few honest commands, some of them delivered."""
    cluster = Cluster(subject.crdt_type, refusals=subject.refusals)
    steps = Steps(cluster, subject.commands, draw)
    for _ in range(draw(st.integers(1, 8))):
        steps.issue()
        draw(st.sampled_from([steps.catch_up, steps.merge, steps.stabilize]))()
    return cluster


def expect_usable(replica):
    """Whatever was accepted works: it can be read, written, copied, stabilised and joined."""
    kept = type(replica).from_bytes(replica.to_bytes(), replica.replica_id)
    assert kept == replica
    assert rendered(kept.value) == rendered(replica.value) == rendered(replica.copy("z").value)
    assert repr(replica)
    kept.stabilize(kept.version)
    assert rendered(kept.value) == rendered(replica.value)
    replica.merge(kept)
    assert rendered(kept.value) == rendered(replica.value)


def check_damaged_operation(subject, data):
    cluster = data.draw(honest(subject))
    if not cluster.issued:
        return
    sent = data.draw(st.sampled_from(cluster.issued)).operation.to_bytes()
    try:
        operation = Operation.from_bytes(data.draw(damaged(sent)))
    except MalformedOperationError:
        return
    assert Operation.from_bytes(operation.to_bytes()) == operation
    replica = data.draw(st.sampled_from(cluster.members)).replica
    before = replica.copy()
    try:
        assert replica.apply(operation) in (True, False)
    except (MalformedOperationError, CausalityError):
        assert replica == before
        assert rendered(replica.value) == rendered(before.value)
    expect_usable(replica)


def check_damaged_state(subject, data):
    cluster = data.draw(honest(subject))
    honest_replica = data.draw(st.sampled_from(cluster.members)).replica
    try:
        replica = subject.crdt_type.from_bytes(data.draw(damaged(honest_replica.to_bytes())), "z")
    except MalformedOperationError:
        return
    expect_usable(replica)
    for one, other in ((replica.copy(), honest_replica.copy()), (honest_replica.copy(), replica.copy())):
        before = one.copy()
        try:
            one.merge(other)
        except CausalityError:
            assert one == before
        assert isinstance(rendered(one.value), str)


@subjects
@patiently
@given(data=st.data())
def test_damaged_operations_are_refused_and_change_nothing(subject, data):
    check_damaged_operation(subject, data)


@subjects
@patiently
@given(data=st.data())
def test_damaged_states_are_refused_or_work(subject, data):
    check_damaged_state(subject, data)


@subjects
@pytest.mark.soak
@for_long
@given(data=st.data())
def test_thousands_of_damaged_operations_and_states_are_refused_or_work(subject, data):
    check_damaged_operation(subject, data)
    check_damaged_state(subject, data)


@subjects
@patiently
@given(data=st.binary(max_size=60))
def test_random_bytes_are_refused(subject, data):
    for decode in (Operation.from_bytes, lambda each: subject.crdt_type.from_bytes(each, "z")):
        with pytest.raises(MalformedOperationError):
            decode(data)


def test_an_insertion_that_denies_having_seen_what_it_hangs_on_does_not_spoil_the_state():
    a, b, c = Text("a"), Text("b"), Text("c")
    for operation in [b.insert(0, "z"), b.insert(0, "y")]:
        a.apply(operation)
        c.apply(operation)
    c.apply(a.insert(0, "1"))
    real = a.insert(0, "2")
    assert c.apply(Operation("a", 2, VersionVector(), "Text", "insert", real.argument))
    expect_usable(c)


# What a header may claim that its bytes do not keep, and what is dear to build or to walk.
BOMBS = {
    "an array of four billion items": b"\xdd\xff\xff\xff\xff",
    "a map of four billion items": b"\xdf\xff\xff\xff\xff",
    "a string of four gigabytes": b"\xdb\xff\xff\xff\xff",
    "bytes of four gigabytes": b"\xc6\xff\xff\xff\xff",
    "an extension of four gigabytes": b"\xc9\xff\xff\xff\xff\x05",
    "arrays in arrays": b"\x91" * 10_000,
    "maps in maps": b"\x81\x01" * 5_000,
    "maps as keys of maps": b"\x81" * 10_000,
    "long arrays in long arrays": b"\xdd\x7f\xff\xff\xff" * 2_000,
    "nothing": b"",
    "nils": b"\xc0" * 10_000,
    "an array of nils": b"\xdd\x00\x00\x27\x10" + b"\xc0" * 10_000,
    "an array of empty maps": b"\xdd\x00\x00\x27\x10" + b"\x80" * 10_000,
    "a map of one key, many times": b"\xdf\x00\x00\x13\x88" + b"\x01\xc0" * 5_000,
}
BYTES_A_BYTE = 100  # a list item takes 8 bytes, an empty dictionary 64, each from one byte
BYTES_AT_LEAST = 200_000  # the frames of a traceback, as deep as plain values may be nested
SECONDS_AT_MOST = 2


def peak_memory(decode, data):
    tracemalloc.start()
    try:
        decode(data)
    except (MalformedOperationError, CausalityError):
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def expect_cheap(decode, data):
    started = monotonic()
    assert peak_memory(decode, data) <= BYTES_AT_LEAST + BYTES_A_BYTE * len(data)
    assert monotonic() - started < SECONDS_AT_MOST


@subjects
@sparingly
@given(data=st.data())
def test_damage_costs_no_more_than_a_small_multiple_of_its_length(subject, data):
    cluster = data.draw(honest(subject))
    replica = data.draw(st.sampled_from(cluster.members)).replica
    expect_cheap(lambda state: subject.crdt_type.from_bytes(state, "z").value, data.draw(damaged(replica.to_bytes())))
    for issued in cluster.issued[:3]:
        operation = data.draw(damaged(issued.operation.to_bytes()))
        expect_cheap(lambda each: replica.copy("z").apply(Operation.from_bytes(each)), operation)


@subjects
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_cost_no_more_than_a_small_multiple_of_their_length(subject, bomb):
    replica = subject.crdt_type("a")
    operation, state = replica.clear().to_bytes(), replica.to_bytes()

    def apply(data):
        subject.crdt_type("b").apply(Operation.from_bytes(data))

    def load(data):
        subject.crdt_type.from_bytes(data, "b")

    for data in (bomb, operation[:-1] + bomb, state[:-1] + bomb):
        expect_cheap(apply, data)
        expect_cheap(load, data)
