import msgspec
import pytest

import crdts
from crdts import (
    RGA,
    BoundedCounter,
    CausalityError,
    CrdtError,
    DWFlag,
    EWFlag,
    GCounter,
    GSet,
    LWWMap,
    LWWRegister,
    MalformedOperationError,
    MVRegister,
    Operation,
    OperationTypeError,
    ORMap,
    ORSet,
    PNCounter,
    RWSet,
    Text,
    TwoPhaseSet,
    VersionVector,
)
from crdts.dots import ReplicaTable
from crdts.wire import REPLICAS_MAX

encode = msgspec.msgpack.encode

CHANGES = {
    BoundedCounter: lambda counter: counter.increment(3),
    DWFlag: lambda flag: flag.enable(),
    EWFlag: lambda flag: flag.enable(),
    GCounter: lambda counter: counter.increment(3),
    GSet: lambda elements: elements.add("x"),
    LWWMap: lambda target: target.assign("k", "x"),
    LWWRegister: lambda register: register.assign("x"),
    MVRegister: lambda register: register.assign("x"),
    ORMap: lambda target: target.update("k", ORSet, lambda elements: elements.add("x")),
    ORSet: lambda elements: elements.add("x"),
    RGA: lambda elements: elements.append("x"),
    Text: lambda text: text.insert(0, "x"),
    PNCounter: lambda counter: counter.decrement(3),
    RWSet: lambda elements: elements.add("x"),
    TwoPhaseSet: lambda elements: elements.add("x"),
}
every_type = pytest.mark.parametrize("crdt_type", CHANGES, ids=lambda crdt_type: crdt_type.type_name)


def test_the_public_names_are_those_in_all():
    public = {name for name in vars(crdts) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(crdts, name)) is type(crdts)}

    assert public - modules == set(crdts.__all__)
    assert all(getattr(crdts, name).__doc__ for name in crdts.__all__)


@every_type
def test_an_operation_is_new_once(crdt_type):
    a, b = crdt_type("a"), crdt_type("b")
    operation = CHANGES[crdt_type](a)

    assert a.apply(operation) is False
    assert b.apply(operation) is True
    assert b.apply(operation) is False
    assert a == b
    assert a.value == b.value != crdt_type("c").value
    assert b.version == {"a": 1}
    assert b.replica_id == "b"


@every_type
def test_out_of_causal_order_is_an_error_that_says_what_is_missing(crdt_type):
    a, b, c = (crdt_type(name) for name in "abc")
    CHANGES[crdt_type](a)
    second = CHANGES[crdt_type](a)
    with pytest.raises(CausalityError) as caught:
        b.apply(second)
    assert caught.value.missing == {"a": 1}

    b.merge(a)
    third = CHANGES[crdt_type](b)
    with pytest.raises(CausalityError, match="has not been seen here") as caught:
        c.apply(third)
    assert caught.value.missing == {"a": 2}
    assert c == crdt_type("c")


@every_type
def test_an_operation_of_another_type_is_refused(crdt_type):
    other_type = GSet if crdt_type is not GSet else ORSet
    target = crdt_type("b")
    with pytest.raises(OperationTypeError, match="cannot be applied to a") as caught:
        target.apply(CHANGES[other_type](other_type("a")))

    assert isinstance(caught.value, MalformedOperationError)
    assert (caught.value.expected, caught.value.actual) == (crdt_type.type_name, other_type.type_name)
    assert target.version == {}


@every_type
def test_a_state_of_another_type_is_refused(crdt_type):
    other_type = GSet if crdt_type is not GSet else ORSet
    with pytest.raises(TypeError, match="merges with its like"):
        crdt_type("a").merge(other_type("b"))
    with pytest.raises(MalformedOperationError, match="not of a"):
        crdt_type.from_bytes(other_type("b").to_bytes(), "a")
    assert crdt_type("a") != other_type("a")


@every_type
def test_merging_joins_what_both_have_seen(crdt_type):
    a, b = crdt_type("a"), crdt_type("b")
    CHANGES[crdt_type](a)
    CHANGES[crdt_type](b)
    joined = a.copy("c")
    joined.merge(b)
    a.merge(b)
    b.merge(a)
    a.merge(a)

    assert a == b == joined
    assert a.version == {"a": 1, "b": 1}


@every_type
def test_an_old_state_brings_nothing(crdt_type):
    a = crdt_type("a")
    CHANGES[crdt_type](a)
    old = a.copy()
    a.clear()
    a.stabilize(a.version)
    before = a.to_bytes()
    a.merge(old)

    assert a.to_bytes() == before
    old.merge(a)
    assert old == a


@every_type
def test_a_copy_is_independent(crdt_type):
    a = crdt_type("a")
    CHANGES[crdt_type](a)
    copy = a.copy("b")
    assert copy == a
    assert copy.replica_id == "b"

    CHANGES[crdt_type](copy)
    assert a.version == {"a": 1}
    assert copy.version == {"a": 1, "b": 1}
    assert copy != a


