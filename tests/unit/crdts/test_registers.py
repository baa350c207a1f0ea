import msgspec
import pytest

from crdts import LWWRegister, MalformedOperationError, MVRegister, Operation

encode = msgspec.msgpack.encode


def test_a_register_is_empty_at_first():
    assert LWWRegister("a").value is None
    assert LWWRegister("a").timestamp is None
    assert MVRegister("a").value == frozenset()


def test_a_write_beats_those_that_it_has_seen_whatever_their_timestamps():
    a, b = LWWRegister("a"), LWWRegister("b")
    b.apply(a.assign("from the future", timestamp=10**15))
    a.apply(b.assign("now", timestamp=5))

    assert a.value == b.value == "now"
    assert a.timestamp == 5


def test_among_concurrent_writes_the_higher_timestamp_wins_then_the_replica_id():
    a, b, c = LWWRegister("a"), LWWRegister("b"), LWWRegister("c")
    writes = [a.assign("A", 2), b.assign("B", 1), c.assign("C", 2)]
    for register in (a, b, c):
        for write in writes:
            register.apply(write)

    assert a.value == b.value == c.value == "C"
    assert a == b == c


def test_a_loser_wins_once_what_beat_it_has_been_overwritten():
    a, b, c = LWWRegister("a"), LWWRegister("b"), LWWRegister("c")
    high, middle = a.assign("high", 10), b.assign("middle", 7)
    c.apply(high)
    low = c.assign("low", 5)
    a.apply(middle)
    a.apply(low)
    for operation in (high, low):
        b.apply(operation)

    assert a.value == b.value == "middle"


def test_the_default_timestamp_is_one_above_the_highest_seen():
    a = LWWRegister("a")
    a.assign("x")
    assert a.timestamp == 1
    a.assign("y", 41.5)
    a.assign("z")
    assert a.timestamp == 42
    a.assign("last", 2**63 - 1)
    a.assign("after the last")
    assert a.timestamp == 2**63 - 1
    assert a.value == "after the last"


def test_a_stable_winner_keeps_its_timestamp():
    a, b = LWWRegister("a"), LWWRegister("b")
    b.apply(a.assign("x", 10))
    a.stabilize(a.version)

    assert a.timestamp == 10
    assert a == b


@pytest.mark.parametrize("value", [True, 1.0, None, "x", b"x", [1, [2]], {"k": [None, {"deep": 1.5}]}])
def test_values_keep_their_type_on_every_replica(value):
    a, b = LWWRegister("a"), LWWRegister("b")
    b.apply(Operation.from_bytes(a.assign(value).to_bytes()))
    c = LWWRegister.from_bytes(a.to_bytes(), "c")

    assert repr(a.value) == repr(b.value) == repr(c.value) == repr(value)


def test_a_value_cannot_be_changed_from_outside():
    a = LWWRegister("a")
    original = [1]
    a.assign(original)
    original.append(2)
    a.value.append(3)

    assert a.value == [1]


@pytest.mark.parametrize(("timestamp", "error"), [("1", TypeError), (True, TypeError), (float("nan"), ValueError)])
def test_a_timestamp_is_a_finite_number(timestamp, error):
    a = LWWRegister("a")
    with pytest.raises(error, match="a timestamp is"):
        a.assign("x", timestamp)
    for number in (2**63, -(2**63), float("inf"), 1e300):
        with pytest.raises(ValueError, match="fits 63 bits"):
            a.assign("x", number)
    assert a.version == {}


def test_a_multi_value_register_shows_concurrent_writes_until_one_replaces_them():
    a, b = MVRegister("a"), MVRegister("b")
    one, other = a.assign("x"), b.assign("y")
    a.apply(other)
    b.apply(one)
    assert a.value == b.value == {"x", "y"}
    assert a == b
    assert MVRegister.from_bytes(a.to_bytes(), "c") == b

    b.apply(a.assign("z"))
    assert a.value == b.value == {"z"}


def test_a_multi_value_register_replaces_exactly_what_its_writer_has_seen_even_when_stable():
    a, b, c = MVRegister("a"), MVRegister("b"), MVRegister("c")
    first = a.assign("x")
    for register in (b, c):
        register.apply(first)
    for register in (a, b, c):
        register.stabilize(register.version)
    left, right = b.assign("y"), c.assign("z")
    a.apply(left)
    a.apply(right)

    assert a.value == {"y", "z"}


def test_values_that_python_takes_for_equal_print_alike_everywhere():
    a, b = MVRegister("a"), MVRegister("b")
    one, other = a.assign(1), b.assign(True)
    a.apply(other)
    b.apply(one)

    assert repr(a.value) == repr(b.value)
    b.apply(a.assign(True))
    assert repr(b.value) == "frozenset({True})"


def test_values_of_a_multi_value_register_are_hashable():
    with pytest.raises(TypeError, match="value of a set"):
        MVRegister("a").assign([1])


@pytest.mark.parametrize("register_type", [LWWRegister, MVRegister])
def test_clear_undoes_what_has_been_seen_and_nothing_concurrent(register_type):
    a, b = register_type("a"), register_type("b")
    b.apply(a.assign("x"))
    write, clear = a.assign("y"), b.clear()
    a.apply(clear)
    b.merge(a)

    assert a == b
    assert a.value in ("y", {"y"})
    assert b.apply(write) is False
    a.clear()
    assert a == register_type.from_bytes(a.to_bytes(), "c")
    assert not a.value


@pytest.mark.parametrize("register_type", [LWWRegister, MVRegister])
def test_what_has_been_replaced_here_does_not_come_back(register_type):
    a, b = register_type("a"), register_type("b")
    b.apply(a.assign("x"))
    a.assign("y")
    c = register_type("c")
    c.assign("z")
    c.merge(b)
    a.merge(c)

    assert a.value in ("y", {"y", "z"})  # timestamp 2 against 1
    c.merge(a)
    assert a == c


@pytest.mark.parametrize("register_type", [LWWRegister, MVRegister])
def test_joins_drop_what_the_other_side_has_replaced(register_type):
    a, b = register_type("a"), register_type("b")
    b.merge(a)
    b.apply(a.assign("x"))
    b.assign("y")
    a.assign("z")
    a.merge(b)
    b.merge(a)
    assert a == b
    b.assign("last")
    a.clear()
    a.merge(b)
    assert a.value in ("last", {"last"})


@pytest.mark.parametrize(
    "argument", [None, "x", [1], [1, 2, 3], ["1", "x"], [True, "x"], [float("nan"), "x"], [2**63, "x"], [1, {1: 1}]]
)
def test_malformed_operations_change_nothing(argument):
    register = LWWRegister("b")
    with pytest.raises(MalformedOperationError):
        register.apply(Operation.from_bytes(encode([1, "a", 1, {}, "LWWRegister", "assign", argument])))
    assert register == LWWRegister("b")


@pytest.mark.parametrize("state", [None, [1], {"x": [1, "x"]}, {2: [1, "x"]}, {1: [1]}, {1: "x"}])
def test_malformed_states_are_refused(state):
    with pytest.raises(MalformedOperationError):
        LWWRegister.from_bytes(encode([1, "LWWRegister", {"a": 1}, {}, state]), "b")


def test_two_tasks_on_copies_lose_no_write_that_they_have_not_seen():
    register = MVRegister("a")
    register.assign("x")
    copy, shipped = register.copy(), []
    copy.listen(shipped.append)
    copy.assign("y")
    copy.assign("z")
    register.assign("w")

    register.adopt(shipped)

    assert register.value == {"w", "z"}
