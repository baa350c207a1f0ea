"""RGA, and what sequences refuse to read."""

import pytest
from hypothesis import strategies as st

from crdts import RGA, MalformedOperationError, Operation, ORMap, Text, VersionVector
from crdts.testing import check_convergence
from crdts.wire import encode
from tests.unit.crdts.fugue_tree import elements


def listed(*items):
    sequence = RGA("a")
    for item in items:
        sequence.append(item)
    return sequence


# Editing


def test_elements_are_inserted_appended_and_deleted_by_index():
    sequence = RGA[str]("a")
    sequence.append("b")
    sequence.insert(0, "a")
    sequence.append("d")
    sequence.insert(2, "c")
    sequence.delete(0)
    assert sequence.value == list(sequence) == ["b", "c", "d"]
    assert len(sequence) == 3
    assert [sequence[index] for index in range(3)] == ["b", "c", "d"]
    assert repr(sequence) == "<RGA of a: ['b', 'c', 'd'] at {'a': 5}>"


def test_equal_elements_are_each_themselves():
    sequence = listed("x", "x", "x")
    sequence.delete(1)
    assert sequence.value == ["x", "x"]


def test_elements_come_back_in_their_one_form():
    sequence = listed(1, True, 2.0, "x", None, b"y", (1, (2.0, "z")))
    read = RGA.from_bytes(sequence.to_bytes(), "b")
    assert repr(read.value) == repr(sequence.value) == repr([1, 1, 2, "x", None, b"y", (1, (2, "z"))])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda sequence: sequence.insert(3, "x"), IndexError),
        (lambda sequence: sequence.insert(-1, "x"), IndexError),
        (lambda sequence: sequence.insert(None, "x"), TypeError),
        (lambda sequence: sequence.insert(0, ["a list"]), TypeError),
        (lambda sequence: sequence.append(float("nan")), ValueError),
        (lambda sequence: sequence.append("\ud800"), ValueError),
        (lambda sequence: sequence.delete(2), IndexError),
        (lambda sequence: sequence.delete(-1), IndexError),
        (lambda sequence: sequence[2], IndexError),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(call, error):
    sequence = listed("a", "b")
    before = sequence.to_bytes()
    with pytest.raises(error):
        call(sequence)
    assert sequence.to_bytes() == before


# Concurrency


def test_lists_appended_to_concurrently_do_not_interleave():
    one, other = RGA("a"), RGA("b")
    for number in range(5):
        one.append(f"a{number}")
        other.append(f"b{number}")
    one.merge(other)
    assert one.value in ([*(f"a{n}" for n in range(5)), *(f"b{n}" for n in range(5))],
                         [*(f"b{n}" for n in range(5)), *(f"a{n}" for n in range(5))])  # fmt: skip


def test_an_insertion_steps_over_the_subtrees_of_newer_siblings_on_either_side():
    replicas = {name: RGA(name) for name in "abc"}
    base = replicas["a"].append("|")
    for name in "bc":
        replicas[name].apply(base)
    operations = {
        name: [replica.insert(0, f"{name}1"), replica.insert(1, f"{name}2"), replica.insert(0, f"{name}0"),
               replica.insert(4, f"{name}3"), replica.insert(4, f"{name}4")]
        for name, replica in replicas.items()
    }  # fmt: skip
    for reader in "abc":
        for name in "abc" if reader != "b" else "cba":
            for operation in operations[name]:
                replicas[reader].apply(operation)
    assert replicas["a"].value == replicas["b"].value == replicas["c"].value
    left, right = " ".join(replicas["a"].value).split(" | ")
    assert sorted(left.split(" ")) == sorted(f"{name}{number}" for name in "abc" for number in (0, 1, 2))
    assert all(f"{name}0 {name}1 {name}2" in left for name in "abc")
    assert all(f"{name}4 {name}3" in right for name in "abc")


def list_commands(sequence):
    inserts = st.tuples(st.integers(0, len(sequence)), st.integers(0, 9)).map(lambda args: ("insert", args))
    appends = st.integers(0, 9).map(lambda item: ("append", (item,)))
    deletes = st.integers(0, len(sequence)).map(lambda index: ("delete", (index,)))
    return st.one_of(inserts, inserts, appends, deletes, st.just(("clear", ())))


def test_the_order_is_a_pure_function_of_the_operations_seen():
    check_convergence(RGA, list_commands, specification=elements, max_examples=30, max_steps=50)


# Bytes

OFFSETS, DELETED, UNSETTLED, RIGHT, ON_START = 1, 2, 4, 8, 16
ROOT = UNSETTLED | RIGHT | ON_START


def read(*runs, version=None, type=Text):  # noqa: A002
    counters = {"a": 9, "b": 9} if version is None else version
    return type.from_bytes(encode((1, type.__name__, counters, {}, runs)), "c")


def dot(replica_id, counter):
    return counter * 2 + "ab".index(replica_id)


def test_a_state_says_what_is_in_it():
    text = read(
        (ROOT, dot("a", 3), "abc", 1),
        (OFFSETS | UNSETTLED | RIGHT, dot("b", 1), "xyz", 0, 4, dot("a", 3), 0),
        (DELETED, dot("a", 8), 2, dot("a", 9), -1),
        (OFFSETS | DELETED, dot("b", 2), 3, 5, dot("a", 1), 0, dot("b", 9), 1),
        (0, dot("b", 5), "!"),
    )
    assert text.value == "abcxyz!"
    assert Text.from_bytes(text.to_bytes(), "d") == text