@every_type
def test_bytes_hold_the_state_without_the_replica(crdt_type):
    a = crdt_type("a")
    CHANGES[crdt_type](a)
    b = crdt_type.from_bytes(a.to_bytes(), "b")

    assert b == a
    assert b.replica_id == "b"
    assert crdt_type.from_bytes(crdt_type("a").to_bytes(), "a") == crdt_type("z")
    CHANGES[crdt_type](b)
    assert b.version == {"a": 1, "b": 1}


@every_type
def test_clear_gives_the_empty_value(crdt_type):
    a, b = crdt_type("a"), crdt_type("b")
    b.apply(CHANGES[crdt_type](a))
    b.apply(a.clear())

    assert a.value == b.value == crdt_type("c").value
    assert a == b


@every_type
def test_a_clear_with_an_unknown_argument_is_refused(crdt_type):
    target = crdt_type("b")
    with pytest.raises(MalformedOperationError):
        target.apply(Operation.from_bytes(encode([1, "a", 1, {}, crdt_type.type_name, "clear", "everything"])))
    assert target == crdt_type("b")


@every_type
def test_a_stable_state_and_an_unstable_one_are_equal_and_join(crdt_type):
    a, b = crdt_type("a"), crdt_type("b")
    b.apply(CHANGES[crdt_type](a))
    value = a.value
    a.stabilize(a.version)
    assert a == b
    assert a.value == value
    again = crdt_type.from_bytes(a.to_bytes(), "c")
    assert again == b
    assert again.stable_version == a.stable_version

    CHANGES[crdt_type](a)
    CHANGES[crdt_type](b)
    one, other = a.copy(), b.copy()
    one.merge(b)
    other.merge(a)
    assert one == other


@every_type
def test_what_has_not_been_seen_cannot_be_stable(crdt_type):
    a = crdt_type("a")
    CHANGES[crdt_type](a)
    with pytest.raises(CausalityError, match="not even been seen") as caught:
        a.stabilize(VersionVector({"a": 1, "b": 2}))
    assert caught.value.missing == {"b": 2}


@every_type
def test_it_prints_its_type_replica_value_and_version(crdt_type):
    a = crdt_type("a")
    CHANGES[crdt_type](a)

    assert repr(a).startswith(f"<{crdt_type.type_name} of a: ")
    assert repr(a).endswith(" at {'a': 1}>")


@every_type
def test_it_is_mutable_and_so_not_hashable(crdt_type):
    with pytest.raises(TypeError, match="unhashable"):
        hash(crdt_type("a"))
    assert crdt_type("a") != "a"


@pytest.mark.parametrize("replica_id", [None, 1, b"a"])
def test_a_replica_id_is_text(replica_id):
    with pytest.raises(TypeError, match="a replica id is a str"):
        ORSet(replica_id)


@pytest.mark.parametrize(("replica_id", "reason"), [("", "1 to 255"), ("a" * 256, "1 to 255"), ("\ud800", "surrogate")])
def test_a_replica_id_has_limits(replica_id, reason):
    with pytest.raises(ValueError, match=reason):
        ORSet(replica_id)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xdd\xff\xff\xff\xff",
        encode([2, "GSet", {}, False, {}]),
        encode([1, "GSet", {"a": 0}, False, {}]),
        encode([1, "GSet", {"": 1}, False, {}]),
        encode([1, "GSet", {}, False]),
        encode([1, "GSet", {}, False, {}, 1]),
        encode([1, "GSet", {}, {"a": 1}, {}]),
        encode([1, "GSet", {"a": 1}, {"a": 2}, {}]),
        encode([1, "GSet", {"a": 1}, None, {}]),
        encode([1, "GSet", {}, False, {}]) + b"\x00",
    ],
)
def test_malformed_states_are_refused(data):
    with pytest.raises(MalformedOperationError):
        GSet.from_bytes(data, "b")


def test_a_stable_version_that_is_a_part_of_the_version_survives_bytes():
    a, b = ORSet("a"), ORSet("b")
    a.add("w")
    a.add("x")
    b.merge(a)
    b.add("y")
    b.stabilize(a.version)

    assert ORSet.from_bytes(b.to_bytes(), "c").stable_version == {"a": 2}
    assert b.stable_version == {"a": 2}


def test_an_operation_that_has_not_seen_all_that_is_stable_is_refused():
    a, b = ORSet("a"), ORSet("b")
    b.apply(a.add("x"))
    a.add("y")
    a.stabilize(a.version)

    with pytest.raises(CausalityError, match="declared stable") as caught:
        a.apply(b.remove("x"))
    assert caught.value.missing == {"a": 2}
    assert a.value == {"x", "y"}


