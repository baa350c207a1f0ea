import msgspec
import pytest

from crdts import LWWMap, MalformedOperationError, Operation

encode = msgspec.msgpack.encode


def test_each_key_is_a_register_of_its_own():
    a, b = LWWMap("a"), LWWMap("b")
    operations = [a.assign("x", 1), a.assign("y", [2]), a.assign("x", 3)]
    for operation in operations:
        b.apply(Operation.from_bytes(operation.to_bytes()))

    assert a.value == b.value == {"x": 3, "y": [2]}
    assert a == b
    assert LWWMap.from_bytes(a.to_bytes(), "c") == b


def test_a_removed_key_is_gone_and_can_come_back():
    a, b = LWWMap("a"), LWWMap("b")
    b.apply(a.assign("x", 1))
    a.apply(b.remove("x"))
    assert a.value == b.value == {}
    b.apply(a.assign("x", 2))
    assert b.value == {"x": 2}


@pytest.mark.parametrize(("timestamp", "left"), [(1, {}), (2, {}), (3, {"x": "new"}), (None, {})])
def test_a_removal_is_a_write_with_a_timestamp(timestamp, left):
    a, b = LWWMap("a"), LWWMap("b")
    b.apply(a.assign("x", "old"))
    write, removal = a.assign("x", "new", timestamp), b.remove("x")
    a.apply(removal)
    b.apply(write)

    assert a.value == b.value == left
    assert a == b


def test_a_stable_removal_is_forgotten():
    a, b = LWWMap("a"), LWWMap("b")
    a.assign("x", 1)
    a.assign("y", 1)
    a.remove("x")
    b.merge(a)
    before = len(a.to_bytes())

    a.stabilize(a.version)

    assert len(a.to_bytes()) < before
    assert a == b
    assert a.value == {"y": 1}
    b.assign("x", 2)
    a.merge(b)
    assert a == b


def test_a_removal_stays_while_what_it_beats_is_not_stable():
    a, b = LWWMap("a"), LWWMap("b")
    removal, write = a.remove("x", 5), b.assign("x", 1, 3)
    a.apply(write)
    a.stabilize(a.version.without("b"))
    b.apply(removal)
    a.apply(b.assign("x", 2, 1))

    assert a.value == b.value == {"x": 2}


def test_clear_undoes_what_has_been_seen_and_nothing_concurrent():
    a, b = LWWMap("a"), LWWMap("b")
    b.apply(a.assign("x", 1))
    b.apply(a.assign("y", 1))
    write, clear = a.assign("y", 2), b.clear()
    a.apply(clear)
    b.merge(a)

    assert a.value == b.value == {"y": 2}
    assert b.apply(write) is False
    assert len(a.to_bytes()) < 40


def test_joins_drop_keys_whose_writes_are_gone():
    a, b = LWWMap("a"), LWWMap("b")
    b.apply(a.assign("x", 1))
    b.clear()
    a.assign("y", 1)
    a.merge(b)
    b.merge(a)

    assert a == b
    assert a.value == {"y": 1}


def test_equal_numbers_are_one_key_and_keys_come_in_order():
    a = LWWMap("a")
    a.assign(1, "int")
    a.assign(True, "bool")
    a.assign("b", 1)
    a.assign("a", 1)

    assert repr(a.value) in ("{1: 'bool', 'a': 1, 'b': 1}", "{'a': 1, 'b': 1, 1: 'bool'}")


@pytest.mark.parametrize("key", [[1], float("nan")])
def test_what_cannot_be_a_key_changes_nothing(key):
    a = LWWMap("a")
    with pytest.raises((TypeError, ValueError)):
        a.assign(key, 1)
    with pytest.raises((TypeError, ValueError)):
        a.remove(key)
    with pytest.raises(TypeError):
        a.assign("x", object())
    assert a.version == {}


@pytest.mark.parametrize(
    ("action", "argument"),
    [
        ("assign", None),
        ("assign", ["x", 1]),
        ("assign", [{"x": 1}, 1, 1]),
        ("assign", ["x", "1", 1]),
        ("assign", ["x", 1, {1: 1}]),
        ("remove", "x"),
        ("remove", ["x", 1, 1]),
        ("remove", [True, 1]),
        ("remove", ["x", None]),
    ],
)
def test_malformed_operations_change_nothing(action, argument):
    target = LWWMap("b")
    with pytest.raises(MalformedOperationError):
        target.apply(Operation.from_bytes(encode([1, "a", 1, {}, "LWWMap", action, argument])))
    assert target == LWWMap("b")


@pytest.mark.parametrize(
    "state", [None, {"x": {}}, {True: {1: [1]}}, {"x": {1: []}}, {"x": {1: [1, 1, 1]}}, {"x": {9: [1]}}]
)
def test_malformed_states_are_refused(state):
    with pytest.raises(MalformedOperationError):
        LWWMap.from_bytes(encode([1, "LWWMap", {"a": 1}, {}, state]), "b")
