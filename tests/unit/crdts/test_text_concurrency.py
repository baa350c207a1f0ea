"""Texts that several write: an order that every replica finds alone, in an ORMap, too."""

from random import Random

import pytest
from hypothesis import strategies as st

from crdts import CausalityError, Operation, ORMap, Text, VersionVector
from crdts.testing import check_convergence
from tests.unit.crdts.documents import exchanged, runs, typed
from tests.unit.crdts.fugue_tree import elements

# Concurrency


def test_concurrently_typed_words_are_not_interleaved_forwards():
    base = Text("base")
    start = base.insert(0, "()")
    one, other = Text("a"), Text("b")
    for document, word in ((one, "hello"), (other, "world")):
        document.apply(start)
        for index, character in enumerate(word, start=1):
            document.insert(index, character)
    assert exchanged(one, other) in ("(helloworld)", "(worldhello)")


def test_concurrently_typed_words_are_not_interleaved_backwards():
    one, other = Text("a"), Text("b")
    for document, word in ((one, "hello"), (other, "world")):
        for character in reversed(word):
            document.insert(0, character)
    assert exchanged(one, other) in ("helloworld", "worldhello")


def test_what_is_typed_concurrently_with_mistakes_in_any_direction_is_not_interleaved():
    random = Random(5)
    for _ in range(150):
        start = edited_at_random(random, Text("base"), 12)
        at = random.randint(0, len(start))
        writers = [start.copy(name) for name in "abcd"[: random.randint(2, 4)]]
        words = [type_with_mistakes(random, each, at) for each in writers]
        left, right = start.value[:at], start.value[at:]
        result = exchanged(*writers)
        assert result.startswith(left)
        assert result.endswith(right)
        middle = result[at : len(result) - len(right)]
        assert sorted(middle) == sorted("".join(words))
        assert all(word in middle for word in words), (words, middle)


def edited_at_random(random, text, steps):
    for _ in range(steps):
        if len(text) and random.random() < 0.4:
            text.delete(random.randrange(len(text)))
        else:
            text.insert(random.randint(0, len(text)), random.choice([".", "..", "..."]))
    return text


def type_with_mistakes(random, text, at):
    """Types a word of one letter at a place, forwards, backwards or all over it, correcting oneself; returns it."""
    if random.random() < 0.5:
        text.stabilize(VersionVector({"base": text.version["base"]}))
    word, cursor, step = "", 0, random.choice([0, 1, None])
    for _ in range(random.randint(1, 12)):
        if word and random.random() < 0.25:
            cursor = min(max(cursor - 1, 0), len(word) - 1)
            text.delete(at + cursor)
            word = word[1:]
        else:
            text.insert(at + cursor, text.replica_id)
            word += text.replica_id
            cursor += step if step is not None else random.randint(-cursor, len(word) - cursor)
    return word


def test_among_many_deleted_runs_an_insertion_is_where_it_was_put():
    one, other = Text("a"), Text("b")
    for number in range(60):
        writer, reader = (one, other) if number % 2 else (other, one)
        reader.apply(writer.insert(number, chr(65 + number % 26)))
    start = one.value
    other.apply(one.delete(10, 40))
    assert len(runs(one)) > 40
    one.apply(other.insert(10, "in between"))
    other.apply(one.insert(20, "!"))
    assert one.value == other.value == start[:10] + "in between!" + start[50:]


def test_of_two_strings_at_one_place_every_replica_has_the_same_first():
    one, other, third = Text("a"), Text("b"), Text("c")
    operations = [one.insert(0, "one"), other.insert(0, "two")]
    for document, order in ((one, (1,)), (other, (0,)), (third, (1, 0))):
        for number in order:
            document.apply(operations[number])
    assert one.value == other.value == third.value == "twoone"


def test_what_is_typed_concurrently_after_the_beginning_of_a_run_cuts_it_in_two():
    one, other = Text("a"), Text("b")
    other.apply(one.insert(0, "1"))
    there = other.insert(1, "x")
    here = [one.insert(1, "2"), one.insert(2, "3")]
    assert runs(one) == [("123", 3)]
    one.apply(there)
    for operation in here:
        other.apply(operation)

    assert one == other
    assert one.value == other.value == "1x23"


def test_who_types_later_in_the_know_types_where_the_cursor_is():
    one, other = Text("a"), Text("b")
    other.apply(one.insert(0, "ac"))
    one.apply(other.insert(1, "b"))
    other.apply(one.insert(1, "-"))
    assert one.value == other.value == "a-bc"


