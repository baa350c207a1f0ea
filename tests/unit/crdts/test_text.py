"""Text: one operation a string, indexes that are those of a str, and bytes that are not believed."""

import tracemalloc
from random import Random
from time import perf_counter

import pytest

from crdts import MalformedOperationError, Operation, Text, VersionVector
from tests.unit.crdts.documents import runs, typed

# Editing


def test_strings_are_inserted_and_deleted_by_index():
    text = Text("a")
    text.insert(0, "hello world")
    text.insert(5, ",")
    text.delete(0)
    text.insert(0, "J")
    text.delete(6, n=6)
    assert text.value == str(text) == "Jello,"
    assert len(text) == 6
    assert repr(text) == "<Text of a: 'Jello,' at {'a': 5}>"


def test_an_index_counts_code_points():
    text = Text("a")
    text.insert(0, "a🙂é")
    text.insert(2, "日本")
    text.delete(1)
    assert text.value == "a日本é"


def test_a_string_is_one_operation_and_one_run():
    one, other = Text("a"), Text("b")
    operation = one.insert(0, "a whole sentence at once")
    assert other.apply(Operation.from_bytes(operation.to_bytes()))
    assert runs(one) == runs(other) == [("a whole sentence at once", 24)]
    assert one.version == {"a": 1}


def test_what_is_typed_character_by_character_is_one_run_here_and_elsewhere():
    one, operations = typed("a", "typed")
    other = Text("b")
    for operation in operations:
        assert other.apply(operation)
    assert runs(one) == runs(other) == [("typed", 5)]


def test_a_backspace_held_down_leaves_one_run_of_deleted_characters():
    text, _ = typed("a", "wonderful")
    for index in range(8, 2, -1):
        text.delete(index)
    assert runs(text) == [("won", 3), (None, 6)]


def test_a_long_text_is_kept_in_pieces_and_stays_one_operation():
    text, other = Text("a"), Text("b")
    content = "".join(chr(97 + number % 26) for number in range(5000))
    other.apply(text.insert(0, content))
    assert max(length for _, length in runs(text)) <= 512
    text.insert(2500, "!")
    other.merge(text)
    assert other.value == content[:2500] + "!" + content[2500:]
    assert Text.from_bytes(text.to_bytes(), "c") == text == other


