import msgspec
import pytest

from crdts import CausalContext, Dot, MalformedOperationError, Operation, ORSet, VersionVector

encode = msgspec.msgpack.encode
VALID = [1, "a", 2, {"b": 3}, "ORSet", "add", "milk"]


def prepared():
    a, b = ORSet("a"), ORSet("b")
    for element in ("x", "y", "z"):
        a.apply(b.add(element))
    a.add("bread")
    return a.add("milk")


def with_item(place, item):
    return encode([*VALID[:place], item, *VALID[place + 1 :]])


def test_it_knows_its_dot_and_its_version():
    operation = prepared()

    assert operation.dot == Dot("a", 2)
    assert operation.version == VersionVector({"a": 2, "b": 3})
    assert operation.context == CausalContext(VersionVector({"a": 2, "b": 3}))
    assert operation.gap is None


def test_it_survives_the_way_through_bytes():
    operation = prepared()

    assert operation.to_bytes() == encode(VALID)
    assert Operation.from_bytes(operation.to_bytes()) == operation


def test_it_survives_being_stored_apart_from_dot_and_version():
    operation = prepared()

    assert Operation.from_payload(operation.payload, operation.dot, operation.version) == operation
    assert len(operation.payload) < len(operation.to_bytes())


def test_dot_and_version_that_do_not_belong_together_are_refused():
    operation = prepared()

    with pytest.raises(MalformedOperationError, match="a version that ends with"):
        Operation.from_payload(operation.payload, Dot("a", 1), operation.version)
    with pytest.raises(MalformedOperationError):
        Operation.from_payload(operation.payload, Dot("z", 0), operation.version)


def test_equal_operations_are_equal_and_hash_alike():
    operation, same = prepared(), prepared()

    assert operation == same
    assert (operation != same) is False  # a Struct has a != of its own
    assert hash(operation) == hash(same)
    assert operation != ORSet("a").add("milk")
    assert operation != "milk"


def test_it_prints_who_did_what_after_what():
    assert repr(prepared()) == "<a:2 ORSet.add('milk') after {'b': 3}>"
    assert repr(ORSet("a").clear()) == "<a:1 ORSet.clear() after {}>"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 100_000,
        encode(VALID) + b"\x00",
        encode(VALID)[:-1],
        encode({"format": 1}),
        encode(VALID[:6]),
        encode([*VALID, [1, 1], 0]),
        with_item(0, 2),
        with_item(1, ""),
        with_item(1, "a" * 256),
        with_item(1, b"a"),
        with_item(2, 0),
        with_item(2, 2**63),
        with_item(2, True),
        with_item(2, 1.0),
        with_item(3, {"b": 0}),
        with_item(3, {"b": -1}),
        with_item(3, {"a": 1}),
        with_item(3, {1: 1}),
        with_item(3, []),
        with_item(4, ""),
        with_item(4, None),
        with_item(5, 3),
        with_item(6, msgspec.msgpack.Ext(5, b"x")),
        with_item(6, {"deep": [[msgspec.msgpack.Ext(5, b"x")]]}),
        encode([*VALID, [0, 1]]),
        encode([*VALID, [1, 2]]),
        encode([*VALID, [2, 1]]),
        encode([*VALID, "gap"]),
    ],
)
def test_malformed_bytes_are_refused(data):
    with pytest.raises(MalformedOperationError):
        Operation.from_bytes(data)


def test_an_argument_may_not_be_nested_too_deeply():
    argument = "x"
    for _ in range(200):
        argument = [argument]

    with pytest.raises(MalformedOperationError, match="deep"):
        Operation.from_bytes(with_item(6, argument))


def test_bytes_must_be_bytes():
    with pytest.raises(TypeError, match="must be bytes, not str"):
        Operation.from_bytes("milk")


def test_a_rebased_operation_has_not_seen_what_came_between():
    operation = prepared()  # the second of a
    rebased = operation.rebased(base=1, shift=3, argument="milk")

    assert rebased.dot == Dot("a", 5)
    assert rebased.gap == (2, 4)
    assert [rebased.saw("a", counter) for counter in range(1, 7)] == [True, False, False, False, True, False]
    assert rebased.saw("b", 3)
    assert not rebased.saw("b", 4)
    assert rebased.context == CausalContext(VersionVector({"a": 1, "b": 3}), [Dot("a", 5)])


def test_a_rebased_operation_keeps_its_gap_through_bytes():
    rebased = prepared().rebased(base=1, shift=3, argument="milk")

    assert Operation.from_bytes(rebased.to_bytes()) == rebased
    assert Operation.from_bytes(rebased.to_bytes()).gap == (2, 4)
    assert Operation.from_payload(rebased.payload, rebased.dot, rebased.version) == rebased
    assert rebased != prepared().rebased(base=0, shift=3, argument="milk")


def test_what_it_shall_have_seen_in_any_case_narrows_the_gap():
    operation = prepared()

    narrowed = operation.rebased(base=1, shift=3, argument="milk", seen=VersionVector({"a": 3, "c": 1}))
    closed = operation.rebased(base=1, shift=3, argument="milk", seen=VersionVector({"a": 4}))

    assert narrowed.gap == (4, 4)
    assert narrowed.version == {"a": 5, "b": 3, "c": 1}
    assert closed.gap is None
    assert closed.saw("a", 4)