def test_deletions_of_the_same_characters_agree():
    one, other = Text("a"), Text("b")
    other.apply(one.insert(0, "abcdef"))
    deletions = [one.delete(1, 3), other.delete(2, 3)]
    one.apply(deletions[1])
    other.apply(deletions[0])
    assert one.value == other.value == "af"
    assert one == other


def test_an_operation_is_applied_once_and_after_its_past():
    one, operations = typed("a", "abc")
    other = Text("b")
    with pytest.raises(CausalityError):
        other.apply(operations[1])
    assert other.value == ""
    assert [other.apply(each) for each in operations] == [True] * 3
    assert [other.apply(each) for each in operations] == [False] * 3
    assert one == other


def text_commands(text):
    inserts = st.tuples(st.integers(0, len(text)), st.sampled_from(["a", "b", "cd", "efg"])).map(
        lambda args: ("insert", args)
    )
    deletes = st.tuples(st.integers(0, len(text)), st.integers(1, 3)).map(lambda args: ("delete", args))
    return st.one_of(inserts, inserts, deletes, st.just(("clear", ())))


def test_the_order_is_a_pure_function_of_the_operations_seen():
    check_convergence(
        Text, text_commands, specification=lambda history: "".join(elements(history)), max_examples=50, max_steps=50
    )


# In a map


def script(edits):
    """Returns a function that carries out edits on a text, as far as they fit it."""

    def change(text):
        for method, at, content in edits:
            if method == "insert":
                text.insert(min(at, len(text)), content)
            elif method == "delete" and len(text):
                text.delete(min(at, len(text) - 1))
            elif method == "clear":
                text.clear()

    change.__name__ = change.__qualname__ = repr(edits)
    return change


edits = st.lists(
    st.tuples(
        st.sampled_from(["insert", "insert", "insert", "delete", "clear"]),
        st.integers(0, 5),
        st.sampled_from(["x", "yz"]),
    ),
    min_size=1,
    max_size=3,
)
map_commands = st.one_of(
    edits.map(lambda each: ("update", ("k", Text, script(each)))),
    edits.map(lambda each: ("update", ("k", Text, script(each)))),
    st.sampled_from([("remove", ("k",)), ("clear", ())]),
)


def test_in_a_map_too_the_order_is_a_pure_function_of_the_operations_seen():
    def specification(history):
        return lambda value: value.get("k", "") == "".join(elements(history))

    check_convergence(ORMap, map_commands, specification=specification, max_examples=50, max_steps=50)


def test_several_insertions_in_one_update_of_a_map_are_one_operation():
    one, other = ORMap("a"), ORMap("b")

    def change(text):
        text.insert(0, "a")
        text.insert(1, "bc")
        text.insert(1, "-")
        text.delete(0)

    assert other.apply(Operation.from_bytes(one.update("k", Text, change).to_bytes()))
    assert one["k"] == other["k"] == "-bc"
    assert ORMap.from_bytes(one.to_bytes(), "c") == one == other


def test_a_removed_key_keeps_what_was_typed_concurrently_and_nothing_else():
    one, other = ORMap("a"), ORMap("b")
    other.apply(one.update("k", Text, lambda text: text.insert(0, "old text")))
    removal = one.remove("k")
    typing = [
        other.update("k", Text, lambda text: text.insert(3, "new")),
        other.update("k", Text, lambda text: text.insert(6, "!")),
    ]
    other.apply(removal)
    for operation in typing:
        one.apply(operation)
    assert one == other
    assert one["k"] == "new!"
    assert len(one.to_bytes()) < 60


def test_a_join_forgets_what_a_removal_there_had_seen_of_a_run_and_keeps_the_rest():
    one, other, third = ORMap("a"), ORMap("b"), ORMap("c")
    typing = [one.update("k", Text, lambda text, edit=edit: text.insert(*edit)) for edit in enumerate("xyz")]
    assert [length for _, length in runs(one._entries["k"]["Text"].value)] == [3]
    other.apply(typing[0])
    removal = other.remove("k")
    third.apply(typing[0])
    third.apply(removal)
    third.apply(typing[1])
    one.update("l", Text, lambda text: text.insert(0, "!"))
    one.merge(third)
    third.merge(one)
    assert one.value == third.value == {"k": "yz", "l": "!"}
    assert one == third