@pytest.mark.parametrize(
    "runs",
    [
        ("run",),
        ((),),
        ((0, dot("a", 1)),),
        ((32, dot("a", 1), "x"),),
        ((-1, dot("a", 1), "x"),),
        ((0, dot("a", 1), ""),),
        ((0, dot("a", 1), b"x"),),
        ((0, dot("a", 10), "x"),),
        ((0, dot("a", 2), "xyz"),),
        ((0, 0, "x"),),
        ((0, dot("a", 1), "x", 7),),
        ((RIGHT, dot("a", 1), "x"),),
        ((ON_START, dot("a", 1), "x"),),
        ((OFFSETS, dot("a", 1), "x"),),
        ((OFFSETS, dot("a", 1), "x", -1),),
        ((OFFSETS, dot("a", 1), "xy", 2**32 - 2),),
        ((DELETED, dot("a", 1), 0, dot("a", 2), 0),),
        ((DELETED, dot("a", 1), 1),),
        ((DELETED, dot("a", 1), 1, dot("a", 2)),),
        ((DELETED, dot("a", 1), 1, dot("a", 2), 1),),
        ((DELETED, dot("a", 2), 2, dot("a", 2), 2),),
        ((DELETED, dot("a", 4), 4, dot("a", 2), -1),),
        ((DELETED, dot("a", 2), 2, dot("a", 2), 0, dot("a", 3), 0),),
        ((DELETED, dot("a", 1), 2**62, dot("a", 2), 0),),
        ((DELETED, dot("a", 1), 2**63, dot("a", 2), 0),),
        ((UNSETTLED | RIGHT | ON_START, dot("a", 1), "x"),),
        ((UNSETTLED | RIGHT | ON_START, dot("a", 1), "x", 0),),
        ((UNSETTLED | ON_START, dot("a", 1), "x", 1),),
        ((UNSETTLED | RIGHT, dot("a", 1), "x", 1),),
        ((UNSETTLED | RIGHT, dot("a", 1), "x", 1, dot("b", 1)),),
        ((UNSETTLED | RIGHT, dot("a", 1), "x", 1, dot("b", 10), 0),),
        ((0, dot("a", 3), "abc"), (0, dot("a", 3), "x")),
        ((0, dot("a", 3), "abc"), (0, dot("a", 2), "xy")),
        ((0, dot("a", 3), "abc"), (OFFSETS, dot("a", 2), "xy", 0)),
        ((OFFSETS, dot("a", 3), "abc", 0), (OFFSETS, dot("a", 3), "xy", 2)),
        ((ROOT, dot("a", 1), "x", 5), (UNSETTLED | RIGHT, dot("b", 1), "y", 5, dot("a", 1), 0),
         (UNSETTLED | RIGHT, dot("b", 2), "y", 4, dot("a", 1), 0)),
        ((UNSETTLED | RIGHT, dot("a", 1), "x", 5, dot("b", 1), 0),
         (UNSETTLED | RIGHT, dot("b", 1), "y", 5, dot("a", 1), 0)),
    ],
)  # fmt: skip
def test_a_malformed_state_is_refused(runs):
    with pytest.raises(MalformedOperationError):
        read(*runs)


@pytest.mark.parametrize("runs", [None, {}, "x", 7])
def test_a_state_that_is_no_sequence_is_refused(runs):
    with pytest.raises(MalformedOperationError):
        Text.from_bytes(encode((1, "Text", {"a": 1}, {}, runs)), "c")


@pytest.mark.parametrize("content", ["x", (), ({"a": 1},), (1.0,), (float("nan"),)])
def test_a_list_whose_elements_cannot_be_is_refused(content):
    with pytest.raises(MalformedOperationError):
        read((0, dot("a", 1), content), type=RGA)
    with pytest.raises(MalformedOperationError):
        RGA("b").apply(Operation("a", 1, VersionVector(), "RGA", "insert", (content, 1)))


def test_a_deleted_run_of_any_claimed_length_takes_no_room():
    version = {"a": 2**63 - 1, "b": 1}
    text = read((DELETED, dot("a", 2**61), 2**61, dot("a", 2**61 + 1), 0), version=version)
    assert text.value == ""
    assert len(text.to_bytes()) < 70
    text.merge(Text("d"))
    text.stabilize(VersionVector({"a": 2**60}))
    assert Text.from_bytes(text.to_bytes(), "c") == text
    text.clear()
    text.stabilize(text.version)
    assert text._runs.is_empty


def test_twice_the_same_element_in_one_operation_is_inserted_once():
    actions = (("insert", ("x", 1)), ("insert", ("yz", 1)), ("insert", ("y", 3, 1, 4)), ("insert", ("w", 5, 1, 4)))
    both = ORMap("b"), ORMap("c")
    for each in both:
        each.apply(Operation("a", 1, VersionVector(), "ORMap", "update", ("k", "Text", actions)))
    assert both[0]["k"] == both[1]["k"]
    assert both[0] == both[1]
    assert ORMap.from_bytes(both[0].to_bytes(), "d") == both[0]