@pytest.mark.parametrize(
    ("call", "error", "what"),
    [
        (lambda text: text.insert(4, "x"), IndexError, "cannot insert at 4: possible are 0 to 3"),
        (lambda text: text.insert(-1, "x"), IndexError, "cannot insert at -1: possible are 0 to 3"),
        (lambda text: text.insert("0", "x"), TypeError, "cannot insert at '0': an index is an int"),
        (lambda text: text.insert(True, "x"), TypeError, "cannot insert at True"),
        (lambda text: text.insert(0, ""), ValueError, "the text to insert is empty"),
        (lambda text: text.insert(0, b"x"), TypeError, "a str, not b'x'"),
        (lambda text: text.insert(0, "a\ud800"), ValueError, "lone surrogate"),
        (lambda text: text.delete(3), IndexError, "cannot delete at 3: possible are 0 to 2"),
        (lambda text: text.delete(-1), IndexError, "cannot delete at -1"),
        (lambda text: text.delete(1, 3), IndexError, "cannot delete 3 characters at 1: there are 2"),
        (lambda text: text.delete(0, 0), ValueError, "cannot delete 0 characters"),
        (lambda text: text.delete(0, 1.0), TypeError, "cannot delete 1.0 characters"),
        (lambda text: text.delete(0, True), TypeError, "cannot delete True characters"),
        (lambda text: Text("e").delete(0), IndexError, "cannot delete at 0: there is nothing here"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(call, error, what):
    text = Text("a")
    text.insert(0, "abc")
    before = text.to_bytes()
    with pytest.raises(error, match=what):
        call(text)
    assert text.to_bytes() == before
    assert text.version == {"a": 1}


def test_local_edits_do_what_they_do_to_a_str():
    random = Random(11)
    for _ in range(20):
        text, model, at = Text("a"), "", 0
        for step in range(300):
            at = random.randint(0, len(model)) if step % 3 else min(len(model), at + 1)
            if model and random.random() < 0.4:
                at = min(at, len(model) - 1)
                count = random.randint(1, min(4, len(model) - at))
                text.delete(at, count)
                model = model[:at] + model[at + count :]
            else:
                new = random.choice(["x", "y", "zz", "other"])
                text.insert(at, new)
                model = model[:at] + new + model[at:]
            if random.random() < 0.02:
                text.stabilize(text.version)
            if random.random() < 0.02:
                text = Text.from_bytes(text.to_bytes(), "a")
            assert len(text) == len(model)
        assert text.value == model


# Bytes


@pytest.mark.parametrize(
    "argument",
    [
        None, (), ("x",), ("", 1), (b"x", 1), ("x", -1), ("x", 0), ("x", 1.0), ("x", 2**34 + 1), ("x", 1, 0, 0, ""),
        ("x", 1, 2**63), ("x", 1, 1, 2**32), ("x", 1, 1, 0, 7), ("x", 1, 1, 0, "b", 1), ["x", 1],
    ],
)  # fmt: skip
def test_a_malformed_insertion_is_refused(argument):
    text = Text("b")
    with pytest.raises(MalformedOperationError):
        text.apply(Operation("a", 1, VersionVector(), "Text", "insert", argument))
    assert text.version == {}


@pytest.mark.parametrize(
    "argument",
    [
        None, (), (1,), ((1,),), ((0, 1),), ((1, 0),), ((1, 2**63),), ((1, 0, 2**32),), ((1, 0, 1, 1),), (("a", 1),),
        ((1, 1, ""),), ((1, "b"),), ((1, 0, 1, "b", 1),), ((1, True),), ((1.0, 1),),
    ],
)  # fmt: skip
def test_a_malformed_deletion_is_refused(argument):
    text = Text("b")
    with pytest.raises(MalformedOperationError):
        text.apply(Operation("a", 1, VersionVector(), "Text", "delete", argument))
    assert text.version == {}


def test_an_operation_that_names_what_it_cannot_have_seen_does_the_same_everywhere():
    text = Text("b")
    text.apply(Operation("a", 1, VersionVector(), "Text", "insert", ("x", 1)))
    text.apply(Operation("a", 2, VersionVector(), "Text", "insert", ("y", 1, 2, 0)))
    text.apply(Operation("a", 3, VersionVector(), "Text", "insert", ("z", 0, 5, 0, "c")))
    text.apply(Operation("a", 4, VersionVector(), "Text", "delete", ((5, 7, "c"), (1, 3, 1), (2, 0, 9), (1, 2**62))))
    assert text.value == "zyx"
    assert Text.from_bytes(text.to_bytes(), "c") == text


def test_neighbours_with_consecutive_dots_that_do_not_hang_on_each_other_stay_apart():
    text, other = Text("c"), Text("d")
    before = VersionVector({"b": 1})
    operations = [
        Operation("b", 1, VersionVector(), "Text", "insert", ("|", 1)),
        Operation("a", 1, before, "Text", "insert", ("x", 0, 1, 0, "b")),
        Operation("a", 2, before, "Text", "insert", ("y", 0, 1, 0, "b")),
        Operation("a", 3, before, "Text", "delete", ((1, 2),)),
    ]
    for operation in operations:
        text.apply(operation)
    for operation in operations[:3]:
        other.apply(operation)
    assert other.value == "xy|"
    assert text.value == "|"
    assert runs(text) == [(None, 1), (None, 1), ("|", 1)]
    between = other.insert(1, "-")
    text.apply(between)
    assert text.value == "-|"
    assert Text.from_bytes(text.to_bytes(), "e") == text


def test_a_claimed_length_costs_nothing():
    text = Text("b")
    text.apply(Operation("a", 1, VersionVector(), "Text", "insert", ("x", 1)))
    text.apply(Operation("a", 2, VersionVector(), "Text", "insert", ("yz", 1)))
    tracemalloc.start()
    started = perf_counter()
    text.apply(Operation("a", 3, VersionVector(), "Text", "delete", ((1, 1), (2, 0, 2**31))))
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    assert perf_counter() - started < 1
    assert text.value == ""