def test_states_that_are_in_the_way_of_what_was_declared_stable_do_not_join():
    a, b = ORSet("a"), ORSet("b")
    b.apply(a.add("x"))
    a.add("y")
    a.stabilize(a.version)
    b.add("z")

    with pytest.raises(CausalityError, match="stable"):
        b.merge(a)
    with pytest.raises(CausalityError, match="stable"):
        a.merge(b)
    assert (a.value, b.value) == ({"x", "y"}, {"x", "z"})


def test_a_replica_that_has_seen_nothing_may_still_join_what_is_stable():
    a, b = ORSet("a"), ORSet("b")
    a.add("x")
    a.stabilize(a.version)
    late = b.add("y")
    a.apply(late)
    b.merge(a)

    assert a.value == b.value == {"x", "y"}
    assert a == b


@every_type
def test_operations_that_have_seen_what_is_stable_are_welcome(crdt_type):
    a, b = crdt_type("a"), crdt_type("b")
    CHANGES[crdt_type](a)
    b.merge(a)
    a.stabilize(a.version)
    a.apply(CHANGES[crdt_type](b))
    a.apply(b.clear())

    assert a == b


@every_type
def test_an_unstable_state_joins_a_stable_one_when_both_have_news(crdt_type):
    a, b = crdt_type("a"), crdt_type("b")
    CHANGES[crdt_type](a)
    CHANGES[crdt_type](a)
    b.merge(a)
    a.stabilize(a.version)
    CHANGES[crdt_type](a)
    CHANGES[crdt_type](b)
    b.merge(a)
    a.merge(b)

    assert a == b
    assert a.value == b.value


def test_what_the_other_side_has_removed_goes_and_what_it_has_not_seen_stays():
    a, b = ORSet("a"), ORSet("b")
    for element in ("x", "y", "z"):
        a.add(element)
    b.merge(a)
    b.remove("x")
    a.remove("y")
    a.add("new")
    b.merge(a)
    a.merge(b)

    assert a.value == b.value == {"z", "new"}
    assert a == b


def test_a_listener_hears_of_what_is_prepared_here_and_nothing_else():
    a, b, heard = ORSet("a"), ORSet("b"), []
    a.listen(heard.append)
    operations = [a.add("x"), a.remove("x"), a.clear()]
    a.apply(b.add("y"))
    a.listen(None)
    a.add("z")

    assert heard == operations


def test_own_operations_that_an_argument_names_are_renumbered_when_adopted():
    text, remote = Text("a"), Text("b")
    remote.apply(text.insert(0, "ad"))
    copy, shipped = text.copy(), []
    copy.listen(shipped.append)
    copy.insert(1, "b")
    copy.insert(2, "c")
    remote.apply(text.insert(2, "!"))

    for operation in text.adopt(shipped):
        remote.apply(Operation.from_bytes(operation.to_bytes()))

    assert text.value == remote.value == "abcd!"


def test_operations_of_others_are_not_adopted():
    a, b = ORSet("a"), ORSet("b")
    with pytest.raises(CausalityError, match="not prepared on a copy"):
        a.adopt([b.add("x")])
    a.add("x")
    with pytest.raises(CausalityError, match="not prepared on a copy"):
        a.adopt([b.add("x")])
    ahead = a.copy()
    ahead.add("y")
    with pytest.raises(CausalityError, match="not prepared on a copy"):
        a.adopt([ahead.add("z")])
    assert a.value == {"x"}


def test_operations_that_have_seen_more_are_not_adopted():
    a, b = ORSet("a"), ORSet("b")
    copy, shipped = a.copy(), []
    copy.listen(shipped.append)
    copy.apply(b.add("y"))
    copy.add("x")
    a.add("z")
    with pytest.raises(CausalityError):
        a.adopt(shipped)
    assert a.value == {"z"}


def test_adopted_operations_count_what_is_stable_as_seen():
    cart = ORSet("a")
    copy, shipped = cart.copy(), []
    copy.listen(shipped.append)
    copy.clear()
    cart.add("settled")
    cart.add("settled, too")
    cart.stabilize(cart.version)
    cart.add("fresh")

    (adopted,) = cart.adopt(shipped)

    assert cart.value == {"fresh"}
    assert adopted.gap == (3, 3)


def test_adopted_operations_can_be_told_what_they_have_seen():
    cart = ORSet("a")
    copy, shipped = cart.copy(), []
    copy.listen(shipped.append)
    copy.clear()
    cart.add("promised")
    promised = cart.version
    cart.add("fresh")

    cart.adopt(shipped, seen=promised)

    assert cart.value == {"fresh"}


def test_one_object_cannot_hold_dots_of_unlimited_replicas():
    table = ReplicaTable("a")
    table.replica_ids = range(REPLICAS_MAX)
    with pytest.raises(CrdtError, match="more than"):
        table.index("one too many")
